from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.base import Tally
from gateway.call import Attempt
from gateway.limits.holdings import Holding
from gateway.limits.plans import Plan
from gateway.state.answers.store import Used
from gateway.state.limits.in_process import InProcessLimitStore
from policies.estimate import Amounts
from policies.limits import Granted
from policies.usage import Usage
from policies.vocabulary import Deployment, Period
from tests.gateway.limited_calls import NOW_S, A, limit

LIMITS = (
    limit("requests", 9),
    limit("tokens", 10**6, Period.DAY, "team"),
    limit("input_tokens", 10**6),
    limit("output_tokens", 10**6),
    limit("concurrent", 3),
    limit("cost", 10**9, Period.MONTH, "org"),
)
PLAN = Plan([(one, "x") for one in LIMITS])
RESERVED = Amounts(1, 150, 100, 50, 1, 400_000)
EDGES = (NOW_S - 1.0, NOW_S + 1.0, NOW_S + 2.0)


async def a_holding() -> tuple[Holding, InProcessLimitStore]:
    store = InProcessLimitStore(lambda: NOW_S)
    asks = PLAN.asks(RESERVED, lambda _: EDGES)
    assert asks is not None
    for ask in asks:
        await store.hydrate("t", ask.account, EDGES[0], 0) if ask.kind == 1 else None
    granted = await store.reserve("t", "r", asks)
    assert isinstance(granted, Granted)
    return Holding("t", "r", PLAN, granted), store


def attempt(usage: Usage | None, *, deployment: Deployment = A, sent: bool = True) -> Attempt:
    made = Attempt(1, deployment, 0.0, ended_s=1.0, sent=sent)
    made.tally = Tally(usage=usage)
    return made


async def used(store: InProcessLimitStore) -> list[float]:
    """In the order of the plan."""
    states = {kept.account: kept.state.used for kept in await store.view(("t",))}
    return [states[term.account] for term in PLAN.terms]


@pytest.mark.parametrize(
    ("attempts", "came_to"),
    [
        ([], [0, 0, 0, 0, 0, 0]),
        ([attempt(Usage(10, 20))], [1, 30, 10, 20, 0, 50_000]),
        ([attempt(None, sent=False)], [1, 0, 0, 0, 0, 0]),
        ([attempt(None, sent=False), attempt(Usage(10, 20))], [1, 30, 10, 20, 0, 50_000]),
        ([attempt(Usage(1, 1)), attempt(Usage(10, 20))], [1, 32, 11, 21, 0, 53_000]),
        ([attempt(Usage(900, 20))], [1, 920, 900, 20, 0, 940_000]),
    ],
)
async def test_it_settles_with_what_its_attempts_used(attempts: list[Attempt], came_to: list[int]) -> None:
    holding, store = await a_holding()
    holding.attempts = attempts
    holding.end(store)
    holding.end(store)
    holding.settle(store)
    assert await used(store) == came_to
    assert [kept.state.held for kept in await store.view(("t",))] == [0] * 6


@pytest.mark.parametrize(
    ("hit", "came_to"),
    [
        (Used(10, 20, cost_nanousd=50_000), [1, 30, 10, 20, 0, 50_000]),
        (Used(10, 20), [1, 30, 10, 20, 0, 0]),
        (Used(900, 20, cost_nanousd=940_000), [1, 920, 900, 20, 0, 940_000]),
        (None, [1, 150, 100, 50, 0, 400_000]),
    ],
)
async def test_a_hit_that_is_charged_settles_as_if_the_model_had_answered(hit: Used | None, came_to: list[int]) -> None:
    holding, store = await a_holding()
    holding.is_hit, holding.hit = True, hit
    holding.end(store)
    holding.end(store)
    assert await used(store) == came_to
    assert [kept.state.held for kept in await store.view(("t",))] == [0] * 6
    charged = [(window_s, amount) for _, window_s, amount in holding.hit_charges()]
    assert charged == [(EDGES[0], came_to[1]), (EDGES[0], came_to[5])]


async def test_attempts_settle_a_holding_whatever_was_said_of_a_hit() -> None:
    holding, store = await a_holding()
    holding.is_hit, holding.hit = True, Used(10, 20, cost_nanousd=50_000)
    holding.attempts = [attempt(Usage(1, 2))]
    holding.end(store)
    assert (await used(store))[1] == 3
    assert holding.hit_charges() == []


async def test_usage_is_settled_as_it_is_billed() -> None:
    holding, _ = await a_holding()
    nonsense = attempt(Usage(10, -5, cached_input_tokens=99))
    holding.attempts = [nonsense]
    assert holding.used_by(nonsense)[:4] == [1, 10, 10, 0]


async def test_a_price_that_leaves_a_part_open_charges_what_was_reserved_and_no_price_nothing() -> None:
    holding, _ = await a_holding()
    assert A.price is not None
    halves = attempt(Usage(10, 20), deployment=replace(A, price=replace(A.price, output_nanousd=None)))
    without = attempt(Usage(10, 20), deployment=replace(A, price=None))
    holding.attempts = [halves, without]
    assert [holding.used_by(one)[5] for one in (halves, without)] == [400_000, 0]


async def test_the_ledger_is_told_of_calendar_accounts_what_the_store_is() -> None:
    holding, store = await a_holding()
    first, second = attempt(Usage(1, 1)), attempt(Usage(10, 20))
    holding.attempts = [first, second]
    holding.end(store)
    charged: dict[str, int] = {}
    for one in (first, second):
        for account, window_s, amount in holding.charges(one):
            assert window_s == EDGES[0]
            charged[account] = charged.get(account, 0) + amount
    assert charged == {"t|team.tokens.day:x": 32, "t|org.cost.month:x": 53_000}
    accounts = {f"t|{kept.account}": kept.state.used for kept in await store.view(("t",))}
    assert charged == {name: accounts[name] for name in charged}
