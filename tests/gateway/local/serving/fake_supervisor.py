"""A supervisor without a worker: it is ready, or fails, when the test says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.local.frames import Load, Ready, Standing
from gateway.local.serving.keeping import EngineSpec, Keeping
from gateway.local.serving.supervisor import State

if TYPE_CHECKING:
    from adapters.llama_cpp_job import AnyJob
    from gateway.local.serving.supervisor import Sink


def spec(name: str, needed_bytes: int = 40, keeping: Keeping | None = None, **load: object) -> EngineSpec:
    return EngineSpec(name, Load(f"{name}.gguf", **load), keeping or Keeping(on_demand=True), needed_bytes)  # type: ignore[arg-type]


class FakeSupervisor:
    """`at_once`: a load takes no time. `history` says what was asked of it."""

    def __init__(self, made_from: EngineSpec, *, at_once: bool = True) -> None:
        self.spec = made_from
        self.at_once = at_once
        self.state = State.UNLOADED
        self.facts: Ready | None = None
        self.standing = Standing()
        self.cold_start_s: float | None = None
        self.percent = self.restarts = 0
        self.pid: int | None = None
        self.complaint = ""
        self.history: list[str] = []
        self.jobs: dict[int, tuple[AnyJob, Sink]] = {}
        self._settled = asyncio.Event()

    def start(self) -> None:
        self.history.append("load")
        self.state = State.LOADING
        self._settled.clear()
        if self.at_once:
            self.come()

    def come(self, cold_start_s: float = 0.01) -> None:
        """The load has ended well."""
        self.facts = Ready(f"{self.spec.name}.gguf", 512, 1, knows_tools=False, load_s=cold_start_s, slots=2)
        self.cold_start_s, self.percent = cold_start_s, 100
        self.settle(State.READY)

    def settle(self, state: State) -> None:
        self.state = state
        self._settled.set()

    async def until_settled(self) -> None:
        await self._settled.wait()

    def submit(self, job: AnyJob, sink: Sink) -> None:
        self.jobs[job.id] = job, sink

    def cancel(self, job_id: int, *, over: bool = False) -> None:
        self.history.append(f"cancel {job_id} {over}")

    def drain(self) -> None:
        self.state = State.DRAINING

    async def stop(self) -> None:
        self.drain()
        await asyncio.sleep(0)
        self.history.append("unload")
        self.settle(State.UNLOADED)

    async def close(self) -> None:
        self.history.append("close")
        self.settle(State.STOPPED)
