from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.errors import RequestError
from gateway.limits.demands import Demand
from gateway.limits.plans import Plan
from policies.estimate import OUTPUT_TOKENS_DEFAULT
from policies.tariffs import Rates, Tariff
from policies.vocabulary import Endpoint, Principal
from tests.gateway.limited_calls import PRICE, ROUTE, WHO, A, B, Gate, Prompts, limit

TOKENS = Plan([(limit("tokens", 10**9), "ci")])
SMALL = Plan([(limit("tokens", 1000), "ci")])


def added(plan: Plan = TOKENS, *, who: Principal = WHO, route_default: int | None = None, **request: Any) -> int | None:
    call = Gate().call(who=who, **request)
    call.route = replace(ROUTE, output_tokens_default=route_default)
    before = call.request
    demand = Demand(call, Prompts())
    demand.cap_output(plan)
    assert before.output_tokens_added is None, "the caller's own request stays as it was"
    return call.request.output_tokens_added


def test_the_keys_default_comes_before_the_routes_and_both_before_what_is_built_in() -> None:
    keyed = replace(WHO, output_tokens_default=7)
    assert added(who=keyed, route_default=8) == 7
    assert added(route_default=8) == 8
    assert added() == OUTPUT_TOKENS_DEFAULT


def test_deployments_defaults_give_what_all_of_them_can_do() -> None:
    call = Gate().call(candidates=(replace(A, output_tokens_default=90), replace(B, output_tokens_default=60)))
    Demand(call, Prompts()).cap_output(TOKENS)
    assert call.request.output_tokens_added == 60


def test_what_is_built_in_leaves_room_for_others_under_a_small_limit() -> None:
    assert added(SMALL) == 250
    assert added(SMALL, generations=2) == 125
    assert added(SMALL, route_default=900) == 900, "what an operator says stands"


@pytest.mark.parametrize("request_", [{"output_tokens_max": 5}, {"generations": 0}])
def test_nothing_is_added_where_the_caller_has_said_it_or_nothing_is_generated(request_: dict[str, Any]) -> None:
    assert added(**request_) is None


def test_nothing_is_added_where_no_limit_counts_output() -> None:
    assert added(Plan([(limit("input_tokens", 5), "ci"), (limit("requests", 5), "ci")])) is None


async def test_counting_can_only_lower_the_bound() -> None:
    demand = Demand(Gate().call(), Prompts(50, exact=60))
    assert not await demand.sharpen()
    assert (demand.input_tokens, demand.is_exact) == (50, True)
    demand = Demand(Gate().call(), Prompts(50, exact=40))
    assert await demand.sharpen()
    assert demand.input_tokens == 40


def test_the_dearest_candidate_counts() -> None:
    call = Gate().call(output_tokens_max=10)
    demand = Demand(call, Prompts(100))
    plan = Plan([(limit("cost", 10**9), "ci")])
    demand.cap_output(plan)
    assert demand.amounts(plan, (A, B)) == (1, 110, 100, 10, 1, 100 * 3000 + 10 * 6000 + 2)
    assert demand.amounts(plan, (A,)).cost == 100 * 1000 + 10 * 2000 + 2
    assert demand.amounts(TOKENS, (A, B)).cost == 0


def test_the_service_that_is_asked_for_is_reserved_for() -> None:
    rates = Rates(3_000_000_000, output_nanousd=5_000_000_000)
    dear = replace(A, price=replace(PRICE, services=(("priority", Tariff(rates)),)))
    call = Gate().call(output_tokens_max=10)
    plan = Plan([(limit("cost", 10**9), "ci")])
    costs = []
    for asked in (b'"default"', b'"priority"'):
        call.request.members["service_tier"] = msgspec.Raw(asked)
        demand = Demand(call, Prompts(100))
        demand.cap_output(plan)
        costs.append(demand.amounts(plan, (dear,)).cost)
    assert costs == [100 * 1000 + 10 * 2000 + 6, 100 * 3000 + 10 * 5000 + 6]


def test_more_than_can_be_counted_is_refused() -> None:
    demand = Demand(Gate().call(output_tokens_max=2**53), Prompts(100))
    demand.cap_output(TOKENS)
    with pytest.raises(RequestError):
        demand.amounts(TOKENS, (A,))


def test_embeddings_reserve_their_input_alone() -> None:
    call = Gate().call(generations=0)
    call.request.endpoint = Endpoint.EMBEDDINGS
    demand = Demand(call, Prompts(30))
    demand.cap_output(TOKENS)
    assert demand.amounts(TOKENS, (A,)).tokens == 30
