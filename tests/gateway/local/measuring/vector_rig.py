"""A tiny model's parts for vectors, one by one, without a worker around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.llama_cpp_job import Event, Place
from gateway.local.binding.llama import Model, start_library
from gateway.local.frames import Load, Tuning
from gateway.local.measuring.vector_engine import vector_engine
from gateway.local.preparing.vector_prepare import VectorHandle

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.llama_cpp_job import EmbedJob, RerankJob
    from gateway.local.measuring.vector_engine import VectorParts
    from gateway.local.preparing.vector_prepare import VectorWork


class Rig:
    """`events` are what the engine reported, in order. `step` computes one batch in the calling thread."""

    def __init__(self, path: Path, task: str = "embed", *, max_waiting: int = 64, tuning: Tuning | None = None) -> None:
        start_library()
        self.events: list[Event] = []
        self.model = Model(path, lambda _: None)
        load = Load(str(path), task=task, tuning=tuning or Tuning(threads=1), max_waiting=max_waiting)
        self.parts: VectorParts = vector_engine(self.model, load, self.events.extend)

    def submit(self, job: EmbedJob | RerankJob) -> VectorWork:
        work = self.parts.preparer.prepare(VectorHandle(job))
        self.parts.engine.submit(work)
        return work

    def work_off(self) -> None:
        while self.parts.engine.busy:
            self.parts.engine.step()

    def close(self) -> None:
        self.parts.context.close()
        self.model.close()


def place(flow: str = "a", **more: float) -> Place:
    return Place(flow, **more)  # type: ignore[arg-type]
