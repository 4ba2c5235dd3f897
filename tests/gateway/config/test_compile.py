from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from gateway.config import OpenAIProvider
from gateway.config import compile as compiled
from gateway.config.model_facts import ModelFacts
from policies.hardware_cost import Hardware
from policies.route_rules import (
    NO_REQUIREMENTS,
    BreakerSettings,
    Capability,
    Content,
    HealthRules,
    Priority,
    Requirements,
)
from policies.tariffs import Price
from policies.vocabulary import (
    Deployment,
    Endpoint,
    Limit,
    LimitScope,
    OnDisconnect,
    Period,
    Principal,
    Resource,
    Subject,
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
    stated = Price("override/llama@28e48773e541", "override", "", 0, None, None, 500_000_000)
    local, lite = (frozenset({Endpoint.CHAT, other}) for other in (Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS))
    engine = Hardware("provider local", is_engine=True)
    assert found == {
        "gpt": Deployment("gpt", "openai", "openai", "gpt-4o", frozenset(Endpoint), "us", 9, LISTED),
        "own": Deployment("own", "vllm", "openai", "m"),
        "llama": Deployment("llama", "local", "llama_cpp", "llama", local, price=stated, hardware=engine),
        "nova": Deployment("nova", "lite", "litellm", "bedrock/nova", lite),
    }
    assert asked == [
        ("openai", "https://api.openai.com/v1", "gpt-4o"),
        ("openai", "http://h/v1", "m"),
        ("litellm", None, "bedrock/nova"),
    ]


def test_hardware_is_shared_by_a_providers_deployments_and_makes_the_price_of_those_without(
    made: Callable[..., Config],
) -> None:
    gpu = "gpu: {usd_per_hour: 2, gpus: 2, tokens_per_s: 1000, utilisation: 50%}"
    config = made(
        providers=f"{{vllm: {{kind: openai, api_key: none, base_url: 'http://h/v1'}}, "
        f"local: {{kind: llama_cpp, model_path: m.gguf, {gpu}}}}}",
        deployments="{a: {provider: local}, b: {provider: local, price: {input: 0, output: 1}}, "
        f"c: {{provider: vllm, model: m, {gpu}}}}}",
        routes="[{model: x, targets: [a, b, c]}]",
    )
    found = compiled.deployments(config, lambda *_: LISTED)
    shared = Hardware("provider local", 2000, 4 * 10**9, is_engine=True)
    assert [found[name].hardware for name in "ab"] == [shared, shared]
    assert found["c"].hardware == Hardware("deployment c", 2000, 4 * 10**9)
    told = {name: (one.price.source, one.price.output_nanousd) for name, one in found.items() if one.price}
    assert told == {
        "a": ("local_standard", 2_222_222_222),
        "b": ("override", 10**9),
        "c": ("local_standard", 2_222_222_222),
    }


def test_keys_are_held_with_their_routes_by_name(config: Config) -> None:
    first, second = compiled.held_keys(config)
    assert (first.secret.reveal(), first.name, first.routes, first.expires_s) == ("k" * 20, "a", None, None)
    assert second[1:6] == ("b", "t", "u", frozenset({"smart", "rest"}), 1893456000.0)
    assert (second.org, second.tags, second.limits, second.output_tokens_default) == ("default", (), (), None)


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


def test_deployments_say_what_limits_need(owned: Callable[..., Config]) -> None:
    known = compiled.deployments(owned(), lambda *_: None)
    assert (known["gpt"].on_disconnect, known["gpt"].output_tokens_default) == (OnDisconnect.DRAIN, 7)


def test_a_deployment_stands_once_for_each_credential_of_its_provider(made: Callable[..., Config]) -> None:
    config = made(
        providers="{openai: {kind: openai, api_keys: [{name: a, key: x}, {name: b, key: y, weight: 2}]}}",
        routes="[{model: smart, targets: [{deployment: gpt, weight: 3}], fallbacks: [gpt]}]",
    )
    found = compiled.deployments(config, lambda *_: None)
    assert {each: (one.name, one.credential, one.credential_weight) for each, one in found.items()} == {
        "gpt@a": ("gpt", "a", 1),
        "gpt@b": ("gpt", "b", 2),
    }
    provider = config.providers["openai"]
    assert isinstance(provider, OpenAIProvider)
    assert [str(held and held.reveal()) for held in map(provider.credential, ("a", "b", ""))] == ["x", "y", "None"]


FACTS = ModelFacts(
    has=frozenset({Capability.TOOLS, Capability.PREFILL}),
    lacks=frozenset({Capability.AUDIO, Capability.IMAGES}),
    context_tokens=1000,
)


@pytest.mark.parametrize(
    ("stated", "has", "lacks", "context_tokens"),
    [
        ("", "prefill tools", "audio images", 1000),
        (", supports: [images], lacks: [tools, files], context_tokens: 5", "images prefill", "audio files tools", 5),
    ],
)
def test_what_the_file_says_of_a_model_goes_before_what_is_known_of_it(
    stated: str, has: str, lacks: str, context_tokens: int, made: Callable[..., Config]
) -> None:
    config = made(deployments=f"{{gpt: {{provider: openai, model: gpt-4o{stated}}}}}")
    asked = []

    def facts_of(*where: str | None) -> ModelFacts:
        asked.append(where)
        return FACTS

    gpt = compiled.deployments(config, lambda *_: None, facts_of)["gpt"]
    assert (" ".join(sorted(gpt.has)), " ".join(sorted(gpt.lacks)), gpt.context_tokens) == (has, lacks, context_tokens)
    assert asked == [("openai", "https://api.openai.com/v1", "gpt-4o")]


def test_the_bundled_engine_has_the_context_that_its_provider_says(made: Callable[..., Config]) -> None:
    config = made(
        providers="{local: {kind: llama_cpp, model_path: m.gguf, context_tokens: 4096}}",
        deployments="{gpt: {provider: local}, less: {provider: local, context_tokens: 512}}",
        routes="[{model: smart, targets: [gpt, less]}]",
    )
    known = compiled.deployments(config, lambda *_: None, lambda *_: FACTS)
    assert (known["gpt"].context_tokens, known["less"].context_tokens) == (4096, 512)


def test_a_deployments_breaker_goes_before_its_providers(made: Callable[..., Config]) -> None:
    config = made(
        providers="{openai: {kind: openai, api_key: none, breaker: {failures: 3, cooldown: 1s, max_retry_after: 1m}, "
        "health: {interval: 2s, always: true}}}",
        deployments="{gpt: {provider: openai, model: m, breaker: {failures: 9, failure_share: 20%, of_at_least: 7}}, "
        "two: {provider: openai, model: m, health: {path: /health}}}",
        routes="[{model: smart, targets: [gpt, two]}]",
    )
    known = compiled.deployments(config, lambda *_: None)
    usual = BreakerSettings(failures=3, cooldown_s=1.0, named_max_s=60.0)
    assert known["two"].breaker == usual
    assert known["gpt"].breaker == replace(usual, failures=9, failure_share=0.2, volume_min=7)
    assert known["gpt"].health == HealthRules(interval_s=2.0, always=True)
    assert known["two"].health == HealthRules(path="/health")


def test_a_key_is_bound_by_its_org_its_team_and_itself(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ |= {"KEY": "k" * 20, "OTHER": "o" * 20}
    config = made(
        orgs="{acme: {require: {region: eu}}}",
        teams="{free: {org: acme, require: {data_class: [pii]}}}",
        keys="[{name: a, secret: '${env:KEY}', team: free, require: {region: eu-west-1}, priority: critical}, "
        "{name: b, secret: '${env:OTHER}'}]",
    )
    first, second = compiled.held_keys(config)
    assert first.requires == Requirements(frozenset({"eu", "eu-west-1"}), frozenset({"pii"}))
    assert (first.priority, second.priority, second.requires) == (Priority.CRITICAL, Priority.NORMAL, NO_REQUIREMENTS)


def test_a_key_may_be_kept_off_caches(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ |= {"KEY": "k" * 20, "OTHER": "o" * 20}
    config = made(keys="[{name: a, secret: '${env:KEY}', cache: false}, {name: b, secret: '${env:OTHER}'}]")
    assert [key.uses_cache for key in compiled.held_keys(config)] == [False, True]


def test_a_key_may_use_every_route_of_a_model_and_any_by_its_name(
    made: Callable[..., Config], environ: dict[str, str]
) -> None:
    environ |= {"KEY": "k" * 20}
    config = made(
        routes="[{model: smart, when: 'true', targets: [gpt]}, {model: smart, targets: [gpt]}, "
        "{name: own, model: x, targets: [gpt]}]",
        keys="[{name: a, secret: '${env:KEY}', routes: [smart, own]}]",
    )
    (key,) = compiled.held_keys(config)
    assert key.routes == frozenset({"smart", "smart#2", "own"})


def test_routes_of_one_model_have_limits_of_their_own(made: Callable[..., Config]) -> None:
    config = made(
        routes="[{model: smart, when: 'true', targets: [gpt], limits: {requests: 1/s}}, "
        "{model: smart, targets: [gpt], limits: {requests: 2/s}}]"
    )
    assert [(limit.holder, limit.amount) for limit in compiled.limits_of(config)] == [("smart", 1), ("smart#2", 2)]


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


def test_a_key_is_trusted_with_traces_by_its_own_word_or_its_teams(
    made: Callable[..., Config], environ: dict[str, str]
) -> None:
    environ |= {name: name * 20 for name in ("A", "B", "C")}
    config = made(
        teams="{inside: {trust_trace_context: true}, outside: {}}",
        keys="[{name: a, secret: '${env:A}', team: inside}, {name: b, secret: '${env:B}', team: outside}, "
        "{name: c, secret: '${env:C}', trust_trace_context: true}]",
    )
    assert [key.trusts_trace for key in compiled.held_keys(config)] == [True, False, True]
    told = compiled.trusts_trace_of(config)
    assert [told("default", "inside"), told("default", None), told("other", "inside")] == [True, False, False]


@pytest.mark.parametrize(("trace", "takes"), [("", False), (", trace: true", True)])
def test_a_deployment_is_told_of_traces_where_its_provider_is(
    made: Callable[..., Config], trace: str, *, takes: bool
) -> None:
    config = made(providers=f"{{openai: {{kind: openai, api_key: none{trace}}}}}")
    assert {one.takes_trace for one in compiled.deployments(config, lambda *_: None).values()} == {takes}


def test_what_may_be_exported_of_a_keys_calls_is_the_least_that_it_and_its_owners_say(
    made: Callable[..., Config], environ: dict[str, str]
) -> None:
    environ |= {name: name * 20 for name in ("A", "B", "C", "D")}
    config = made(
        orgs="{acme: {content: full}}",
        teams="{shop: {org: acme, content: hash}, lab: {org: acme}}",
        keys="[{name: a, secret: '${env:A}', team: shop, content: full}, {name: b, secret: '${env:B}', team: lab}, "
        "{name: c, secret: '${env:C}', team: lab, content: redacted}, {name: d, secret: '${env:D}'}]",
    )
    found = [key.content for key in compiled.held_keys(config)]
    assert found == [Content.HASH, Content.FULL, Content.REDACTED, None]
    told = compiled.content_of(config)
    assert (told("acme", "shop"), told("acme", None), told("other", "shop")) == (Content.HASH, Content.FULL, None)
