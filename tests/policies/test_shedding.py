from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.route_rules import Priority, ShedRules
from policies.shedding import (
    AT_EASE,
    AT_WORK,
    IN_FLIGHT_MIN,
    LATE_AGAIN,
    SHARE_MIN,
    WAITS,
    Look,
    ShedState,
    is_full,
    observe,
    shares_of,
    sheds,
)

RULES = ShedRules()
LOOK_S = 0.05
NOBODY = (0, 0, 0, 0)
LATE = 0.1
TOO_LATE = (LATE,) * 10


def after(state: ShedState, *delays_s: float, came: tuple[int, ...] = (10, 10, 10, 10)) -> ShedState:
    for delay_s in delays_s:
        state = observe(state, Look(delay_s, LOOK_S + delay_s, 0.9, 1000, came), RULES)
    return state


@given(st.lists(st.floats(0.0, RULES.delay_max_s / WAITS), max_size=50))
def test_a_loop_that_is_never_too_late_lets_everybody_in(delays_s: list[float]) -> None:
    assert not after(AT_EASE, *delays_s).is_shedding


@given(st.floats(0.3, 3600.0), st.floats(0.0, 0.015))
def test_a_stall_is_one_late_look_however_long(stall_s: float, then_s: float) -> None:
    """A garbage collection, a suspended machine, a test that blocks."""
    state = AT_EASE
    for _ in range(10):
        state = after(state, stall_s, *[then_s] * 20)
        assert not state.is_shedding


@pytest.mark.parametrize(("busy", "sheds_then"), [(AT_WORK, False), (0.9, True)])
def test_a_queue_outside_counts_only_while_the_process_is_at_work(busy: float, *, sheds_then: bool) -> None:
    """Else somebody else has the processor, and nobody is served sooner for being refused."""
    state = AT_EASE
    for _ in range(10):
        state = observe(state, Look(0.0, LOOK_S, busy, 0, NOBODY, outside_s=2 * RULES.delay_max_s), RULES)
    assert state.is_shedding is sheds_then


def test_late_for_a_second_is_too_much() -> None:
    looks = 1
    while not after(AT_EASE, *[LATE] * looks).is_shedding:
        looks += 1
    assert 0.3 < looks * (LOOK_S + LATE) < 1.5


@pytest.mark.parametrize(("busy", "in_flight"), [(AT_WORK, 1000), (1.0, IN_FLIGHT_MIN), (0.0, 0)])
def test_who_is_late_for_other_reasons_refuses_nobody(busy: float, in_flight: int) -> None:
    """Another process has the processor, or a handful of calls is heavy."""
    state = AT_EASE
    for _ in range(50):
        state = observe(state, Look(LATE, LOOK_S + LATE, busy, in_flight, NOBODY), RULES)
    assert not state.is_shedding


def test_it_lets_in_less_while_it_is_late_and_more_while_it_is_not() -> None:
    state = after(AT_EASE, *TOO_LATE)
    shares = [state.share]
    for _ in range(4):
        state = after(state, *[LATE] * LATE_AGAIN)
        shares.append(state.share)
    assert all(0.5 * was <= now < was for was, now in itertools.pairwise(shares))
    assert after(state, 0.0).share > state.share


def test_it_waits_for_a_loop_that_is_catching_up() -> None:
    state = after(AT_EASE, *TOO_LATE)
    assert after(state, *[LATE * 0.9**look for look in range(1, 6)]).share == state.share


def test_one_late_moment_while_it_sheds_is_none_of_its_doing() -> None:
    state = after(AT_EASE, *TOO_LATE, 0.0)
    assert after(state, 5.0).share == state.share


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
            busy = min(1.0, (self.backlog_s + work_s) / LOOK_S)
            self.backlog_s = max(0.0, self.backlog_s + work_s - LOOK_S)
            self.state = observe(self.state, Look(self.backlog_s, LOOK_S, busy, 1000, (0, calls, 0, 0)), RULES)
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
