"""Names refer to something, once, and every route can be reached."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.names import NO_LITELLM_MODEL
from gateway.config.route_checks import covers
from policies.matching import compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOYMENTS = "{llama-8b: {provider: openai, model: m}, gpt: {provider: openai, model: m}}"
BOTH = "{model: z, targets: [llama-8b, gpt]}"


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ("{model: a, targets: [llama-8]}", ["targets[0]: there is no deployment 'llama-8' (did you mean 'llama-8b'?)"]),
        ("{model: a, targets: [gpt, {deployment: zebra}]}", ["targets[1].deployment: there is no deployment 'zebra'"]),
        (
            "{model: a, targets: [gpt], fallbacks: [gpt, gp]}",
            ["fallbacks[1]: there is no deployment 'gp' (did you mean 'gpt'?)"],
        ),
        ("{model: a, targets: ['']}", ["targets[0]: there is no deployment ''"]),
        ("{model: a, targets: [gpt, gpt]}", ["targets[1]: is the same deployment as routes[0].targets[0]"]),
        ("{model: a, targets: [gpt], fallbacks: [gpt]}", []),
        (
            "{model: a, targets: [gpt], fallbacks: [llama-8b, llama-8b]}",
            ["fallbacks[1]: is the same deployment as routes[0].fallbacks[0]"],
        ),
        (
            "{model: a, strategy: weighted, targets: [{deployment: gpt, weight: 0}]}",
            ["targets: every weight is 0, so nothing would be called"],
        ),
        ("{model: a, strategy: weighted, targets: [{deployment: gpt, weight: 0}, llama-8b]}", []),
        ("{model: a, targets: [{deployment: gpt, weight: 0}]}", []),
    ],
)
def test_names_in_routes(routes: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert problems(deployments=DEPLOYMENTS, routes=f"[{routes}, {BOTH}]") == [f"3: routes[0].{line}" for line in found]


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
    ],
)
def test_names_in_deployments(deployment: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    providers = (
        "{openai: {kind: openai, api_key: none}, lite: {kind: litellm}, local: {kind: llama_cpp, model_path: x}}"
    )
    lines = problems(providers=providers, deployments=f"{{gpt: {deployment}}}")
    assert [line for line in lines if "warning" not in line] == [f"2: deployments.gpt{line}" for line in found]


def test_a_deployment_that_no_route_uses_is_a_warning(problems: Callable[..., list[str]]) -> None:
    assert problems(deployments=DEPLOYMENTS) == ["2: deployments.llama-8b: warning: no route uses this deployment"]


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (["a", "b"], []),
        (["a", "a"], ["routes[1].model: never matches: routes[0].model takes these models first"]),
        (["[a, b]", "[c, b]"], ["routes[1].model[1]: never matches: routes[0].model[1] takes these models first"]),
        (["[a, a]"], ["routes[0].model[1]: never matches: routes[0].model[0] takes these models first"]),
        (["'gpt-*'", "gpt-4o"], ["routes[1].model: never matches: routes[0].model takes these models first"]),
        (["gpt-4o", "'gpt-*'"], []),
        (["'*'", "'gpt-*'"], ["routes[1].model: never matches: routes[0].model takes these models first"]),
    ],
)
def test_a_route_that_an_earlier_one_hides_is_found(
    models: list[str], found: list[str], problems: Callable[..., list[str]]
) -> None:
    routes = ", ".join(f"{{model: {model}, targets: [gpt]}}" for model in models)
    assert problems(routes=f"[{routes}]") == [f"3: {line}" for line in found]


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("*", "", True),
        ("a*", "a*b", True),
        ("a*b", "a*", False),
        ("*b*", "a*b*c", True),
        ("?", "*", False),
        ("??*", "*", False),
        ("?*", "a*", True),
        ("a?", "ab", True),
        ("a?", "a?", True),
        ("a", "a?", False),
        ("*?*", "?", True),
    ],
)
def test_one_pattern_covers_another(wide: str, narrow: str, *, expected: bool) -> None:
    assert covers(wide, narrow) is expected


PATTERNS = st.text("ab*?", max_size=5)
MODELS = ["".join(letters) for length in range(6) for letters in product("ab", repeat=length)]


@given(PATTERNS, PATTERNS)
def test_one_pattern_covers_another_only_if_it_takes_all_its_models(wide: str, narrow: str) -> None:
    if covers(wide, narrow):
        taken = compile_glob(wide)
        assert [name for name in MODELS if compile_glob(narrow).fullmatch(name) and not taken.fullmatch(name)] == []


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
        "3: routes[0].targets[1]: the name that this reference holds is no deployment",
        "4: keys[0].secret: environment variable LONG is not set",
        "4: keys[0].routes[0]: there is no route of this name",
    ]
