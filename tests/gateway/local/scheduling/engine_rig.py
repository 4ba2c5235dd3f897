"""An engine on a thread of the test's, and everything it said."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import msgspec

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Sampling, Started
from gateway.local.frames import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.local.binding.context import Context
    from gateway.local.binding.llama import Model
    from gateway.local.preparing.prepare import Handle
    from gateway.local.scheduling.engine import BatchEngine

GREEDY = Sampling(temperature=0)
TUNING = Tuning(slots=4, context_tokens=512, threads=1, batch_tokens=128)
WAIT_S = 60.0


class Rig:
    """`on_event` sees each event on the engine's thread, right before the call that follows it."""

    def __init__(self, model: Model, tuning: Tuning = TUNING, max_waiting: int = 100) -> None:
        from gateway.local.binding.context import Context  # noqa: PLC0415 - loads llama.cpp
        from gateway.local.preparing.prepare import Preparer  # noqa: PLC0415 - loads llama.cpp
        from gateway.local.scheduling.engine import BatchEngine  # noqa: PLC0415 - loads llama.cpp
        from gateway.local.scheduling.line import RunLine  # noqa: PLC0415

        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda _: None
        self.context: Context = Context(model, tuning)
        self.engine: BatchEngine = BatchEngine(model, self.context, RunLine(max_waiting), self._note, tuning)
        self._preparer = Preparer(model, None, self.context.context_tokens, tuning.on_overflow)
        self._change = threading.Condition()
        self.thread = threading.Thread(target=self.engine.run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()
        if self.thread.ident:
            self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        self.context.close()

    def start(self) -> None:
        if not self.thread.ident:
            self.thread.start()

    def _note(self, events: list[Event]) -> None:
        with self._change:
            self.events += events
            self._change.notify_all()
        for event in events:
            self.on_event(event)

    def submit(self, job: Job) -> Handle:
        from gateway.local.preparing.prepare import Handle  # noqa: PLC0415 - loads llama.cpp

        handle = Handle(job)
        self.engine.submit(self._preparer.prepare(handle))
        return handle

    def until(self, holds: Callable[[], bool]) -> None:
        self.start()
        with self._change:
            assert self._change.wait_for(holds, WAIT_S), self.events[-5:]

    def ends(self, job: int) -> list[Finished | Failed]:
        return [event for event in self.events if isinstance(event, Finished | Failed) and event.job == job]

    def is_over(self, job: Job) -> bool:
        ends = self.ends(job.id)
        return len(ends) == job.choices or any(isinstance(end, Failed) for end in ends)

    def run(self, *jobs: Job) -> list[list[str]]:
        """All of them at once, to their end: the texts of each job's choices."""
        for job in jobs:
            self.submit(job)
        self.until(lambda: all(map(self.is_over, jobs)))
        return [self.texts(job) for job in jobs]

    def texts(self, job: Job) -> list[str]:
        deltas = [event for event in self.events if isinstance(event, Delta) and event.job == job.id]
        return ["".join(one.text for one in deltas if one.choice == choice) for choice in range(job.choices)]

    def started(self, job: int) -> Started:
        (event,) = [event for event in self.events if isinstance(event, Started) and event.job == job]
        return event

    def at_rest(self) -> None:
        """Nothing runs or waits, and llama.cpp knows what the slots say."""
        self.until(lambda: not self.engine.busy)
        standing = self.engine.standing()
        assert (standing.running, standing.waiting, standing.reading_tokens) == (0, 0, 0)
        assert standing.known_cells == sum(self.context.end(slot) for slot in range(self.context.slots))


def tuned(**changes: object) -> Tuning:
    return msgspec.structs.replace(TUNING, **changes)
