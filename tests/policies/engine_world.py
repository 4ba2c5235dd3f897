"""An engine without a model: arrivals, slots and steps in virtual time, run by the policies alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.batching import Budget, Candidate, Pace, Reader, Step, aged, next_candidate, plan_step
from policies.engine_line import Ahead, EngineNow, expected_wait_s
from policies.placement import Hold, Placement, SlotText, Terms, place

READ_TOKENS_PER_S = 1000.0
STEP_S = 0.004
WRITER_S = 0.002
NEVER_S = 1e9
KEPT = 0.95


@dataclass(frozen=True, slots=True)
class Request:
    arrives_s: float
    prompt: tuple[int, ...]
    writes: int
    priority: int = 1
    patience_s: float = NEVER_S
    cancelled_s: float = NEVER_S


@dataclass(slots=True)
class _Slot:
    text: list[int] = field(default_factory=list)
    number: int | None = None
    used_s: float = 0.0
    written: int = 0


class EngineWorld:
    """Serves requests, checking on the way that slots are given once and that steps are what they must be."""

    def __init__(self, slots: int, budget: Budget, terms: Terms | None = None) -> None:
        self.endings: dict[int, str] = {}
        self.began_s: dict[int, float] = {}
        self.first_token_s: dict[int, float] = {}
        self.promised_s: dict[int, float] = {}
        self.engine = EngineNow(slots, read_tokens_per_s=READ_TOKENS_PER_S)
        self.now = 0.0
        self._slots = [_Slot() for _ in range(slots)]
        self._budget = budget
        self._terms = terms or Terms(grid_tokens=budget.grid_tokens or 1)
        self._requests: list[Request] = []
        self._waiting: list[int] = []
        self._turn = 0

    @property
    def busy(self) -> list[int]:
        return [index for index, slot in enumerate(self._slots) if slot.number is not None]

    def serve(self, requests: list[Request]) -> None:
        """Until nobody is left."""
        self._requests = requests
        coming = sorted(range(len(requests)), key=lambda number: requests[number].arrives_s)
        while coming or self._waiting or self.busy:
            if not self._waiting and not self.busy:
                self.now = max(self.now, requests[coming[0]].arrives_s)
            while coming and requests[coming[0]].arrives_s <= self.now:
                self._arrive(coming.pop(0))
            self._dismiss()
            self._admit()
            self._step()

    def _arrive(self, number: int) -> None:
        begun = sorted(self.began_s.values())[-len(self.busy) :] if self.busy else []
        seated_s = self.now - sum(begun) / len(begun) if begun else 0.0
        tokens = sum(len(self._requests[one].prompt) for one in self._waiting)
        ahead = Ahead(len(self._waiting), tokens, seated_s)
        self.promised_s[number] = expected_wait_s(ahead, self._told())
        self._waiting.append(number)

    def _told(self) -> EngineNow:
        """The numbers that the engine tells its line."""
        reading = sum(len(self._coming(slot)) - len(slot.text) for slot in self._slots)
        return self.engine._replace(running=len(self.busy), reading_tokens=reading)

    def _dismiss(self) -> None:
        for number in list(self._waiting):
            request = self._requests[number]
            if request.cancelled_s <= self.now:
                self._leave(number, "cancelled")
            elif request.arrives_s + request.patience_s <= self.now:
                self._leave(number, "too late")
        for slot in self._slots:
            if slot.number is not None and self._requests[slot.number].cancelled_s <= self.now:
                self._end(slot, "cancelled")

    def _leave(self, number: int, ending: str) -> None:
        self._waiting.remove(number)
        assert number not in self.endings
        self.endings[number] = ending

    def _end(self, slot: _Slot, ending: str) -> None:
        assert slot.number is not None
        assert slot.number not in self.endings
        self.endings[slot.number] = ending
        lasted_s, shared_by = self.now - self.began_s[slot.number], len(self.busy)
        was = self.engine
        self.engine = was._replace(
            run_s=_decayed(was.run_s, lasted_s), shared_by=_decayed(was.shared_by, float(shared_by))
        )
        slot.number, slot.used_s = None, self.now

    def _admit(self) -> None:
        while free := len(self._slots) - len(self.busy):
            places = {number: self._place(number) for number in self._waiting}
            candidates = [self._candidate(number, places[number]) for number in self._waiting]
            chosen = next_candidate(candidates, self.now, free)
            if chosen is None:
                assert not candidates or any(one.is_held for one in candidates)
                assert not candidates or self.busy, "all are held, and nobody is there to wait for"
                return
            where = places[chosen.number]
            assert isinstance(where, Placement)
            self._give(where, chosen.number)

    def _give(self, where: Placement, number: int) -> None:
        slot = self._slots[where.slot]
        assert slot.number is None, "a slot was given twice"
        prompt = self._requests[number].prompt
        known = self._slots[where.source].text[: where.kept_tokens]
        assert known == list(prompt[: where.kept_tokens])
        assert where.kept_tokens < len(prompt)
        slot.text, slot.number, slot.written = known, number, 0
        self._waiting.remove(number)
        self.began_s[number] = self.now

    def _candidate(self, number: int, where: Placement | Hold | None) -> Candidate:
        request = self._requests[number]
        priority = aged(request.priority, self.now - request.arrives_s)
        deadline_s = request.arrives_s + request.patience_s
        return Candidate(priority, request.arrives_s, number, deadline_s, isinstance(where, Hold))

    def _place(self, number: int) -> Placement | Hold | None:
        texts = [
            SlotText(index, "", slot.text, self._coming(slot), slot.number is None, slot.used_s)
            for index, slot in enumerate(self._slots)
        ]
        where = place(list(self._requests[number].prompt), "", texts, self._terms)
        if isinstance(where, Hold):
            assert where.slot in self.busy
            assert len(self._slots[where.slot].text) < len(self._coming(self._slots[where.slot]))
        return where

    def _coming(self, slot: _Slot) -> list[int]:
        if slot.number is None or slot.written:
            return slot.text
        return list(self._requests[slot.number].prompt)

    def _step(self) -> None:
        readers, writers = [], []
        for index in self.busy:
            slot = self._slots[index]
            number = slot.number
            assert number is not None
            request = self._requests[number]
            if slot.written:
                writers.append(index)
            else:
                priority = aged(request.priority, self.now - request.arrives_s)
                readers.append(Reader(index, len(slot.text), len(request.prompt), priority, number))
        write_s = STEP_S + WRITER_S * len(writers) if writers else 0.0
        step = plan_step(readers, writers, self._budget, Pace(READ_TOKENS_PER_S, write_s), self._turn)
        self._turn += 1
        read = sum(chunk.end - chunk.start for chunk in step.chunks)
        if read or writers:
            self.now += write_s + read / READ_TOKENS_PER_S
        self._apply(step)

    def _apply(self, step: Step) -> None:
        for chunk in step.chunks:
            slot = self._slots[chunk.slot]
            assert slot.number is not None
            prompt = self._requests[slot.number].prompt
            assert chunk.start == len(slot.text)
            slot.text = slot.text + list(prompt[chunk.start : chunk.end])
            if chunk.end == len(prompt):
                self.first_token_s[slot.number] = self.now
                self._write(slot)
        for index in step.writers:
            self._write(self._slots[index])

    def _write(self, slot: _Slot) -> None:
        assert slot.number is not None
        slot.written += 1
        slot.text = [*slot.text, -slot.written]
        if slot.written >= self._requests[slot.number].writes:
            self._end(slot, "written")


def _decayed(mean: float, value: float) -> float:
    return KEPT * mean + (1.0 - KEPT) * value if mean else value
