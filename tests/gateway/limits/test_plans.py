from __future__ import annotations

from dataclasses import replace

from gateway.limits.plans import PLANS_MAX, Plan, Plans, term_of
from policies.estimate import Amounts
from policies.limits import Ask, Denied, Kind
from policies.vocabulary import Period, Subject
from tests.gateway.limited_calls import NOW_S, WHO, Gate, limit

EDGES = (NOW_S, NOW_S + 1.0, NOW_S + 2.0)


def plan(*limits: object) -> Plan:
    return Plan([(one, "ci") for one in limits])  # type: ignore[misc]  # limits all


def test_a_plan_knows_what_each_limit_asks() -> None:
    made = plan(limit("requests", 60), limit("input_tokens", 500), limit("concurrent", 8), limit("cost", 9, Period.DAY))
    assert made.asks(Amounts(1, 30, 10, 20, 1, 7), lambda _: EDGES) == [
        Ask("key.requests.60.0:ci", Kind.RATE, 1, 60, 1.0),
        Ask("key.input_tokens.60.0:ci", Kind.RATE, 10, 500, 500 / 60.0),
        Ask("key.concurrent:ci", Kind.CONCURRENT, 1, 8),
        Ask("key.cost.day:ci", Kind.CALENDAR, 7, 9, 0.0, EDGES),
    ]
    assert (made.weighs, made.caps_output, made.has_budget, made.has_calendar) == (True, True, True, True)


def test_a_plan_of_calls_alone_weighs_nothing() -> None:
    made = plan(limit("requests", 60), limit("concurrent", 8))
    assert (made.weighs, made.caps_output, made.has_budget, made.further()) == (False, False, False, None)
    assert not plan(limit("input_tokens", 5)).caps_output


def test_a_further_attempt_asks_for_tokens_and_cost_alone() -> None:
    further = plan(limit("requests", 60), limit("tokens", 5), limit("concurrent", 8), limit("cost", 9)).further()
    assert further is not None
    assert [term.limit.resource for term in further.terms] == ["tokens", "cost"]


def test_what_a_smaller_prompt_could_not_mend_is_known() -> None:
    made = plan(limit("requests", 60), limit("tokens", 5), limit("output_tokens", 5))
    assert made.could_fit(Denied((1,), (), 1.0))
    assert not made.could_fit(Denied((0, 1), (), 1.0))
    assert not made.could_fit(Denied((2,), (), 1.0))


def test_the_first_limit_that_is_too_small_is_found() -> None:
    made = plan(limit("requests", 60), limit("tokens", 5))
    assert made.too_large(Amounts(1, 6, 3, 3, 1, 0)) is made.terms[1]
    assert made.too_large(Amounts(1, 5, 3, 2, 1, 0)) is None


def test_plans_are_made_once_for_the_limits_whose_condition_a_call_meets() -> None:
    asked: list[Subject] = []

    def streams(subject: Subject) -> bool:
        asked.append(subject)
        return subject.stream

    bounds = [(limit("requests", 60), "ci"), (replace(limit("tokens", 5), applies=streams), "ci")]
    plans, gate = Plans(), Gate()
    whole, stream = gate.call(), gate.call(stream=True)
    both = plans.of(bounds, stream)
    assert both is plans.of(bounds, stream)
    one = plans.of(bounds, whole)
    assert both is not None
    assert one is not None
    assert [len(both.terms), len(one.terms)] == [2, 1]
    assert asked[0][:5] == (WHO, stream.request.endpoint, "r", True, {})
    assert plans.of(bounds[1:], whole) is None


def test_a_condition_that_fails_counts_as_met() -> None:
    def broken(_: Subject) -> bool:
        raise ZeroDivisionError

    found = Plans().of([(replace(limit("tokens", 5), applies=broken), "ci")], Gate().call())
    assert found is not None


def test_plans_do_not_pile_up() -> None:
    plans, call = Plans(), Gate().call()
    for number in range(PLANS_MAX + 1):
        plans.of([(limit("requests", 60), str(number))], call)
    assert len(plans._known) == 1


def test_a_rate_comes_back_over_its_window() -> None:
    assert term_of(limit("tokens", 120, 60.0), "ci").rate_per_s == 2.0
