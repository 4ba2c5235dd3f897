from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from adapters.llama_cpp_job import Job, Place
from gateway.local.choosing.text import TextStream
from gateway.local.scheduling.runs import runs_of
from gateway.local.scheduling.slots import GAP_STEPS, SlotTable
from policies.placement import Hold, Placement

if TYPE_CHECKING:
    from gateway.local.binding.context import Context
    from gateway.local.preparing.prepare import Work
    from gateway.local.scheduling.runs import Run

PROMPT = list(range(200))


@dataclass
class FakeContext:
    """Counts cells, as llama.cpp would."""

    slots: int = 3
    unified: bool = False
    can_copy: bool = True
    can_cut: bool = True
    can_swap: bool = True
    cells: int = 1000
    ends: dict[int, int] = field(default_factory=dict)

    def rewind(self, slot: int, end: int) -> int:
        known = self.ends.get(slot, 0)
        self.ends[slot] = min(end, known) if self.can_cut or end >= known else 0
        return self.ends[slot]

    def copy(self, source: int, target: int, end: int) -> int:
        assert end <= self.ends[source]
        self.ends[target] = end
        return end

    def clear(self, slot: int) -> None:
        self.ends[slot] = 0

    def swap(self, left: int, right: int) -> bool:
        if self.can_swap:
            self.ends[left], self.ends[right] = self.ends.get(right, 0), self.ends.get(left, 0)
        return self.can_swap


@dataclass
class FakeHandle:
    job: Job
    cancelled: bool = False
    arrived_s: float = 0.0


@dataclass
class FakeWork:
    handle: FakeHandle
    tokens: list[int]
    choosers: list[int]
    max_tokens: int = 10
    first_choice: int = 0

    def new_text(self) -> TextStream:
        return TextStream(())

    def close(self) -> None:
        pass


class Table:
    def __init__(self, context: FakeContext | None = None, grid_tokens: int = 0) -> None:
        self.context = context or FakeContext()
        self.slots = SlotTable(cast("Context", self.context), grid_tokens)
        self.now = 0.0

    def runs(self, tokens: list[int], choices: int = 1, scope: str = "", adapter: str | None = None) -> list[Run]:
        job = Job(1, choices=choices, place=Place(scope=scope), adapter=adapter)
        return runs_of(cast("Work", FakeWork(FakeHandle(job, arrived_s=self.now), tokens, list(range(choices)))))

    def seat(self, run: Run) -> int:
        placement = self.slots.place(run)
        assert isinstance(placement, Placement)
        self.now += 1.0
        return self.slots.seat(run, placement, self.now)

    def know(self, run: Run, tokens: int | None = None) -> None:
        """It has read its prompt so far."""
        (slot,) = [slot for slot, one in self.slots.runs() if one is run]
        slot.known = slot.on_grid = self.context.ends[slot.number] = len(run.tokens) if tokens is None else tokens

    def end(self, run: Run) -> None:
        (slot,) = [slot for slot, one in self.slots.runs() if one is run]
        self.slots.release(slot, self.now)

    def one(self, tokens: list[int], scope: str = "", adapter: str | None = None) -> Run:
        return self.runs(tokens, scope=scope, adapter=adapter)[0]


def test_a_free_slot_that_knows_the_beginning_is_gone_on_with() -> None:
    table = Table()
    first = table.one(PROMPT)
    assert table.seat(first) == 0
    table.know(first)
    table.end(first)
    assert table.seat(table.one([*PROMPT[:150], 999])) == 150
    assert table.slots.running == 1
    assert table.slots.known_cells == 150


def test_what_a_busy_slot_knows_is_copied() -> None:
    table = Table()
    first = table.one(PROMPT)
    table.seat(first)
    table.know(first)
    assert table.seat(table.one(PROMPT)) == 199
    assert table.slots.known_cells == 399


def test_what_is_being_read_is_waited_for_and_then_copied() -> None:
    table = Table()
    first, second = table.one(PROMPT), table.one([*PROMPT[:150], 999])
    table.seat(first)
    assert table.slots.place(second) == Hold(0, 150)
    table.know(first, 149)
    assert table.seat(second) == 149


def test_scopes_and_adapters_share_nothing() -> None:
    table = Table()
    first = table.one(PROMPT, scope="a")
    table.seat(first)
    table.know(first)
    assert table.seat(table.one(PROMPT, scope="b")) == 0
    assert table.seat(table.one(PROMPT, scope="a", adapter="poet")) == 0


def test_on_the_grid_only_what_was_read_there_is_kept() -> None:
    """What was written token by token came out of other sums than what is read in chunks."""
    table = Table(grid_tokens=64)
    first = table.one(PROMPT[:100])
    table.seat(first)
    table.know(first)
    ((slot, _),) = table.slots.runs()
    first.tokens.extend(PROMPT[100:])
    slot.known = table.context.ends[0] = 200
    table.end(first)
    assert table.seat(table.one(PROMPT)) == 64


