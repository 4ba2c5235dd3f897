from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_eviction import ASSUMED_NANOUSD_PER_TOKEN, Bounds, rank, saved_nanousd

AGES = st.floats(0, 1e12)
COUNTS = st.integers(0, 10**9)
SIZES = st.integers(1, 1 << 28)


@pytest.mark.parametrize(
    ("cost", "tokens", "saved"),
    [
        (5_000, 20, 5_000),
        (None, 20, 20 * ASSUMED_NANOUSD_PER_TOKEN),
        (0, 20, 20 * ASSUMED_NANOUSD_PER_TOKEN),
        (None, 0, 1),
        (-5, 20, 1),
        (None, -20, 1),
        (1 << 80, 0, 100 * 10**9),
    ],
)
def test_what_a_serving_saves(cost: int | None, tokens: int, saved: int) -> None:
    assert saved_nanousd(cost, tokens) == saved


@given(AGES, st.integers(1, 10**11), COUNTS, SIZES)
def test_what_saves_more_or_is_smaller_or_is_served_more_goes_later(
    age: float, saved: int, hits: int, size: int
) -> None:
    found = rank(age, saved, hits, size)
    assert age <= found < math.inf
    assert rank(age, saved * 2, hits, size) >= found
    assert rank(age, saved, hits + 1, size) >= found
    assert rank(age, saved, hits, size + 1) <= found
    assert rank(age + 1, saved, hits, size) >= found


@given(st.integers(), st.integers())
def test_no_numbers_make_a_rank_that_cannot_be_compared(hits: int, size: int) -> None:
    assert 0.0 < rank(0.0, 1, hits, size) < math.inf


def test_bounds() -> None:
    bounds = Bounds(entries_max=10, bytes_max=8_000, owner_share=0.5)
    assert bounds.entry_bytes_max == 1_000
    assert not bounds.are_exceeded(10, 8_000)
    assert bounds.are_exceeded(11, 0)
    assert bounds.are_exceeded(0, 8_001)
    assert not bounds.is_greedy(5, 4_000)
    assert bounds.is_greedy(6, 0)
    assert bounds.is_greedy(0, 4_001)
