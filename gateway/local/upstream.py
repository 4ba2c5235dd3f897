"""The bundled engine behind the `Upstream` seam: admission, jobs in, answers out."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.llama_cpp import ignored_members, job_of
from adapters.llama_cpp_answer import Shape
from adapters.schema import InvalidRequest
from gateway.errors import RequestError, UpstreamError
from gateway.local.answer import LocalAnswer
from gateway.local.engine_check import check_engine
from gateway.local.frames import Load, Tuning
from gateway.local.supervisor import State, Supervisor
from gateway.local.ticket import Ticket
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.llama_cpp_job import Job
    from gateway.upstream import Answer, Exchange
    from policies.vocabulary import Deployment

_FIRST_GUESS_S = 2.0
_LONGEST_RETRY_AFTER_S = 60.0
_HEADER_NAMES = 10
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to run a model. 0 leaves a number to the worker; `max_queue` calls may wait besides the one that runs."""

    context_tokens: int = 0
    threads: int = 0
    chat_template: str | None = None
    max_queue: int = 64


class LocalUpstream:
    """One deployment of the bundled engine. `on_progress` hears how much of the model is loaded, in percent."""

    def __init__(
        self,
        deployment: Deployment,
        model_path: Path,
        settings: EngineSettings,
        *,
        on_progress: Callable[[int], None] | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        tuning = Tuning(slots=1, context_tokens=settings.context_tokens, threads=settings.threads)
        load = Load(str(model_path), tuning=tuning, chat_template=settings.chat_template)
        self._deployment = deployment
        self._model_path = model_path
        self._supervisor = supervisor or Supervisor(load, on_progress=on_progress)
        self._max_queue = settings.max_queue
        self._ids = itertools.count(1)
        self._places = 0
        self._served = 0
        self._generated_tokens = 0
        self._mean_s = _FIRST_GUESS_S

    @property
    def ready(self) -> bool:
        return self._supervisor.state is State.READY

    @property
    def queued(self) -> int | None:
        return max(0, self._places - 1)

    def describe(self) -> dict[str, str | int | float | None]:
        """Live numbers. `in_engine` counts calls that wait or run; one runs at a time."""
        supervisor = self._supervisor
        facts = supervisor.facts
        return {
            "state": supervisor.state.value,
            "loaded_percent": supervisor.percent,
            "pid": supervisor.pid,
            "restarts": supervisor.restarts,
            "in_engine": self._places,
            "queued": self.queued,
            "max_queue": self._max_queue,
            "served": self._served,
            "generated_tokens": self._generated_tokens,
            "context_tokens": facts.context_tokens if facts else None,
            "threads": facts.threads if facts else None,
            "load_s": round(facts.load_s, 3) if facts else None,
        }

    async def start(self) -> None:
        """Begin to load the model. Raises `MissingExtra` and `MissingModel`."""
        await asyncio.to_thread(check_engine, self._model_path)
        self._supervisor.start()

    async def close(self) -> None:
        await self._supervisor.close()

    async def send(self, exchange: Exchange) -> Answer:
        """Raises `UpstreamError`, and `RequestError` for what this engine cannot do."""
        request = exchange.request
        try:
            job = job_of(request, next(self._ids))
        except InvalidRequest as invalid:
            raise RequestError(invalid.message, code=invalid.code, param=invalid.param) from None
        ticket = self._admit(job)
        ticket.ignored = tuple(filter(_TOKEN.fullmatch, ignored_members(request)[:_HEADER_NAMES]))
        shape = Shape.of(request, self._deployment.model, int(time.time()), calls_tool=bool(job.forced_tools))
        answer = LocalAnswer(ticket, shape, exchange, self._deployment.name)
        first_token_by_s = asyncio.get_running_loop().time() + exchange.timeouts.first_token_s
        try:
            await self._engine_ready(min(first_token_by_s, exchange.deadline_s))
            self._supervisor.submit(job, ticket)
            if request.stream:
                await answer.open(first_token_by_s)
            else:
                await answer.gather()
        except BaseException:
            answer.close()
            raise
        return answer

    def _admit(self, job: Job) -> Ticket:
        """A place in the engine's line, given back when the ticket closes."""
        if self._places > self._max_queue:
            retry_after_s = min(_LONGEST_RETRY_AFTER_S, max(1.0, self._mean_s * self._places))
            message = f"The bundled engine has {self._places} calls in line and takes no more."
            raise self._unavailable(message, "engine_busy", retry_after_s)
        self._places += 1
        began_s = time.monotonic()

        def leave(ticket: Ticket) -> None:
            self._places -= 1
            self._generated_tokens += ticket.output_tokens
            if ticket.is_complete:
                self._served += 1
                # What one more call in line costs: the wait of the last ones, shared by those that waited together.
                spent_s = (time.monotonic() - began_s) / (self._places + 1)
                self._mean_s += 0.2 * (spent_s - self._mean_s)
            self._supervisor.cancel(job.id, over=ticket.is_over)

        return Ticket(job.choices, leave)

    async def _engine_ready(self, until_s: float) -> None:
        """Wait for a loading engine; refuse at once when there is no use in waiting."""
        supervisor = self._supervisor
        while supervisor.state is not State.READY:
            if supervisor.state in (State.FAILED, State.STOPPED):
                message = "The bundled engine does not run; the gateway's log says why."
                raise self._unavailable(message, "engine_down", None)
            try:
                async with asyncio.timeout_at(until_s):
                    await supervisor.until_settled()
            except TimeoutError:
                raise self._unavailable(
                    "The bundled engine is still loading its model.", "engine_loading", 5.0
                ) from None

    def _unavailable(self, message: str, code: str, retry_after_s: float | None) -> UpstreamError:
        failure = Failure(FailureKind.STATUS, message, status=503, code=code, retry_after_s=retry_after_s)
        return UpstreamError(failure, self._deployment.name)
