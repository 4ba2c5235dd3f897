from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.hedging import SAVED_MAX, HedgeBudget, deposit, may_hedge, withdraw
from policies.route_rules import HedgeRules


def hedges_of(calls: int, rules: HedgeRules) -> int:
    """How many of so many calls are hedged when every one wants to be."""
    budget, made = HedgeBudget(), 0
    for _ in range(calls):
        budget = deposit(budget, rules)
        if may_hedge(budget):
            made, budget = made + 1, withdraw(budget)
    return made


def test_every_twentieth_call_at_five_percent() -> None:
    assert hedges_of(19, HedgeRules(0.05)) == 0
    assert hedges_of(20, HedgeRules(0.05)) == 1
    assert hedges_of(2000, HedgeRules(0.05)) == 100


def test_a_share_of_one_hedges_every_call_and_of_none_no_call() -> None:
    assert hedges_of(7, HedgeRules(1.0)) == 7
    assert hedges_of(1000, HedgeRules(0.0)) == 0


def test_a_quiet_day_pays_for_few_hedges() -> None:
    budget = HedgeBudget()
    for _ in range(100_000):
        budget = deposit(budget, HedgeRules(0.05))
    made = 0
    while may_hedge(budget):
        made, budget = made + 1, withdraw(budget)
    assert made == SAVED_MAX


@given(st.floats(0.0, 1.0), st.lists(st.booleans(), max_size=400))
def test_hedges_stay_within_their_share_of_the_calls(share: float, wanted: list[bool]) -> None:
    budget, made = HedgeBudget(), 0
    for number, wants in enumerate(wanted, 1):
        budget = deposit(budget, HedgeRules(share))
        if wants and may_hedge(budget):
            made, budget = made + 1, withdraw(budget)
        assert made <= share * number + 1e-6 * number
