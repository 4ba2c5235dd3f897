"""Who comes and who goes between two steps: the cancelled leave, those too late are told, the next get slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.placement import Hold

if TYPE_CHECKING:
    from gateway.local.computing import Computing
    from gateway.local.gauges import Gauges
    from gateway.local.line import RunLine
    from gateway.local.runs import Run
    from gateway.local.slots import SlotTable
    from policies.placement import Placement


class Admission:
    """Between the line and the slots."""

    def __init__(self, line: RunLine[Run], slots: SlotTable, computing: Computing, gauges: Gauges) -> None:
        self._line = line
        self._slots = slots
        self._computing = computing
        self._gauges = gauges

    def update(self, now: float) -> bool:
        """Whether anybody came or went since the last time."""
        for slot, run in self._slots.runs():
            if run.cancelled:
                self._computing.leave(slot, run)
        if len(self._line):
            self._let_go(now)
            self._let_in(now)
        self._slots.close_gap(is_awaited=bool(len(self._line)))
        self._slots.resume()
        changed, self._slots.changed = self._slots.changed, False
        return changed

    def _let_go(self, now: float) -> None:
        for run, failure in self._line.leavers(now):
            if failure is not None:
                run.family.over = True
                self._computing.report([failure])
            run.family.leave()

    def _let_in(self, now: float) -> None:
        free, held = len(self._slots.slots) - self._slots.running, 0
        if not free:
            return
        for candidate in self._line.candidates(now):
            run = self._line.peek(candidate.number)
            placement = self._slots.place(run)
            if isinstance(placement, Hold):
                held += 1
            elif placement is not None:
                self._seat(self._line.take(candidate.number), placement, now)
                free -= 1
            # Who is held keeps a slot for itself: a hold is short, and those behind would have the slot for long.
            if held >= free:
                return

    def _seat(self, run: Run, placement: Placement, now: float) -> None:
        known = self._slots.seat(run, placement, now)
        self._gauges.cached_tokens += known
        self._computing.report(run.begin(known, now))
        if known == len(run.tokens):
            self._computing.write_from_sibling(self._slots[placement.slot], run)
        elif run.family.open_runs > 1 and run.family.reading is None:
            run.family.reading = placement.slot
