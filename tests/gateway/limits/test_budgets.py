from __future__ import annotations

import asyncio
from datetime import UTC
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gateway.limits import budgets
from gateway.limits.budgets import HOLDERS_MAX, Budgets, tightest
from gateway.signals.limit_metrics import BudgetStanding
from gateway.signals.metrics import Registry
from gateway.state.limits.store import StoreUnavailable
from policies.calendars import Calendars
from policies.usage import Usage
from policies.vocabulary import Limit, LimitScope, Period, Resource
from tests.gateway.limited_calls import Gate, limit

if TYPE_CHECKING:
    import pytest

    from gateway.generation import Generation

USD = 10**9
LIMITS = (
    limit("cost", 20 * USD, Period.MONTH, "team"),
    limit("cost", 2 * USD, Period.DAY, "team"),
    limit("cost", 100 * USD, Period.MONTH, "org"),
    limit("cost", 5 * USD, Period.DAY, "key"),
    limit("tokens", 10_000, 60.0, "team"),
)


def a_generation(*limits: Limit, teams: dict[str, str] | None = None, key_budgets: bool = False) -> Generation:
    config = SimpleNamespace(
        teams={name: SimpleNamespace(org=org) for name, org in (teams or {}).items()},
        orgs={},
        telemetry=SimpleNamespace(metrics=SimpleNamespace(key_budgets=key_budgets)),
    )
    index = SimpleNamespace(limits=limits)
    return cast("Generation", SimpleNamespace(config=config, limits=index, calendars=Calendars(lambda _: UTC)))


def told(registry: Registry, name: str) -> dict[tuple[str, ...], Any]:
    (found,) = (one for one in registry.snapshot() if one.family.name == f"pointsman_budget_{name}_usd")
    return dict(found.values)


async def used(gate: Gate, generation: Generation) -> Registry:
    registry = Registry()
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, Usage(100, 100))
    call.scope.close()
    await gate.admit(gate.call(output_tokens_max=50))
    await Budgets(lambda: generation, gate.admission, registry, gate.clock).look()
    return registry


async def test_each_holder_s_tightest_budget_is_told_with_what_is_spent_and_held_of_it() -> None:
    gate = Gate(*LIMITS)
    registry = await used(gate, a_generation(*LIMITS))
    team, org = ("team", "acme/red"), ("org", "acme")
    assert told(registry, "limit") == {team: 2 * USD, org: 100 * USD}
    assert told(registry, "spent") == {team: 300_000, org: 300_000}
    assert told(registry, "reserved")[team] == told(registry, "reserved")[org] > 0


async def test_keys_are_told_of_where_the_policy_asks_for_it() -> None:
    gate = Gate(*LIMITS)
    registry = await used(gate, a_generation(*LIMITS, key_budgets=True))
    assert ("key", "acme/ci") in told(registry, "limit")


async def test_who_is_declared_is_told_of_before_anything_is_spent() -> None:
    registry, gate = Registry(), Gate(*LIMITS)
    own = Limit("own", LimitScope.TEAM, Resource.COST, 7 * USD, Period.MONTH, holder="b")
    generation = a_generation(LIMITS[0], own, teams={"a": "default", "b": "acme"})
    await Budgets(lambda: generation, gate.admission, registry, gate.clock).look()
    assert told(registry, "spent") == {("team", "a"): 0, ("team", "acme/b"): 0}
    assert told(registry, "limit")["team", "a"] == 20 * USD


async def test_without_budgets_nothing_is_told() -> None:
    gate, registry, current = Gate(*LIMITS), Registry(), [a_generation(*LIMITS, teams={"a": "default"})]
    looking = Budgets(lambda: current[0], gate.admission, registry, gate.clock)
    await looking.look()
    assert told(registry, "limit")
    current[0] = a_generation(LIMITS[-1])
    await looking.look()
    assert told(registry, "limit") == {}


async def test_a_store_that_is_away_leaves_them_as_they_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, registry = Gate(*LIMITS), Registry()
    looking = Budgets(lambda: a_generation(*LIMITS, teams={"a": "default"}), gate.admission, registry, gate.clock)
    await looking.look()
    before = told(registry, "limit")

    async def away(_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(gate.store, "view", away)
    await looking.look()
    assert told(registry, "limit") == before


async def test_it_looks_by_itself_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(budgets, "IDLE_PER_WORK", 0.0)
    seen, enough = [0], asyncio.Event()

    def current() -> Generation:
        seen[0] += 1
        if seen[0] == 3:
            enough.set()
        if seen[0] == 2:
            raise RuntimeError("a bug")
        return a_generation()

    looking = Budgets(current, Gate(*LIMITS).admission, Registry())
    looking.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await looking.close()
    count = seen[0]
    await asyncio.sleep(0)
    assert seen[0] == count


def test_of_too_many_holders_those_nearest_to_their_budgets_are_told() -> None:
    many = [BudgetStanding("key", str(number), 1_000_000, number, 0) for number in range(HOLDERS_MAX + 10)]
    kept = tightest(many)
    assert len(kept) == HOLDERS_MAX
    assert min(one.spent_nanousd for one in kept) == 10
