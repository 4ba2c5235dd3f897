"""What slots know, and how a run gets one: taken over with what it knows, or with a copy of what another knows."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.local.scheduling.recall import Text
from policies.packing import closing_move, grouping_move
from policies.placement import KEEP_FROM_TOKENS, Hold, Placement, SlotText, Terms, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.binding.context import Context
    from gateway.local.scheduling.recall import Recall
    from gateway.local.scheduling.runs import Family, Run

# So many cells are kept for what runs will write before the next one leaves.
SPARE_CELLS = 64
# A gap between busy slots is closed after so many steps, for runs that have at least as many to go.
GAP_STEPS = 4


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence of the context: `known` of `tokens` are in its cells, `on_grid` of them read on the grid.

    `family` is the job whose prompt was read here last. A slot that was `paused` has a run, yet lost its cells.
    """

    number: int
    run: Run | None = None
    scope: str = ""
    tokens: array[int] = field(default_factory=lambda: array("i"))
    known: int = 0
    on_grid: int = 0
    family: Family | None = None
    used_s: float = 0.0
    paused: bool = False
    is_kept: bool = False

    @property
    def is_writing(self) -> bool:
        """Whether its run has begun to write, and has one token more than the cells know."""
        return self.run is not None and self.run.is_writing and len(self.tokens) == self.known + 1


