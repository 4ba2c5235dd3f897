from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest

from gateway.limits.view import LimitsView
from policies.calendars import Calendars
from policies.usage import Usage
from policies.vocabulary import LimitScope, Period
from tests.gateway.limited_calls import A, Gate, limit

LIMITS = (
    limit("tokens", 600),
    limit("concurrent", 4),
    limit("cost", 10**9, Period.MONTH, "org"),
    limit("requests", 60, 60.0, "team"),
    limit("requests", 6, 60.0, "provider"),
)


def a_view(gate: Gate) -> LimitsView:
    return LimitsView(gate.store, Calendars(lambda _: UTC), gate.clock)


async def a_used_gate() -> Gate:
    gate = Gate(*LIMITS)
    for output_tokens in (50, 100):
        call = await gate.admit(gate.call(output_tokens_max=output_tokens))
        await gate.admission.enter(call, A, gate.index.of_deployment(A))
    gate.attempt(call, Usage(100, 100))
    call.scope.close()
    gate.now += 10.0
    return gate


async def test_what_is_used_held_and_left_is_as_of_now() -> None:
    gate = await a_used_gate()
    levels = {level.limit: level for level in await a_view(gate).kept(("acme",), gate.index.limits)}
    tokens = levels["key.tokens.60.0"]
    assert (tokens.tenant, tokens.scope, tokens.holder, tokens.resource) == ("acme", "key", "ci", "tokens")
    assert (tokens.amount, tokens.used, tokens.held, tokens.remaining) == (600, 100, 150, 350)
    assert tokens.reset_s == pytest.approx(25.0)
    assert levels["key.concurrent"][6:] == (4, 0, 1, 3, 0.0)
    cost = levels["org.cost.month"]
    assert (cost.window, cost.used, cost.reset_s) == ("month", 300_000, 9 * 86_400.0 - 10.0)


async def test_a_budget_is_shown_as_the_window_of_now_has_it() -> None:
    gate = Gate(*LIMITS)
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, Usage(100, 100))
    call.scope.close()
    gate.now += 10 * 86_400.0
    levels = {level.limit: level for level in await a_view(gate).kept(("acme",), gate.index.limits)}
    assert (levels["org.cost.month"].used, levels["org.cost.month"].remaining) == (0, 1_000_000_000)


async def test_deployments_and_providers_are_tenants_of_their_own() -> None:
    gate = await a_used_gate()
    (level,) = await a_view(gate).kept(("provider:p",), gate.index.limits)
    assert (level.tenant, level.scope, level.holder) == ("provider:p", LimitScope.PROVIDER, "p")
    assert (level.used, level.held, level.remaining) == (0, 1, 5), "the one that was settled has come back since"


async def test_every_holder_that_used_anything_is_found() -> None:
    gate = await a_used_gate()
    levels = await a_view(gate).kept(("acme", "provider:p", "nobody"), gate.index.limits)
    assert sorted((level.limit, level.holder) for level in levels) == [
        ("key.concurrent", "ci"),
        ("key.tokens.60.0", "ci"),
        ("org.cost.month", "acme"),
        ("provider.requests.60.0", "p"),
        ("team.requests.60.0", "red"),
    ]
    assert await a_view(gate).kept(("acme",), ()) == []


async def test_owners_limits_of_one_id_are_told_apart() -> None:
    own = [replace(limit("requests", amount, 60.0), holder=name) for name, amount in (("ci", 60), ("other", 6))]
    gate = Gate(*own)
    gate.attempt(call := await gate.admit(gate.call()), Usage(1, 1))
    call.scope.close()
    (level,) = await a_view(gate).kept(("acme",), own)
    assert (level.holder, level.amount, level.used) == ("ci", 60, 1)
