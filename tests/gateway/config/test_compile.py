from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import compile as compiled
from policies.vocabulary import Deployment, Endpoint, Price, Route, Strategy, Target, Timeouts

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
    assert second[1:] == ("b", "t", "u", frozenset({"smart", "rest"}), 1893456000.0)


def test_a_policys_defaults_are_the_vocabularys(made: Callable[..., Config]) -> None:
    config = made()
    (route,) = compiled.routing(config, compiled.deployments(config, lambda *_: None))
    assert route == Route("smart", ("smart",), Strategy.ORDERED, route.targets)
