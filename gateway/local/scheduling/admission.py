"""Who comes and who goes between two steps: the cancelled leave, those too late are told, the next get slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.batching import next_candidate
from policies.placement import Hold

if TYPE_CHECKING:
    from gateway.local.scheduling.computing import Computing
    from gateway.local.scheduling.gauges import Gauges
    from gateway.local.scheduling.line import RunLine
    from gateway.local.scheduling.runs import Run
    from gateway.local.scheduling.slots import SlotTable
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
        free = len(self._slots.slots) - self._slots.running
        waiting = {one.number: one for one in self._line.candidates(now)} if free else {}
        while free and (candidate := next_candidate(tuple(waiting.values()), now, free)) is not None:
            number = candidate.number
            placement = self._slots.place(self._line.peek(number))
            if isinstance(placement, Hold):
                waiting[number] = candidate._replace(is_held=True)
                continue
            del waiting[number]
            if placement is not None:
                self._seat(self._line.take(number), placement, now)
                free -= 1

    def _seat(self, run: Run, placement: Placement, now: float) -> None:
        known = self._slots.seat(run, placement, now)
        self._gauges.cached_tokens += known
        self._computing.report(run.begin(known, now))
        if known == len(run.tokens):
            self._computing.write_from_sibling(self._slots[placement.slot], run)
        elif run.family.open_runs > 1 and run.family.reading is None:
            run.family.reading = placement.slot
