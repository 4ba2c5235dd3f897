from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from gateway.config import compile as compiled
from policies.vocabulary import (
    Deployment,
    Endpoint,
    Limit,
    LimitScope,
    OnDisconnect,
    Period,
    Price,
    Principal,
    QueueRules,
    Resource,
    Route,
    Strategy,
    Subject,
    Target,
    Timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

LISTED = Price("openai/gpt-4o@2026", "table", "2026-01-01", 1, None, None, 2)
PROVIDERS = (
    "{openai: {kind: openai, api_key: none}, vllm: {kind: openai, api_key: none, base_url: 'http://h/v1'}, "
    "local: {kind: llama_cpp, model_path: m.gguf}, lite: {kind: litellm}}"
)
DEPLOYMENTS = (
    "{gpt: {provider: openai, model: gpt-4o, region: us, context_tokens: 9}, own: {provider: vllm, model: m}, "
    "llama: {provider: local, price: {input: 0, output: 0.5}}, nova: {provider: lite, model: bedrock/nova}}"
)


@pytest.fixture
def config(made: Callable[..., Config], environ: dict[str, str]) -> Config:
    environ["KEY"] = "k" * 20
    return made(
        providers=PROVIDERS,
        deployments=DEPLOYMENTS,
        routes="[{model: [smart, 'smart-*'], strategy: weighted, targets: [{deployment: gpt, weight: 3}, own], "
        "fallbacks: [llama], retry: {attempts: 1}, "
        "timeouts: {connect: 1s, first_token: 2s, idle: 3s, total: 4s, write: 5s}}, "
        "{model: rest, targets: [nova]}]",
        keys="[{name: a, secret: '${env:KEY}'}, {name: b, secret: 'b0123456789012345678901', team: t, user: u, "
        "routes: ['smart-*', rest], expires: 2030-01-01}]",
    )


def test_deployments_know_their_endpoints_and_prices(config: Config) -> None:
    asked = []

    def price_of(kind: str, base_url: str | None, model: str) -> Price | None:
        asked.append((kind, base_url, model))
        return LISTED if model == "gpt-4o" else None

    found = compiled.deployments(config, price_of)
    stated = Price("override/llama@0,-,-,500000000", "override", "", 0, None, None, 500_000_000)
    local, lite = (frozenset({Endpoint.CHAT, other}) for other in (Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS))
    assert found == {
        "gpt": Deployment("gpt", "openai", "openai", "gpt-4o", frozenset(Endpoint), "us", 9, LISTED),
        "own": Deployment("own", "vllm", "openai", "m"),
        "llama": Deployment("llama", "local", "llama_cpp", "llama", local, price=stated),
        "nova": Deployment("nova", "lite", "litellm", "bedrock/nova", lite),
    }
    assert asked == [
        ("openai", "https://api.openai.com/v1", "gpt-4o"),
        ("openai", "http://h/v1", "m"),
        ("litellm", None, "bedrock/nova"),
    ]


def test_routes_come_in_the_files_order_with_what_they_say(config: Config) -> None:
    known = compiled.deployments(config, lambda *_: None)
    assert compiled.routing(config, known) == (
        Route(
            "smart",
            ("smart", "smart-*"),
            Strategy.WEIGHTED,
            (Target(known["gpt"], 3), Target(known["own"], 1)),
            (known["llama"],),
            1,
            Timeouts(1.0, 2.0, 3.0, 4.0, 5.0),
        ),
        Route("rest", ("rest",), Strategy.ORDERED, (Target(known["nova"]),)),
    )


def test_keys_are_held_with_their_routes_by_name(config: Config) -> None:
    first, second = compiled.held_keys(config)
    assert (first.secret.reveal(), first.name, first.routes, first.expires_s) == ("k" * 20, "a", None, None)
    assert second[1:6] == ("b", "t", "u", frozenset({"smart", "rest"}), 1893456000.0)
    assert (second.org, second.tags, second.limits, second.output_tokens_default) == ("default", (), (), None)


def test_a_policys_defaults_are_the_vocabularys(made: Callable[..., Config]) -> None:
    config = made()
    (route,) = compiled.routing(config, compiled.deployments(config, lambda *_: None))
    assert route == Route("smart", ("smart",), Strategy.ORDERED, route.targets)


OWNED = {
    "providers": "{openai: {kind: openai, api_key: none, limits: {concurrent: 5}}}",
    "deployments": "{gpt: {provider: openai, model: m, limits: {tokens: 5/s}, on_disconnect: drain, "
    "max_output_tokens: 7}}",
    "routes": "[{model: [smart, s*], targets: [gpt], limits: {tokens: 6/s}, queue: {max_wait: 2s}, "
    "max_output_tokens: 8}]",
    "orgs": "{acme: {timezone: Europe/Berlin, weight: 2, limits: {cost: $1/day}}}",
    "teams": "{free: {org: acme, weight: 3, limits: {requests: 1/s}}}",
    "users": "{ada: {org: acme, limits: {requests: 2/s}}}",
    "keys": "[{name: a, secret: '${env:KEY}', team: free, tags: [x], limits: {requests: 3/s}, max_output_tokens: 9}, "
    "{name: b, secret: '${env:OTHER}', user: ada}, {name: c, secret: '${env:THIRD}'}]",
}


@pytest.fixture
def owned(made: Callable[..., Config], environ: dict[str, str]) -> Callable[..., Config]:
    environ |= {"KEY": "k" * 20, "OTHER": "o" * 20, "THIRD": "t" * 20}
    return lambda **others: made(**OWNED, **others)


def test_limits_are_those_of_all_then_of_each_owner(owned: Callable[..., Config]) -> None:
    config = owned(limits="[{per: team, requests: 60/min, cost: 20 USD/month}]")
    assert compiled.limits_of(config) == (
        Limit("team.requests.min", LimitScope.TEAM, Resource.REQUESTS, 60, 60.0),
        Limit("team.cost.month", LimitScope.TEAM, Resource.COST, 20 * 10**9, Period.MONTH),
        Limit("own.org.cost.day", LimitScope.ORG, Resource.COST, 10**9, Period.DAY, None, "acme"),
        Limit("own.team.requests.s", LimitScope.TEAM, Resource.REQUESTS, 1, 1.0, None, "free"),
        Limit("own.user.requests.s", LimitScope.USER, Resource.REQUESTS, 2, 1.0, None, "ada"),
        Limit("own.route.tokens.s", LimitScope.ROUTE, Resource.TOKENS, 6, 1.0, None, "smart"),
        Limit("own.deployment.tokens.s", LimitScope.DEPLOYMENT, Resource.TOKENS, 5, 1.0, None, "gpt"),
        Limit("own.provider.concurrent", LimitScope.PROVIDER, Resource.CONCURRENT, 5, None, None, "openai"),
    )


def test_keys_are_held_with_their_owners_and_limits(owned: Callable[..., Config]) -> None:
    first, second, third = compiled.held_keys(owned())
    assert (first.org, first.tags, first.output_tokens_default) == ("acme", ("x",), 9)
    assert first.limits == (Limit("own.key.requests.s", LimitScope.KEY, Resource.REQUESTS, 3, 1.0, None, "a"),)
    assert (second.org, third.org) == ("acme", "default")


def test_what_a_when_says_is_asked_of_each_call(owned: Callable[..., Config]) -> None:
    (limit, *_) = compiled.limits_of(owned(limits="[{per: key, when: \"principal.team == 'free'\", requests: 1/s}]"))
    assert limit.applies is not None
    free, paying = (Subject(Principal("k", "k", team), Endpoint.CHAT, "m", False, {}) for team in ("free", "gold"))
    assert (limit.applies(free), limit.applies(paying)) == (True, False)


def test_orgs_have_their_time_zones(owned: Callable[..., Config]) -> None:
    zone_of = compiled.zone_of(owned())
    assert zone_of("acme") == ZoneInfo("Europe/Berlin")
    assert zone_of("default") is zone_of("deployment:gpt") is UTC


def test_a_share_is_the_orgs_times_the_teams(owned: Callable[..., Config]) -> None:
    weight_of = compiled.weight_of(owned())
    principals = [Principal("k", "k", team, org=org) for org, team in (("acme", "free"), ("acme", None), ("x", "y"))]
    assert [weight_of(principal) for principal in principals] == [6.0, 2.0, 1.0]


def test_routes_and_deployments_say_what_limits_need(owned: Callable[..., Config]) -> None:
    known = compiled.deployments(owned(), lambda *_: None)
    (route,) = compiled.routing(owned(), known)
    assert (route.queue, route.output_tokens_default) == (QueueRules(2.0, 200), 8)
    assert (known["gpt"].on_disconnect, known["gpt"].output_tokens_default) == (OnDisconnect.DRAIN, 7)


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({}, False),
        ({"limits": "[{per: key, requests: 1/s}]"}, False),
        ({"limits": "[{per: key, cost: $1/day}]"}, True),
        ({"orgs": "{a: {limits: {cost: $1/day}}}"}, True),
        ({"keys": "[{name: a, secret: '${env:KEY}', limits: {cost: $1/day}}]"}, True),
    ],
)
def test_a_limit_on_cost_anywhere_is_a_budget(
    sections: dict[str, str],
    found: bool,  # noqa: FBT001 - a table's column
    made: Callable[..., Config],
    environ: dict[str, str],
) -> None:
    environ["KEY"] = "k" * 20
    assert compiled.has_budget(made(**sections)) is found
