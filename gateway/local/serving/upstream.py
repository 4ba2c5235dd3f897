"""The bundled engine behind the `Upstream` seam: jobs in, answers out, in the caller's own place in the line."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from adapters import llama_cpp, llama_cpp_vectors
from adapters.dialects import dialect_named
from adapters.llama_cpp_answer import Shape
from adapters.schema import InvalidRequest
from gateway.errors import RequestError, UpstreamError
from gateway.local.serving.answer import LocalAnswer
from gateway.local.serving.engine_check import check_engine
from gateway.local.serving.keeping import Unavailable
from gateway.local.serving.ticket import Ticket
from gateway.local.serving.vector_answer import VectorAnswer
from gateway.places import patience_s, place_of
from policies.vocabulary import Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from adapters.llama_cpp_job import AnyJob, Job
    from gateway.local.serving.engines import Engines
    from gateway.local.serving.keeping import Engine, EngineSpec
    from gateway.upstream import Answer, Exchange
    from policies.choosing import Line
    from policies.vocabulary import Deployment

TEXT: Final = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})
_HEADER_NAMES: Final = 10
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class LocalUpstream:
    """One deployment of a bundled engine, which it shares with the others of its provider."""

    def __init__(self, deployment: Deployment, spec: EngineSpec, engines: Engines) -> None:
        self._deployment = deployment
        self._spec = spec
        self._engines = engines
        self._engine: Engine | None = None
        name = deployment.model.rpartition(":")[2]
        self._adapter = name if name in dict(spec.load.adapters) else None
        self._served = 0
        self._generated_tokens = 0

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the upstream was not started")
        return self._engine

    @property
    def ready(self) -> bool:
        """It can be called: the model is loaded, or will be with the first call."""
        return self._engine is not None and self._engine.comes_when_called

    @property
    def line(self) -> Line | None:
        return self.engine.line

    def wake(self) -> None:
        self.engine.wake()

    def describe(self) -> dict[str, str | int | float | None]:
        return self.engine.describe() | {"served": self._served, "generated_tokens": self._generated_tokens}

    async def start(self) -> None:
        """Have the model loaded, unless that is left to the first call. Raises `StartError`."""
        await asyncio.to_thread(check_engine, Path(self._spec.load.model_path))
        self._engine = self._engines.hold(self._spec)

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await self._engines.release(engine)

    async def send(self, exchange: Exchange) -> Answer:
        """Raises `UpstreamError`, and `RequestError` for what this engine cannot do."""
        request = exchange.request
        try:
            if request.endpoint in TEXT:
                return await self._write(exchange, llama_cpp.job_of(request, next(self.engine.ids)))
            return await self._measure(exchange)
        except InvalidRequest as invalid:
            raise RequestError(invalid.message, code=invalid.code, param=invalid.param) from None

    async def _write(self, exchange: Exchange, job: Job) -> Answer:
        """Text, whole or as a stream whose first content has come."""
        request, engine, loop = exchange.request, self.engine, asyncio.get_running_loop()
        began_s = loop.time()
        first_token_by_s = began_s + exchange.timeouts.first_token_s
        place = place_of(exchange, patience_s(exchange, began_s))
        until_s = began_s + place.patience_s
        ticket = Ticket(job.answers, partial(self._note_end, engine, job.id))
        ticket.ignored = shown(llama_cpp.ignored_members(request))
        await self._seat(ticket, until_s, alone=exchange.is_suspect)
        try:
            facts = engine.supervisor.facts
            dialect = dialect_named(facts.dialect, facts.reasoning) if facts else dialect_named("")
            shape = Shape.of(request, job, self._deployment.model, int(time.time()), dialect)
            answer = LocalAnswer(ticket, shape, exchange, self._deployment.name)
            job = msgspec.structs.replace(job, place=place, adapter=self._adapter)
            engine.supervisor.submit(_placed(job, until_s - loop.time()), ticket)
            await (answer.open(first_token_by_s) if request.stream else answer.gather())
        except BaseException:
            ticket.close()
            raise
        return answer

    async def _measure(self, exchange: Exchange) -> Answer:
        """Vectors or scores."""
        request, engine, loop = exchange.request, self.engine, asyncio.get_running_loop()
        began_s = loop.time()
        place = place_of(exchange, patience_s(exchange, began_s))
        until_s = began_s + place.patience_s
        job, wish = llama_cpp_vectors.vector_job_of(request, next(engine.ids), place)
        ticket = Ticket(1, partial(self._note_end, engine, job.id))
        ticket.ignored = shown(llama_cpp_vectors.ignored_members(request))
        await self._seat(ticket, until_s, alone=exchange.is_suspect)
        try:
            wish = wish._replace(model=self._deployment.model)
            answer = VectorAnswer(ticket, wish, exchange, self._deployment.name)
            engine.supervisor.submit(_placed(job, until_s - loop.time()), ticket)
            await answer.gather()
        except BaseException:
            ticket.close()
            raise
        return answer

    async def _seat(self, ticket: Ticket, until_s: float, *, alone: bool) -> None:
        """A place at the engine, which is ready then; it is given back when the ticket closes. `alone`: with no other
        call beside it that was there when an engine died.
        """
        engine = self.engine
        engine.enter()
        try:
            if alone:
                await engine.until_alone(until_s)
                ticket.is_second_try = True
            await engine.until_ready(until_s)
        except Unavailable as problem:
            ticket.close()
            # Who is down counts against itself; who is busy, or not loaded, is as well as ever.
            kind = FailureKind.STATUS if problem.is_down else FailureKind.BUSY
            failure = Failure(kind, problem.message, 503, problem.code, problem.retry_after_s)
            raise UpstreamError(failure, self._deployment.name) from None
        except BaseException:
            ticket.close()
            raise

    def _note_end(self, engine: Engine, job_id: int, ticket: Ticket) -> None:
        """A call's place is free again."""
        self._generated_tokens += ticket.output_tokens
        self._served += ticket.is_complete
        if ticket.is_second_try:
            engine.second_tries.leave()
        engine.supervisor.cancel(job_id, over=ticket.is_over)
        engine.leave()


def _placed(job: AnyJob, left_s: float) -> AnyJob:
    """The job once the model is there, with as much patience as is left."""
    place = msgspec.structs.replace(job.place, patience_s=max(0.0, left_s))
    return msgspec.structs.replace(job, place=place)


def shown(ignored: list[str]) -> tuple[str, ...]:
    """Names of members as they may stand in a header."""
    return tuple(filter(_TOKEN.fullmatch, ignored[:_HEADER_NAMES]))
