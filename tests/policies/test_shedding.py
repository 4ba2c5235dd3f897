from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.route_rules import Priority, ShedRules
from policies.shedding import (
    AT_EASE,
    CALM_PART,
    LATE_IN_A_ROW,
    SHARE_MIN,
    ShedState,
    is_full,
    observe,
    shares_of,
    sheds,
)

RULES = ShedRules()
LOOK_S = 0.05
NOBODY = (0, 0, 0, 0)
LATE = RULES.delay_max_s + 0.01


def after(state: ShedState, *delays_s: float, came: tuple[int, ...] = (10, 10, 10, 10)) -> ShedState:
    for delay_s in delays_s:
        state = observe(state, delay_s, LOOK_S + delay_s, came, RULES)
    return state


@given(st.lists(st.floats(0.0, RULES.delay_max_s), max_size=50))
def test_a_loop_that_is_never_too_late_lets_everybody_in(delays_s: list[float]) -> None:
    assert not after(AT_EASE, *delays_s).is_shedding


@given(st.floats(0.3, 3600.0), st.lists(st.floats(0.0, 0.2), min_size=1, max_size=5))
def test_a_stall_is_one_late_moment_however_long(stall_s: float, then: list[float]) -> None:
    """A garbage collection, a suspended machine, a test that blocks."""
    state = AT_EASE
    for _ in range(10):
        state = after(state, stall_s, *then)
    assert state == AT_EASE


def test_late_again_and_again_is_too_much() -> None:
    assert not after(AT_EASE, *[LATE] * (LATE_IN_A_ROW - 1)).is_shedding
    assert after(AT_EASE, *[LATE] * LATE_IN_A_ROW).is_shedding


def test_it_lets_in_less_while_it_is_late_and_more_while_it_is_not() -> None:
    state = after(AT_EASE, *[LATE] * LATE_IN_A_ROW)
    shares = []
    for _ in range(5):
        state = after(state, LATE)
        shares.append(state.share)
    assert shares == sorted(shares, reverse=True)
    assert after(state, 0.0).share > state.share
    calm_s = CALM_PART * RULES.delay_max_s
    assert after(state, 2 * calm_s).share == state.share  # it is catching up
    assert after(state, 2 * calm_s, 2 * calm_s).share < state.share


def test_it_is_over_within_seconds_of_the_last_late_moment() -> None:
    state = after(AT_EASE, *[LATE] * 200)
    assert state.share == SHARE_MIN
    looks = 0
    while state.is_shedding:
        state = after(state, 0.001)
        looks += 1
    assert looks * LOOK_S < 10.0
    assert state == AT_EASE


@given(st.lists(st.floats(0.0, 2.0), max_size=200), st.tuples(*[st.integers(0, 1000)] * 4))
def test_whatever_happens_somebody_is_let_in_and_the_highest_first(
    delays_s: list[float], came: tuple[int, int, int, int]
) -> None:
    state = after(AT_EASE, *delays_s, came=came)
    assert SHARE_MIN <= state.share <= 1.0
    assert all(0.0 <= share <= 1.0 for share in state.shares)
    assert list(state.shares) == sorted(state.shares)
    assert max(state.shares) > 0.0


@given(st.floats(SHARE_MIN, 1.0), st.tuples(*[st.floats(0.0, 1e6)] * 4))
def test_all_in_all_the_share_is_kept(share: float, mix: tuple[float, float, float, float]) -> None:
    let_in = sum(part * load for part, load in zip(shares_of(share, mix), mix, strict=True))
    assert let_in == pytest.approx(share * sum(mix), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("share", "mix", "expected"),
    [
        (0.5, (0.0, 100.0, 0.0, 0.0), (1.0, 0.5, 1.0, 1.0)),
        (0.5, (50.0, 50.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0)),
        (0.25, (50.0, 25.0, 25.0, 0.0), (0.0, 0.0, 1.0, 1.0)),
        (0.9, (20.0, 60.0, 10.0, 10.0), (0.5, 1.0, 1.0, 1.0)),
        (0.5, (0.0, 0.0, 0.0, 100.0), (0.0, 0.0, 0.0, 0.5)),
    ],
)
def test_the_lowest_priority_goes_first(
    share: float, mix: tuple[float, float, float, float], expected: tuple[float, ...]
) -> None:
    found = shares_of(share, mix)
    loaded = [priority for priority in Priority if mix[priority]]
    assert [found[priority] for priority in loaded] == pytest.approx([expected[priority] for priority in loaded])


def test_before_anybody_has_come_only_the_usual_priorities_are_refused() -> None:
    assert shares_of(0.7, (0.0, 0.0, 0.0, 0.0)) == (0.7, 0.7, 1.0, 1.0)


def test_a_draw_decides() -> None:
    state = ShedState(0.5, (0.0, 0.5, 1.0, 1.0))
    assert sheds(state, Priority.LOW, 0.0)
    assert not sheds(state, Priority.NORMAL, 0.49)
    assert sheds(state, Priority.NORMAL, 0.5)
    assert not sheds(state, Priority.CRITICAL, 0.999999)


def test_the_last_room_is_kept_for_the_highest_priority() -> None:
    rules = ShedRules(calls_max=100)
    assert [is_full(70, priority, rules) for priority in Priority] == [True, False, False, False]
    assert [is_full(99, priority, rules) for priority in Priority] == [True, True, True, False]
    assert all(is_full(100, priority, rules) for priority in Priority)
    assert not any(is_full(10**6, priority, RULES) for priority in Priority)


class Machine:
    """Serves `capacity` calls a second, one after another; a refusal costs a twentieth of a call."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.backlog_s = 0.0
        self.state = AT_EASE
        self.rng = random.Random(3)

    def second(self, rate: float) -> float:
        """How many of a second's calls were served, as a part of what can be."""
        let_in = 0
        for _ in range(int(1 / LOOK_S)):
            calls = int(rate * LOOK_S)
            now_in = sum(not sheds(self.state, Priority.NORMAL, self.rng.random()) for _ in range(calls))
            let_in += now_in
            work_s = (now_in + 0.05 * (calls - now_in)) / self.capacity
            self.backlog_s = max(0.0, self.backlog_s + work_s - LOOK_S)
            self.state = observe(self.state, self.backlog_s, LOOK_S, (0, calls, 0, 0), RULES)
        return let_in / self.capacity


def test_at_three_times_its_capacity_a_machine_keeps_working_and_recovers() -> None:
    machine = Machine(2000.0)
    assert [machine.second(1800.0) for _ in range(10)] == [pytest.approx(0.9)] * 10
    overload = [machine.second(6000.0) for _ in range(20)]
    assert sum(overload[3:]) / len(overload[3:]) > 0.8
    assert machine.backlog_s < RULES.delay_max_s
    calm = [machine.second(1000.0) for _ in range(10)]
    assert calm[-1] == pytest.approx(0.5)
    assert not machine.state.is_shedding
