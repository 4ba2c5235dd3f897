from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.chunks import CHUNK_S, IDLE_S, Pace, calls_in_chunk, is_due, is_roomy, is_worth_shrinking, paced
from policies.limits import Account, Ask, Kind

NOW = 1_700_000_000.0


def tokens(amount: int, limit: int = 100_000) -> Ask:
    return Ask("tokens", Kind.RATE, amount, limit, limit / 60)


def pace_of(calls_per_s: int, seconds: float = 2.0) -> Pace:
    pace = Pace(since_s=NOW)
    for i in range(int(calls_per_s * seconds)):
        pace = paced(pace, NOW + i / calls_per_s)
    return pace


@pytest.mark.parametrize("calls_per_s", [8, 100, 1000])
def test_the_pace_is_that_of_the_last_moments(calls_per_s: int) -> None:
    assert pace_of(calls_per_s).per_s == pytest.approx(calls_per_s, rel=0.15)


def test_after_a_pause_or_a_jump_of_the_clock_the_pace_begins_anew() -> None:
    busy = pace_of(1000)
    assert paced(busy, busy.since_s + CHUNK_S + 1).per_s == 0
    assert paced(busy, busy.since_s - 1).per_s == 0


@pytest.mark.parametrize(
    ("asks", "per_s", "calls"),
    [
        ((tokens(50),), 1000.0, 20),  # a hundredth of the limit
        ((tokens(50),), 40.0, 10),  # a quarter of a second
        ((tokens(50), Ask("calls", Kind.CONCURRENT, 1, 300)), 1000.0, 3),  # the scarcest decides
        ((tokens(501),), 1000.0, 0),  # two would be too many
        ((tokens(50), Ask("calls", Kind.CONCURRENT, 1, 8)), 1000.0, 0),
        ((tokens(50),), 7.0, 0),
        ((tokens(50), tokens(0, limit=5)), 40.0, 10),
    ],
)
def test_a_chunk_is_small_beside_the_limit_and_the_traffic(asks: tuple[Ask, ...], per_s: float, calls: int) -> None:
    assert calls_in_chunk(asks, Pace(per_s, 0, NOW)) == calls


@given(st.integers(1, 10**6), st.integers(1, 10**9), st.floats(0, 10**5))
def test_no_chunk_is_more_than_a_hundredth_of_the_limit_or_a_quarter_second_of_calls(
    amount: int, limit: int, per_s: float
) -> None:
    calls = calls_in_chunk((tokens(amount, limit),), Pace(per_s, 0, NOW))
    assert calls == 0 or (calls >= 2 and calls * amount <= limit / 100 and calls <= per_s / 4)


def test_near_the_limit_nothing_is_taken_beforehand() -> None:
    chunk = (tokens(1000),)
    assert is_roomy(chunk, (Account(94_000.0, NOW, 0),), 3, NOW)
    assert not is_roomy(chunk, (Account(90_000.0, NOW, 4_001),), 3, NOW)
    assert is_roomy(chunk, (Account(90_000.0, NOW - 60, 4_001),), 3, NOW)


def test_of_a_budget_that_nobody_knows_nothing_is_taken_beforehand() -> None:
    budget = Ask("budget", Kind.CALENDAR, 1, 1000, 0.0, (NOW, NOW + 60, NOW + 120))
    assert not is_roomy((budget,), (None,), 1, NOW)


@pytest.mark.parametrize(
    ("taken_s", "served_s", "due"),
    [
        (NOW, NOW, False),
        (NOW - CHUNK_S + 0.01, NOW, False),
        (NOW - CHUNK_S, NOW, True),
        (NOW - IDLE_S, NOW - IDLE_S, True),
        (NOW + 5, NOW + 5, True),
    ],
)
def test_a_chunk_goes_back_when_it_is_old_or_idle(taken_s: float, served_s: float, *, due: bool) -> None:
    assert is_due(taken_s, served_s, NOW) is due


def test_a_retired_chunk_is_replaced_once_half_of_it_is_done() -> None:
    assert [is_worth_shrinking(live, 10) for live in (0, 1, 5, 6, 10)] == [False, True, True, False, False]
