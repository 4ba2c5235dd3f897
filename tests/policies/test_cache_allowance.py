"""No more checks than an hour allows, and no more money than a day."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.cache_allowance import Allowance
from policies.cache_rules import ShadowRules

HOUR, DAY = 3600.0, 86_400.0
RULES = ShadowRules(hourly_max=2, cost_max_nanousd=100)


def taken(allowance: Allowance | None, now_s: float = 0.0, cost: int | None = 10) -> Allowance | None:
    return None if allowance is None else allowance.taken(RULES, now_s, cost)


def test_an_hour_allows_so_many() -> None:
    two = taken(taken(Allowance()))

    assert two is not None
    assert taken(two) is None
    assert taken(two, HOUR) is not None


def test_a_day_allows_so_much_money() -> None:
    most = taken(Allowance(), cost=100)

    assert most is not None
    assert taken(most, cost=1) is None
    assert taken(most, HOUR, cost=1) is None
    assert taken(most, DAY, cost=1) is not None
    assert taken(Allowance(), cost=101) is None


def test_what_costs_nobody_knows_what_is_not_made_where_money_is_bounded() -> None:
    assert taken(Allowance(), cost=None) is None
    assert Allowance().taken(ShadowRules(), 0.0, None) is not None


def test_the_real_cost_takes_the_place_of_the_guess() -> None:
    first = taken(Allowance(), cost=60)
    assert first is not None

    assert first.corrected(1.0, 60, 5).spent_nanousd == 5
    assert taken(first.corrected(1.0, 60, 95), cost=6) is None
    assert first.corrected(DAY, 60, 7).spent_nanousd == 7


@given(st.lists(st.tuples(st.floats(0, 5 * HOUR), st.integers(0, 60)), max_size=40))
def test_whatever_comes_the_bounds_hold(tries: list[tuple[float, int]]) -> None:
    allowance, hours, spent = Allowance(), dict[int, int](), 0
    for now_s, cost in sorted(tries):
        after = allowance.taken(RULES, now_s, cost)
        if after is not None:
            allowance, spent = after, spent + cost
            hour = int(now_s // HOUR)
            hours[hour] = hours.get(hour, 0) + 1

    assert max(hours.values(), default=0) <= 2
    assert spent <= 100
