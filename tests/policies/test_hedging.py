from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.attempts import AttemptPlan, History, Live, Outcome, Running, Wait, decide
from policies.hedging import SAVED_MAX, HedgeBudget, deposit, may_hedge, withdraw
from policies.route_rules import HedgeRules
from tests.policies.attempt_worlds import chance, credentials, failed, plan, shape, status


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


HEDGING = HedgeRules(share_max=1.0)
A_RUNS = (Running("a", 10.0),)
LATE = Live(late_s={"a": 2.0}, may_hedge=True)


def beside(of: AttemptPlan, *ended: Outcome, now: float = 10.0, live: Live = LATE) -> str:
    decision = decide(of, History(ended, A_RUNS), now, chance(1), live)
    return "stay" if isinstance(decision, Wait) else shape(decision)


def hedged(names: str, rules: HedgeRules = HEDGING) -> AttemptPlan:
    return plan(names)._replace(hedge=rules)


def test_a_hedge_starts_when_the_first_is_later_than_usual() -> None:
    assert beside(hedged("ab")) == "hedge b in 2.0"
    assert beside(hedged("ab"), now=11.5) == "hedge b in 0.5"
    assert beside(hedged("ab"), now=60.0) == "hedge b in 0.0"
    assert beside(hedged("ab", HedgeRules(1.0, after_s=0.5))) == "hedge b in 0.5"


def test_there_is_no_hedge_without_rules_budget_knowledge_or_somebody_else() -> None:
    assert beside(plan("ab")) == "stay"
    assert beside(hedged("ab"), live=LATE._replace(may_hedge=False)) == "stay"
    assert beside(hedged("ab"), live=LATE._replace(late_s={})) == "stay"
    assert beside(hedged("a")) == "stay"
    assert beside(hedged("ab"), live=LATE._replace(set_aside={"b": 99.0})) == "stay"
    assert beside(hedged("ab"), failed("b", status(503))) == "stay"
    assert beside(hedged("ab")._replace(deadline_s=11.0)) == "stay"


def test_one_hedge_at_a_time() -> None:
    two = History(running=(*A_RUNS, Running("b", 12.0)))
    assert isinstance(decide(hedged("abc"), two, 99.0, chance(1), LATE), Wait)


def test_a_hedge_prefers_another_deployment_to_another_credential() -> None:
    of = credentials("b")._replace(hedge=HEDGING)
    running = History(running=(Running("a@1", 0.0),))
    live = Live(late_s={"a@1": 1.0}, may_hedge=True)
    assert shape(decide(of, running, 0.0, chance(1), live)) == "hedge b in 1.0"
    assert shape(decide(of._replace(candidates=of.candidates[:2]), running, 0.0, chance(1), live)) == (
        "hedge a@2 in 1.0"
    )
