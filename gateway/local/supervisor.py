"""Keeps one worker alive: starts it, watches it, starts it again, and tells every job at once when it died."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Started
from gateway.local.frames import Cancel, Load, Ping, Pong, Progress, Ready, Refused, Submit
from gateway.local.process import WORKER_COMMAND, WorkerProcess
from gateway.local.restarts import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.local.frames import Report

log = logging.getLogger(__name__)


class State(StrEnum):
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Sink(Protocol):
    """Where the events of one job go."""

    def take(self, event: Event) -> None: ...

    def lose(self) -> None:
        """The worker died; no more events will come."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne, while loading and afterwards; a look is taken every `heartbeat_s`."""

    heartbeat_s: float = 5.0
    load_s: float = 120.0
    stall_s: float = 60.0


class Supervisor:
    """One model's worker, for as long as the gateway runs."""

    def __init__(
        self,
        load: Load,
        *,
        on_progress: Callable[[int], None] | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        restarts: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
        patience: Patience = Patience(),
    ) -> None:
        self.state = State.STOPPED
        self.facts: Ready | None = None
        self.complaint = ""
        self.restarts = 0
        self.percent = 0
        self._load = load
        self._on_progress = on_progress
        self._command = command
        self._policy = restarts
        self._patience = patience
        self._sinks: dict[int, Sink] = {}
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="llama-starter")
        self._settled = asyncio.Event()
        self._worker: WorkerProcess | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._heard_s = 0.0
        self._ready_s = 0.0
        self._steps = -1
        self._stepped_s = 0.0

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Begin to load; see `until_settled` for the outcome."""
        self.state = State.LOADING
        self._keeping = asyncio.ensure_future(self._keep())

    async def until_settled(self) -> None:
        """Return when the worker is ready, or when waiting for it makes no sense; `state` says which."""
        await self._settled.wait()

    def submit(self, job: Job, sink: Sink) -> None:
        """Hand a job to a ready worker; its events go to `sink` from now on."""
        if self._worker is None or self.state is not State.READY:
            sink.lose()
            return
        self._sinks[job.id] = sink
        self._worker.send(Submit(job))

    def cancel(self, job_id: int, *, over: bool = False) -> None:
        """No further events for this job; unless it is `over` anyway, the engine leaves it within one step."""
        if self._sinks.pop(job_id, None) is not None and self._worker and not over:
            self._worker.send(Cancel(job_id))

    async def close(self) -> None:
        """Kill and reap the worker; jobs in flight are lost."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        self._starter.shutdown(wait=False)
        self._settle(State.STOPPED)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        deaths: tuple[float, ...] = ()
        while True:
            self._ready_s = 0.0
            try:
                ending = await self._live()
            except OSError as error:
                ending = f"it cannot be started: {error}"
            now = loop.time()
            lived_s = now - self._ready_s if self._ready_s else 0.0
            deaths = self._policy.record(deaths, now, lived_s)
            if not self._ready_s and not self._load.plain_weights:
                # It never got through a first token, often because of a faster weight layout: do without from now on.
                self._load = msgspec.structs.replace(self._load, plain_weights=True)
            self.restarts += 1
            self.complaint = ending
            self._mourn(hopeless=self._policy.is_hopeless(deaths))
            log.error("the llama.cpp worker ended: %s", ending)
            await asyncio.sleep(self._policy.wait_s(deaths))

    async def _live(self) -> str:
        """One worker's life, from start to grave; how it ended."""
        self._heard_s = asyncio.get_running_loop().time()
        self._steps = -1
        worker = self._worker = await WorkerProcess.spawn(self._command, self._hear, self._starter)
        try:
            worker.send(self._load)
            await self._watch(worker)
        except asyncio.CancelledError:
            worker.kill("the gateway is closing")
            raise
        finally:
            self._worker = None
            self._lose_all()
            ending = await worker.reap()
        return ending

    async def _watch(self, worker: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        while not worker.gone.is_set():
            try:
                await asyncio.wait_for(worker.gone.wait(), self._patience.heartbeat_s)
            except TimeoutError:
                silence_s = loop.time() - self._heard_s
                if silence_s > (self._patience.stall_s if self._ready_s else self._patience.load_s):
                    worker.kill(f"it was silent for {silence_s:.1f} s")
                elif self._steps >= 0 and loop.time() - self._stepped_s > self._patience.stall_s:
                    worker.kill("its engine stands still")
                elif self._ready_s:
                    worker.send(Ping())

    def _hear(self, reports: list[Report]) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        for report in reports:
            if isinstance(report, Delta | Finished | Failed | Started):
                if (sink := self._sinks.get(report.job)) is not None:
                    sink.take(report)
            elif isinstance(report, Pong):
                self._note_steps(report)
            elif isinstance(report, Progress):
                self._show(report.percent)
            elif isinstance(report, Ready):
                self._greet(report)
            elif isinstance(report, Refused):
                log.error("the model cannot be loaded: %s", report.message)

    def _note_steps(self, pong: Pong) -> None:
        if not pong.busy:
            self._steps = -1
        elif pong.steps != self._steps:
            self._steps = pong.steps
            self._stepped_s = self._heard_s

    def _greet(self, facts: Ready) -> None:
        self.facts = facts
        self.complaint = ""
        self._ready_s = self._heard_s
        self._show(100)
        self._settle(State.READY)

    def _show(self, percent: int) -> None:
        self.percent = percent
        if self._on_progress:
            self._on_progress(percent)

    def _mourn(self, *, hopeless: bool) -> None:
        self.percent = 0
        if hopeless:
            self._settle(State.FAILED)
        else:
            self.state = State.RESTARTING
            self._settled.clear()

    def _settle(self, state: State) -> None:
        self.state = state
        self._settled.set()

    def _lose_all(self) -> None:
        sinks, self._sinks = self._sinks, {}
        if self.state is State.READY:
            self.state = State.RESTARTING
            self._settled.clear()
        for sink in sinks.values():
            sink.lose()
