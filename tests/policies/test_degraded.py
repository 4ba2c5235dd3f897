from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import limits
from policies.degraded import DegradedRules, WhenDown, as_whole, own_part, shares
from policies.limits import Account, Ask, Denied, Granted, Kind, Unknown

RATE = Ask("tokens", Kind.RATE, 10, 1000, 12.0)
CALLS = Ask("calls", Kind.CONCURRENT, 1, 7)
BUDGET = Ask("budget", Kind.CALENDAR, 5, 100, 0.0, (0.0, 50.0, 100.0))


def test_a_node_has_its_part_of_each_rate_and_of_what_is_held_at_once() -> None:
    own = shares((RATE, CALLS), DegradedRules(nodes=4))
    assert own == (RATE._replace(limit=250, rate_per_s=3.0), CALLS._replace(limit=1))


@given(st.integers(1, 50), st.integers(1, 10**12), st.floats(0.001, 1e6))
def test_all_parts_together_are_never_more_than_the_whole(nodes: int, limit: int, rate: float) -> None:
    own = shares((RATE._replace(limit=limit, rate_per_s=rate),), DegradedRules(nodes=nodes))
    assert own is not None
    assert own[0].limit * nodes <= limit
    assert own[0].rate_per_s * nodes == pytest.approx(rate)


@pytest.mark.parametrize(
    ("when_down", "asks", "refused"),
    [
        (WhenDown.LOCAL, (RATE, CALLS), False),
        (WhenDown.LOCAL, (RATE, BUDGET), True),
        (WhenDown.CLOSED, (RATE,), True),
        (WhenDown.OPEN, (RATE, BUDGET), False),
    ],
)
def test_money_is_refused_unless_everything_is_let_through(
    when_down: WhenDown, asks: tuple[Ask, ...], *, refused: bool
) -> None:
    assert (shares(asks, DegradedRules(2, when_down)) is None) is refused


def test_open_lets_all_pass_and_still_counts() -> None:
    rules = DegradedRules(2, WhenDown.OPEN)
    asks = (RATE._replace(amount=999), BUDGET._replace(amount=99))
    own = shares(asks, rules)
    assert own is not None
    answer = limits.reserve(own, [Account(10.0**9, 60.0)], 60.0)
    whole = as_whole(answer, asks, rules, 60.0)
    assert isinstance(whole, Granted)
    assert [(hold.account, hold.amount, hold.window_s) for hold in whole.holds] == [
        ("tokens", 999, 0.0),
        ("budget", 99, 50.0),
    ]
    assert own_part(whole.holds, (7, 8)) == [7]


def test_the_callers_see_the_whole_limit_as_if_all_nodes_did_alike() -> None:
    rules = DegradedRules(nodes=4)
    own = shares((RATE,), rules)
    assert own is not None
    whole = as_whole(limits.reserve(own, [Account(100.0, 60.0)], 60.0), (RATE,), rules, 60.0)
    assert isinstance(whole, Granted)
    assert limits.remaining(RATE, whole.accounts[0]) == 4 * (250 - 110)
    assert limits.reset_s(RATE, whole.accounts[0], 60.0) == pytest.approx(110 / 3.0)


def test_a_refusal_names_the_asks_of_the_caller() -> None:
    rules = DegradedRules(2, WhenDown.OPEN)
    asks = (BUDGET, RATE, CALLS)
    whole = as_whole(Denied((1,), (Account(), Account()), 2.0), asks, rules, 1.0)
    assert isinstance(whole, Denied)
    assert (whole.short, whole.wait_s, len(whole.accounts)) == ((2,), 2.0, 3)


def test_what_is_unknown_stays_so() -> None:
    assert as_whole(Unknown((0,)), (RATE,), DegradedRules(), 0.0) == Unknown((0,))
