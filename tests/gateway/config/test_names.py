"""Names refer to something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.names import NO_LITELLM_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("deployment", "found"),
    [
        ("{provider: opena, model: m}", [".provider: there is no provider 'opena' (did you mean 'openai'?)"]),
        ("{provider: openai}", [": model is missing: what 'openai' calls it"]),
        ("{provider: lite}", [": model is missing: what 'lite' calls it"]),
        ("{provider: lite, model: gpt-4o}", [f".model: {NO_LITELLM_MODEL}"]),
        ("{provider: lite, model: /gpt-4o}", [f".model: {NO_LITELLM_MODEL}"]),
        ("{provider: lite, model: bedrock/}", [f".model: {NO_LITELLM_MODEL}"]),
        ("{provider: lite, model: bedrock/eu/m}", []),
        ("{provider: local}", []),
        (
            "{provider: local, gpu: {usd_per_hour: 1}}",
            [".gpu: belongs to the provider, whose deployments share one engine"],
        ),
        (
            "{provider: openai, model: m, gpu: {usd_per_hour: 1}}",
            [".gpu: is for a server of one's own, whose provider has a base_url"],
        ),
    ],
)
def test_names_in_deployments(deployment: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    providers = (
        "{openai: {kind: openai, api_key: none}, lite: {kind: litellm}, local: {kind: llama_cpp, model_path: x}}"
    )
    lines = problems(providers=providers, deployments=f"{{gpt: {deployment}}}")
    assert [line for line in lines if "warning" not in line] == [f"2: deployments.gpt{line}" for line in found]


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ("[smart]", []),
        ("[fast-2, 'gpt-*']", []),
        ("[smrt]", ["keys[0].routes[0]: there is no route 'smrt' (did you mean 'smart'?)"]),
        ("[smart, gpt-4o]", ["keys[0].routes[1]: there is no route 'gpt-4o' (did you mean 'gpt-*'?)"]),
    ],
)
def test_keys_name_routes(
    routes: str, found: list[str], problems: Callable[..., list[str]], environ: dict[str, str]
) -> None:
    environ["KEY"] = "k" * 20
    lines = problems(
        routes="[{model: [smart, fast-2], targets: [gpt]}, {model: 'gpt-*', targets: [gpt]}]",
        keys=f"[{{name: a, secret: '${{env:KEY}}', routes: {routes}}}]",
    )
    assert lines == [f"4: {line}" for line in found]


def test_a_name_from_a_reference_is_not_repeated(problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    """Someone may refer to a secret where a name belongs."""
    environ["KEY"] = "gpt-secret-value"
    lines = problems(
        deployments="{gpt: {provider: '${env:KEY}', model: m}}",
        routes="[{model: smart, targets: [gpt, '${env:KEY}', '${env:NOPE}']}]",
        keys="[{name: a, secret: '${env:LONG}', routes: ['${env:KEY}']}]",
    )
    assert lines == [
        "2: deployments.gpt.provider: the name that this reference holds is no provider",
        "3: routes[0].targets[2]: environment variable NOPE is not set",
        "3: routes[0].targets[1]: the name that this reference holds is no deployment or route",
        "4: keys[0].secret: environment variable LONG is not set",
        "4: keys[0].routes[0]: there is no route of this name",
    ]


@pytest.mark.parametrize(
    ("provider", "found"),
    [
        ("{kind: openai}", [".api_key: is missing"]),
        ("{kind: openai, api_keys: []}", [".api_keys: must not be empty"]),
        ("{kind: openai, api_key: none, api_keys: [{name: a, key: x}]}", [
            ": has both api_key and api_keys; api_keys holds them all"
        ]),
        ("{kind: openai, api_keys: [{name: a, key: x}, {name: a, key: y}]}", [
            ".api_keys[1].name: is also the name of providers.openai.api_keys[0]"
        ]),
        ("{kind: openai, api_keys: [{key: x}]}", [".api_keys[0].name: is missing"]),
        ("{kind: openai, api_keys: [{name: a, key: x, weight: 0}]}", [".api_keys[0].weight: must be at least 1"]),
        ("{kind: openai, headers: {authorization: x}, api_keys: [{name: a, key: x}]}", [
            ": has both api_key and an authorization header; use one (api_key: none for the header)"
        ]),
        ("{kind: litellm}", []),
    ],
)  # fmt: skip
def test_a_provider_has_one_credential_or_several_by_name(
    provider: str, found: list[str], problems: Callable[..., list[str]]
) -> None:
    deployments = "{gpt: {provider: openai, model: bedrock/m}}"
    lines = problems(providers=f"{{openai: {provider}}}", deployments=deployments)
    assert [line for line in lines if "warning" not in line] == [f"1: providers.openai{line}" for line in found]


def test_a_key_names_a_route_by_its_own_name_too(problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    environ["KEY"] = "k" * 20
    routes = "[{name: fast, model: smart, targets: [gpt]}]"
    assert problems(routes=routes, keys="[{name: a, secret: '${env:KEY}', routes: [fast]}]") == []
