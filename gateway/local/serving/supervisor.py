"""Keeps one worker alive: starts it, watches it, starts it again, and tells every job at once when it died."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from adapters.llama_cpp_job import Delta, Failed, Finished, Scores, Started, Vectors
from gateway.local.frames import (
    Cancel,
    FrameTooLong,
    Load,
    Ping,
    Pong,
    Preparing,
    Progress,
    Ready,
    Refused,
    Shutdown,
    Standing,
    Submit,
)
from gateway.local.serving.process import WORKER_COMMAND, WorkerProcess
from policies.restarts import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.llama_cpp_job import AnyJob, Event
    from gateway.local.frames import Report

log = logging.getLogger(__name__)

ALMOST_PERCENT: Final = 99  # the weights are there; what is left is to make a context and to warm up


class State(StrEnum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"  # on its way to unloaded
    RESTARTING = "restarting"  # it died, and a new one comes in a moment
    FAILED = "failed"  # it died again and again, or cannot be loaded; it is tried anew now and then
    STOPPED = "stopped"  # for good


class Sink(Protocol):
    """Where the events of one job go."""

    def take(self, event: Event) -> None: ...

    def lose(self, *, was_preparing: bool = False) -> None:
        """The worker died, maybe over this job's preparation; no more events will come."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne, while loading and afterwards; a look is taken every `heartbeat_s`.

    A worker that is told to end has `farewell_s` to do so by itself.
    """

    heartbeat_s: float = 5.0
    load_s: float = 120.0
    stall_s: float = 60.0
    farewell_s: float = 2.0


class Supervisor:
    """One model's worker: loaded and unloaded as often as is asked for, and in between kept alive."""

    def __init__(
        self,
        load: Load,
        *,
        on_progress: Callable[[int], None] | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        restarts: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
        patience: Patience = Patience(),
    ) -> None:
        self.state = State.UNLOADED
        self.facts: Ready | None = None
        self.standing = Standing()
        self.cold_start_s: float | None = None
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
        self._started_s = 0.0
        self._refused = False
        self._preparing = 0

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Begin to load; see `until_settled` for the outcome. `cold_start_s` tells afterwards how long it took."""
        self.state = State.LOADING
        self._settled.clear()
        self._keeping = asyncio.ensure_future(self._keep())

    async def until_settled(self) -> None:
        """Return when the worker is ready, or when waiting for it makes no sense; `state` says which."""
        await self._settled.wait()

    def submit(self, job: AnyJob, sink: Sink) -> None:
        """Hand a job to a ready worker; its events go to `sink` from now on."""
        if self._worker is None or self.state is not State.READY:
            sink.lose()
            return
        self._sinks[job.id] = sink
        try:
            self._worker.send(Submit(job))
        except (ValueError, OverflowError, RecursionError) as error:
            # Whole numbers of any length, halves of characters: there is JSON that cannot be packed.
            del self._sinks[job.id]
            reason = "it is too long" if isinstance(error, FrameTooLong) else "it holds a value that is out of range"
            sink.take(Failed(job.id, 400, "invalid_request", f"The bundled engine cannot take this request: {reason}."))

    def cancel(self, job_id: int, *, over: bool = False) -> None:
        """No further events for this job; unless it is `over` anyway, the engine leaves it within one step."""
        if self._sinks.pop(job_id, None) is not None and self._worker and not over:
            self._worker.send(Cancel(job_id))

    def drain(self) -> None:
        """Take no more jobs: the end is near."""
        self.state = State.DRAINING

    async def stop(self) -> None:
        """End the worker; jobs in flight are lost. Another `start` loads the model again."""
        self.drain()
        await self._end_keeping()
        self.percent = 0
        self._settle(State.UNLOADED)

    async def close(self) -> None:
        """End the worker for good; jobs in flight are lost."""
        await self._end_keeping()
        self._starter.shutdown(wait=False)
        self._settle(State.STOPPED)

    async def _end_keeping(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        deaths: tuple[float, ...] = ()
        while True:
            self._ready_s, self._refused = 0.0, False
            self._started_s = loop.time()
            try:
                ending = await self._live()
            except OSError as error:
                ending = f"it cannot be started: {error}"
            now = loop.time()
            lived_s = now - self._ready_s if self._ready_s else 0.0
            deaths = self._policy.record(deaths, now, lived_s)
            if not self._ready_s and not self._refused and not self._load.plain_weights:
                # It never got through a first token, often because of a faster weight layout: do without from now on.
                self._load = msgspec.structs.replace(self._load, plain_weights=True)
            self.restarts += 1
            self.complaint = ending
            hopeless = self._refused or self._policy.is_hopeless(deaths)
            self._mourn(hopeless=hopeless)
            log.error("the worker of %s ended: %s", Path(self._load.model_path).name, ending)
            await asyncio.sleep(self._policy.longest_wait_s if hopeless else self._policy.wait_s(deaths))

    async def _live(self) -> str:
        """One worker's life, from start to grave; how it ended."""
        self._heard_s = asyncio.get_running_loop().time()
        self._steps = -1
        self.standing = Standing()
        worker = self._worker = await WorkerProcess.spawn(self._command, self._hear, self._starter)
        try:
            worker.send(self._load)
            await self._watch(worker)
        except asyncio.CancelledError:
            self._worker = None
            self._lose_all()
            await self._part_with(worker)
            raise
        finally:
            self._worker = None
            self._lose_all()
            ending = await worker.reap()
        return self.complaint if self._refused else ending

    async def _part_with(self, worker: WorkerProcess) -> None:
        """Let it end by itself, which gives its memory back in order; but not for long."""
        worker.send(Shutdown())
        try:
            async with asyncio.timeout(self._patience.farewell_s):
                await worker.gone.wait()
        except TimeoutError:
            worker.kill("it did not end when it was told to")

    async def _watch(self, worker: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        while not worker.gone.is_set():
            try:
                # Not `wait_for`: before Python 3.12 it forgets that it was cancelled where the wait ends just then.
                async with asyncio.timeout(self._patience.heartbeat_s):
                    await worker.gone.wait()
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
            if isinstance(report, Delta | Finished | Failed | Started | Vectors | Scores):
                if (sink := self._sinks.get(report.job)) is not None:
                    sink.take(report)
            elif isinstance(report, Preparing):
                self._preparing = report.job
            elif isinstance(report, Standing):
                self.standing = report
            elif isinstance(report, Pong):
                self._note_steps(report)
            elif isinstance(report, Progress):
                self._show(min(report.percent, ALMOST_PERCENT))
            elif isinstance(report, Ready):
                self._greet(report)
            elif isinstance(report, Refused):
                self._refused = True
                self.complaint = f"the model cannot be loaded: {report.message}"

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
        self.cold_start_s = self._ready_s - self._started_s
        if facts.warning:
            log.warning("%s", facts.warning)
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
        preparing, self._preparing = self._preparing, 0
        for job_id, sink in sinks.items():
            sink.lose(was_preparing=job_id == preparing)
