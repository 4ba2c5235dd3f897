"""The engine: one thread that owns the context, and computes for all runs that have a slot, step by step.

A step first reads: chunks of prompts, and whoever's prompt ends there gets its first token at once. Then all writers
write one token each, in one call. In between nothing waits: events go out right before llama.cpp computes the next
call, so that whoever packs and sends them does so beside it.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from gateway.local.frames import Standing
from gateway.local.mishaps import origin_of
from gateway.local.scheduling.admission import Admission
from gateway.local.scheduling.computing import Computing
from gateway.local.scheduling.gauges import Gauges
from gateway.local.scheduling.guessing import Guessing
from gateway.local.scheduling.recall import Recall
from gateway.local.scheduling.runs import runs_of
from gateway.local.scheduling.shifting import Shifting
from gateway.local.scheduling.slots import SlotTable
from gateway.local.scheduling.turns import Turns
from policies.batching import Budget, Reader, plan_step
from policies.engine_line import EngineNow

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.llama_cpp_job import Event
    from gateway.local.binding.context import Context
    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning
    from gateway.local.preparing.prepare import Work
    from gateway.local.scheduling.line import RunLine
    from gateway.local.scheduling.runs import Run
    from gateway.local.scheduling.states import StateStore

# A processor gains nothing from longer steps, and whoever arrives or leaves meanwhile has to wait for their end.
CPU_STEP_TOKENS = 192
# Prompts are read on a grid of so many tokens where an answer must not depend on what else is computed.
GRID_TOKENS = 64
# Nobody came for so long: there is time to copy what slots know.
IDLE_S = 2.0


class Engine(Protocol):
    """What the worker needs of an engine."""

    @property
    def steps(self) -> int: ...

    @property
    def busy(self) -> bool: ...

    def submit(self, work: Work) -> None:
        """Take over work, from any thread. It is closed by the engine, and its events end in one of the last kinds."""

    def run(self) -> None:
        """Work until stopped; the calling thread owns the context from now on."""

    def stop(self) -> None:
        """Return from `run` after the current step."""

    def standing(self) -> Standing:
        """The engine as it is now."""


class BatchEngine:
    """Many runs at a time, each in its slot."""

    def __init__(
        self, model: Model, context: Context, line: RunLine[Run], emit: Callable[[list[Event]], None], tuning: Tuning
    ) -> None:
        self._context = context
        self._line = line
        self._emit = emit
        self._gauges = Gauges()
        grid_tokens = min(GRID_TOKENS, context.batch_tokens) if tuning.deterministic else 0
        self._slots = SlotTable(context, grid_tokens)
        self._shifting = Shifting(context, grid_tokens, is_on=tuning.on_overflow == "shift")
        guessing = Guessing(context, self._gauges, is_on=tuning.speculate and not tuning.deterministic)
        self._computing = Computing(model, context, self._slots, guessing, emit)
        self._admission = Admission(line, self._slots, self._computing, self._gauges)
        step_tokens = context.batch_tokens if context.is_offloaded else max(CPU_STEP_TOKENS, 2 * context.slots)
        step_tokens = min(step_tokens, context.batch_tokens)
        self._budget = Budget(step_tokens, tuning.max_decode_gap_s, grid_tokens, is_mixed=context.unified)
        self._turns = Turns(context, tuning.max_decode_gap_s)
        self._stopping = False
        self._tell()  # how many slots there are, before anybody comes

    @property
    def steps(self) -> int:
        return self._gauges.steps

    @property
    def busy(self) -> bool:
        return bool(self._slots.running) or bool(len(self._line))

    def submit(self, work: Work) -> None:
        works = (work, *work.siblings)
        refusal = self._line.put([run for one in works for run in runs_of(one)])
        if refusal is not None:
            for one in works:
                one.close()
            self._emit([refusal])

    def keep_states(self, store: StateStore) -> None:
        """From now on what slots are about to forget is kept there. Before `run`."""
        self._slots.recall = Recall(self._context, store, self._gauges)

    def stop(self) -> None:
        self._stopping = True
        self._line.wake()

    def run(self) -> None:
        while not self._stopping:
            started_s = time.perf_counter()
            self._computing.computed_s = 0.0
            if self._step():
                self._gauges.stepped(time.perf_counter() - started_s, self._computing.computed_s)
            else:
                self._computing.flush()
                if not self._line.wait(IDLE_S if self._slots.has_unkept else None):
                    self._slots.keep_one()
        self._computing.flush()

    def _step(self) -> bool:
        """One step; whether there was anything to do."""
        try:
            now = time.monotonic()
            if self._admission.update(now):
                self._tell()
            return self._compute(now)
        except Exception as error:  # noqa: BLE001 - a bug must not end this thread: nobody would be served again
            sys.stderr.write(f"a step of the engine failed: {origin_of(error)}\n")
            self._computing.fail_all()
            return True

    def _compute(self, now: float) -> bool:
        readers, writers = [], []
        waiting = {run.adapter for slot, run in self._slots.runs() if not slot.paused}
        adapter = self._turns.next(waiting, now) if waiting else None
        for slot, run in self._slots.runs():
            if slot.paused or run.adapter != adapter:
                continue
            self._shifting.make_room(slot, run)
            rest = len(run.tokens) - slot.known
            if rest == 1:
                writers.append(slot.number)
            else:
                readers.append(Reader(slot.number, slot.known, len(run.tokens), run.priority(now), run.number))
        if not readers and not writers:
            return False
        budget = self._budget._replace(adapters=len(waiting))
        step = plan_step(readers, writers, budget, self._gauges.pace(), self._gauges.steps)
        self._computing.compute(step)
        return True

    def _tell(self) -> None:
        gauges = self._gauges
        reading = sum(len(run.tokens) - slot.known for slot, run in self._slots.runs() if not run.is_writing)
        pace = gauges.reading.value
        slots = self._slots
        now = EngineNow(len(slots.slots), slots.running, reading, pace, gauges.run_s.value, gauges.shared_by.value)
        self._line.tell(now)

    def standing(self) -> Standing:
        gauges, slots = self._gauges, self._slots
        reading = sum(max(0, len(run.tokens) - slot.known) for slot, run in slots.runs() if not run.is_writing)
        return Standing(
            waiting=len(self._line),
            waiting_tokens=self._line.waiting_tokens,
            running=slots.running,
            reading_tokens=reading,
            known_cells=slots.known_cells,
            cells=self._context.cells,
            read_tokens_per_s=gauges.reading.value,
            write_tokens_per_s=gauges.writing.value,
            run_s=gauges.run_s.value,
            steps=gauges.steps,
            step_s=gauges.step_s.value,
            python_s=gauges.python_s.value,
            read_tokens=gauges.read_tokens,
            cached_tokens=gauges.cached_tokens,
            written_tokens=gauges.written_tokens,
            guessed_tokens=gauges.guessed_tokens,
            accepted_tokens=gauges.accepted_tokens,
            longest_gap_s=gauges.longest_gap_s,
            busy_s=gauges.busy_s,
        )