class SlotTable:
    """All slots of a context. Whatever changes the cells of a slot as a whole goes through here.

    `changed` says that a run came or went. On a grid of tokens only its whole cells are shared. `recall`, where there
    is one, keeps what slots are about to forget.
    """

    def __init__(self, context: Context, grid_tokens: int = 0) -> None:
        self._context = context
        self.is_deterministic = bool(grid_tokens)
        self._terms = Terms(grid_tokens=grid_tokens or 1, can_copy=context.can_copy, is_packed=not context.unified)
        self.changed = False
        self.recall: Recall | None = None
        self._gap_steps = 0
        self.slots = [Slot(number) for number in range(context.slots)]

    def __getitem__(self, number: int) -> Slot:
        return self.slots[number]

    def runs(self) -> Iterator[tuple[Slot, Run]]:
        for slot in self.slots:
            run = slot.run  # once: another thread may ask how the engine stands
            if run is not None:
                yield slot, run

    @property
    def running(self) -> int:
        return sum(slot.run is not None for slot in self.slots)

    @property
    def known_cells(self) -> int:
        return sum(slot.known for slot in self.slots)

    def place(self, run: Run) -> Placement | Hold | None:
        """Where the run would go now."""
        family = run.family
        if family.row is not None:
            placement = self._beside_sibling(run)
            if placement is not None:
                return placement
        elif family.reading is not None:
            return Hold(family.reading, run.prompt_tokens) if self.running < len(self.slots) else None
        texts = [self._text(slot) for slot in self.slots]
        placement_or_hold = place(run.tokens, scope_of(run), texts, self._terms, run.adapter)
        if isinstance(placement_or_hold, Placement) and not self._has_cells(run, placement_or_hold):
            return Hold(placement_or_hold.slot, 0)
        return placement_or_hold

    def seat(self, run: Run, placement: Placement, now: float) -> int:
        """Give the run its slot. How many tokens of its prompt are known there."""
        slot, source = self.slots[placement.slot], self.slots[placement.source]
        kept, on_grid = placement.kept_tokens, min(source.on_grid, placement.kept_tokens)
        found = None
        if self.recall is not None:
            found = self.recall.find(scope_of(run), run.tokens, kept, self._terms)
            self._keep(slot, 0 if found or source is not slot else kept)
        if self._context.unified:
            self._make_room((found[0].cells if found else run.prompt_tokens) - kept, {slot.number, source.number})
        if self.recall is not None and found is not None:
            known = on_grid = self.recall.restore(slot.number, *found)
        elif source is slot:
            known = self._context.rewind(slot.number, kept)
        else:
            known = self._context.copy(source.number, slot.number, kept)
        slot.run, slot.tokens, slot.scope, slot.used_s = run, run.tokens, scope_of(run), now
        slot.known, slot.on_grid, slot.paused = known, min(on_grid, known), False
        slot.family, slot.is_kept = run.family, False
        self.changed = True
        return known

    def release(self, slot: Slot, now: float) -> None:
        """The slot is free again, and goes on knowing what it knows."""
        slot.run, slot.used_s, slot.paused = None, now, False
        self.changed = True

    @property
    def has_unkept(self) -> bool:
        """Whether a free slot knows something that the end of the process would take."""
        return self.recall is not None and self.recall.outlives and any(map(_is_unkept, self.slots))

    def keep_one(self) -> None:
        """Nobody is at work: one of the slots is copied for the time after this process."""
        unkept = [slot for slot in self.slots if _is_unkept(slot)]
        if unkept:
            slot = max(unkept, key=lambda slot: slot.used_s)
            self._keep(slot, 0)
            slot.is_kept = True

    def _keep(self, slot: Slot, staying_tokens: int) -> None:
        if self.recall is not None and slot.known and not slot.is_kept:
            self.recall.keep(Text(slot.number, slot.scope, self._usable(slot), slot.known), staying_tokens)

    def close_gap(self, *, is_awaited: bool = False) -> None:
        """Bring runs together that are no neighbours. A gap is closed unless somebody waits to fill it; runs with
        different adapters, which share no pass anyway, change places in any case.
        """
        if self._context.unified or not self._terms.can_copy:
            return
        busy = {slot.number: run.adapter for slot, run in self.runs()}
        move = grouping_move(busy)
        if len(set(busy.values())) <= 1:
            move = None if is_awaited else closing_move(list(busy))
        self._gap_steps = self._gap_steps + 1 if move else 0
        if move and self._gap_steps >= GAP_STEPS:
            movers = [run for slot in move if (run := self.slots[slot].run) is not None]
            if all(run.max_tokens - run.written >= GAP_STEPS for run in movers):
                self._swap(move.source, move.target)

    def _swap(self, left: int, right: int) -> None:
        """Two slots change places, with what they know and who is in them."""
        slots = self.slots
        is_known = self._context.swap(left, right)
        slots[left], slots[right] = slots[right], slots[left]
        for number in (left, right):
            slot = slots[number]
            if slot.run is not None and slot.run.family.reading == slot.number:
                slot.run.family.reading = number
            slot.number = number
            if not is_known:
                self.forget(slot)

    def forget(self, slot: Slot) -> None:
        """Empty its cells."""
        self._context.clear(slot.number)
        slot.known = slot.on_grid = 0
        slot.family = None

    def forget_all(self) -> None:
        """After the context was renewed: runs that have a slot read their text again."""
        for slot in self.slots:
            slot.known = slot.on_grid = 0
            slot.family = None

    def yield_room(self) -> Slot | None:
        """The cells are full: free slots give up theirs, else the youngest run its own, to read its text again later.

        None where nobody has any to give up; else the slot that gave.
        """
        free = [slot for slot in self.slots if slot.run is None and slot.known]
        if free:
            victim = min(free, key=lambda slot: slot.used_s)
            self._keep(victim, 0)
        else:
            able = [(run.number, slot) for slot, run in self.runs() if not slot.paused]
            if len(able) <= 1:
                return None
            victim = max(able)[1]
            victim.paused = True
        self.forget(victim)
        return victim

    def resume(self) -> None:
        """Let paused runs go on, the oldest first, as far as there are cells for all of their text."""
        paused = sorted((run.number, slot) for slot, run in self.runs() if slot.paused)
        for _, slot in paused:
            if len(slot.tokens) + SPARE_CELLS > self._free_cells() and self.running > len(paused):
                return
            slot.paused = False

    def _has_cells(self, run: Run, placement: Placement) -> bool:
        """Whether there are cells for the prompt beside all runs; always, where each slot has its own."""
        if not self._context.unified or not self.running:
            return True
        needed = run.prompt_tokens + (0 if placement.source == placement.slot else -placement.kept_tokens)
        return needed + SPARE_CELLS <= self._free_cells()

    def _free_cells(self) -> int:
        """Cells that no run needs. What copies share counts for each of them, so there may be more."""
        return self._context.cells - sum(len(run.tokens) for slot, run in self.runs() if not slot.paused)

    def _make_room(self, tokens: int, kept: set[int]) -> None:
        free = sorted((s for s in self.slots if s.run is None and s.number not in kept), key=lambda s: s.used_s)
        while free and self._context.cells - self.known_cells < tokens + SPARE_CELLS:
            self._keep(free[0], 0)
            self.forget(free.pop(0))

    def _beside_sibling(self, run: Run) -> Placement | None:
        """A copy of all of the prompt that another choice has read: its last row is known, so nothing is left."""
        free = [slot for slot in self.slots if slot.run is None]
        for source in self.slots:
            if source.family is run.family and source.known >= run.prompt_tokens and free and self._terms.can_copy:
                target = source if source.run is None else min(free, key=lambda slot: (slot.used_s, slot.number))
                return Placement(target.number, source.number, run.prompt_tokens)
        return None

    def _usable(self, slot: Slot) -> array[int]:
        return slot.tokens[: slot.on_grid if self.is_deterministic else slot.known]

    def _text(self, slot: Slot) -> SlotText:
        known = self._usable(slot)
        run = slot.run
        coming = known
        if run is not None and slot.known < run.prompt_tokens and not slot.paused:
            coming = run.tokens
        adapter = None if run is None else run.adapter
        return SlotText(slot.number, slot.scope, known, coming, run is None, slot.used_s, adapter)


def _is_unkept(slot: Slot) -> bool:
    return slot.run is None and not slot.is_kept and slot.known >= KEEP_FROM_TOKENS


def scope_of(run: Run) -> str:
    """Within which scope its cells may be shared: cells that were computed with an adapter are of no use without."""
    return f"{run.work.handle.job.adapter or ''}\0{run.place.scope}"
