from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.packing import Move, closing_move


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