def test_choices_wait_for_the_one_that_reads_and_take_all_of_it() -> None:
    table = Table()
    first, second, third = table.runs(PROMPT[:20], choices=3)
    table.seat(first)
    first.family.reading = 0
    assert isinstance(table.slots.place(second), Hold)
    table.know(first)
    first.family.row = np.zeros(1, np.float32)
    assert table.seat(second) == 20
    table.end(first)
    assert table.slots.place(third) == Placement(0, 0, 20)


def test_choices_read_again_where_nobody_knows_the_prompt_any_more() -> None:
    table = Table(FakeContext(slots=1))
    first, second = table.runs(PROMPT, choices=2)
    table.seat(first)
    table.know(first)
    first.family.row = np.zeros(1, np.float32)
    table.end(first)
    other = table.one(PROMPT[100:])
    table.seat(other)
    table.end(other)
    assert table.seat(second) == 0


def test_a_state_that_cannot_be_cut_is_read_anew() -> None:
    table = Table(FakeContext(can_copy=False, can_cut=False))
    first = table.one(PROMPT)
    table.seat(first)
    table.know(first)
    table.end(first)
    assert table.seat(table.one([*PROMPT[:150], 999])) == 0


def test_full_cells_are_taken_from_the_free_then_from_the_youngest() -> None:
    table = Table(FakeContext(unified=True, cells=700))
    runs = [table.one([number, *PROMPT]) for number in range(3)]
    for run in runs:
        table.seat(run)
        table.know(run)
    table.end(runs[0])
    slots = table.slots
    assert slots.yield_room() is slots[0]
    assert slots.yield_room() is slots[2]
    assert slots[2].paused
    assert slots[2].run is runs[2]
    assert slots.yield_room() is None
    slots.resume()
    assert not slots[2].paused


def test_the_paused_wait_for_cells_enough() -> None:
    table = Table(FakeContext(unified=True, cells=500))
    runs = [table.one([number, *PROMPT]) for number in range(2)]
    for run in runs:
        table.seat(run)
        table.know(run)
    runs[0].tokens.extend([0] * 60)
    table.slots.yield_room()
    table.slots.resume()
    assert table.slots[1].paused
    table.end(runs[0])
    table.slots.resume()
    assert not table.slots[1].paused


def test_nobody_is_let_in_where_there_are_no_cells_for_it() -> None:
    table = Table(FakeContext(unified=True, cells=500))
    first, second = table.one(PROMPT), table.one([999, *PROMPT, *PROMPT])
    table.seat(first)
    table.know(first)
    assert isinstance(table.slots.place(second), Hold)
    table.end(first)
    assert table.seat(second) == 0
    assert table.context.ends[0] == 0


def test_after_a_new_context_nothing_is_known() -> None:
    table = Table()
    first = table.one(PROMPT)
    table.seat(first)
    table.know(first)
    table.slots.forget_all()
    assert table.slots.known_cells == 0
    assert table.slots.running == 1


@pytest.mark.parametrize("can_swap", [True, False])
def test_a_gap_that_stays_is_closed(*, can_swap: bool) -> None:
    """The run at the end takes the free slot's place, and what that knew goes on in its own; or both read again."""
    table = Table(FakeContext(can_swap=can_swap))
    runs = [table.one([number, *PROMPT[: 50 + number]]) for number in range(3)]
    for run in runs:
        table.seat(run)
        table.know(run)
    table.end(runs[1])
    for _ in range(GAP_STEPS - 1):
        table.slots.close_gap()
    assert table.slots[2].run is runs[2]
    table.slots.close_gap()
    assert [slot.run for slot in table.slots.slots] == [runs[0], runs[2], None]
    assert [slot.number for slot in table.slots.slots] == [0, 1, 2]
    assert [slot.known for slot in table.slots.slots] == ([51, 53, 52] if can_swap else [51, 0, 0])
    assert table.slots[2].tokens == runs[1].tokens


def test_a_run_that_is_nearly_over_stays_where_it_is() -> None:
    table = Table()
    runs = [table.one([number]) for number in range(3)]
    for run in runs:
        table.seat(run)
    table.end(runs[1])
    runs[2].written = runs[2].max_tokens - 1
    for _ in range(2 * GAP_STEPS):
        table.slots.close_gap()
    assert table.slots[2].run is runs[2]


def test_runs_with_one_adapter_become_neighbours_though_others_wait() -> None:
    table = Table(FakeContext(slots=4))
    runs = [table.one([number, *PROMPT], adapter="poet" if number % 2 else None) for number in range(4)]
    for number, run in enumerate(runs):
        slot = table.slots[number]
        table.slots.seat(run, Placement(number, number, 0), 1.0)
        slot.known = slot.on_grid = table.context.ends[number] = number + 10
    for _ in range(GAP_STEPS):
        table.slots.close_gap(is_awaited=True)
    assert [slot.run for slot in table.slots.slots] == [runs[0], runs[2], runs[1], runs[3]]
    assert [slot.known for slot in table.slots.slots] == [10, 12, 11, 13]
    assert table.context.ends == {0: 10, 1: 12, 2: 11, 3: 13}
    assert [slot.number for slot in table.slots.slots] == [0, 1, 2, 3]
