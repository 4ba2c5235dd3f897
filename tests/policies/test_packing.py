from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.packing import Move, closing_move, grouping_move


@pytest.mark.parametrize(
    ("busy", "move"),
    [
        ([], None),
        ([5], None),
        ([2, 3, 4], None),
        ([0, 1, 3], Move(3, 2)),
        ([0, 2, 3], Move(0, 1)),
        ([0, 2], Move(2, 1)),
        ([0, 1, 4, 5, 6], Move(0, 3)),
        ([0, 2, 5], Move(5, 3)),
    ],
)
def test_the_shorter_end_gives(busy: list[int], move: Move | None) -> None:
    assert closing_move(busy) == move


@given(st.sets(st.integers(0, 31), min_size=1))
def test_moves_end_with_neighbours(busy: set[int]) -> None:
    runs = len(busy)
    while (move := closing_move(sorted(busy))) is not None:
        span = max(busy) - min(busy)
        assert move.source in busy
        assert move.target not in busy
        assert move.target >= 0
        busy = busy - {move.source} | {move.target}
        assert max(busy) - min(busy) < span
    assert len(busy) == runs
    assert max(busy) - min(busy) == runs - 1


@pytest.mark.parametrize(
    ("busy", "move"),
    [
        ({}, None),
        ({0: None, 1: None, 2: "a", 3: "a"}, None),
        ({0: "a", 1: "a", 5: None, 6: None}, None),
        ({0: None, 1: "a", 2: None, 3: "a"}, Move(2, 1)),
        ({1: "a", 3: "a", 4: None}, Move(3, 2)),
    ],
)
def test_neighbours_compute_with_one_adapter(busy: dict[int, str | None], move: Move | None) -> None:
    assert grouping_move(busy) == move


@given(st.dictionaries(st.integers(0, 15), st.sampled_from([None, "a", "b", "c"])))
def test_each_grouping_move_puts_one_run_into_its_place(busy: dict[int, str | None]) -> None:
    before, moves = sorted(busy.values(), key=str), 0
    while (move := grouping_move(busy)) is not None:
        mover, other = busy.pop(move.source), busy.pop(move.target, "free")
        busy[move.target] = mover
        if other != "free":
            busy[move.source] = other
        moves += 1
        assert moves <= len(before)
    assert sorted(busy.values(), key=str) == before
    rows = sum(slot - 1 not in busy or busy[slot - 1] != busy[slot] for slot in busy)
    assert rows == len(set(busy.values()))
