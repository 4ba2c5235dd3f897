"""Routes name what is there, none leads back to itself, each can be reached, and their settings agree."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.route_checks import DEPTH_MAX, covers
from policies.matching import compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOYMENTS = "{llama-8b: {provider: openai, model: m}, gpt: {provider: openai, model: m}}"
NOWHERE = "routes[0]: warning: nothing leads here: it has no model, and no other route names it"
BOTH = "{model: z, targets: [llama-8b, gpt]}"


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        (
            "{model: a, targets: [llama-8]}",
            ["targets[0]: there is no deployment or route 'llama-8' (did you mean 'llama-8b'?)"],
        ),
        ("{model: a, targets: [gpt, {deployment: zebra}]}", ["targets[1].deployment: there is no deployment 'zebra'"]),
        (
            "{model: a, targets: [gpt], fallbacks: [gpt, gp]}",
            ["fallbacks[1]: there is no deployment or route 'gp' (did you mean 'gpt'?)"],
        ),
        ("{model: a, targets: ['']}", ["targets[0]: there is no deployment or route ''"]),
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
    ],
)
def test_names_in_routes(routes: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert problems(deployments=DEPLOYMENTS, routes=f"[{routes}, {BOTH}]") == [f"3: routes[0].{line}" for line in found]


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
        ("{model: a, targets: [b]}, {model: b, targets: [gpt]}", []),
        ("{model: a, strategy: sticky, targets: [{route: b, weight: 2}], fallbacks: [gpt]}, {model: b, targets: [gpt]}",
         []),
        ("{model: a, targets: [b]}, {name: b, targets: [gpt], hedge: {}, retry: {attempts: 3}}",
         [f"routes[1].{word}: counts for nothing: this route has no model, and calls go by the route that they came for"
          for word in ("retry", "hedge")]),
        ("{model: a, targets: [b]}, {name: b, when: request.stream, strategy: sticky, by: key, targets: [gpt]}", []),
        ("{model: gpt, targets: [gpt]}, {model: b, targets: [{route: gpt}]}", []),
        ("{model: a, targets: [{route: gpt}]}", ["routes[0].targets[0].route: there is no route 'gpt'"]),
        ("{model: a, targets: [{deployment: b}]}, {model: b, targets: [gpt]}",
         ["routes[0].targets[0].deployment: there is no deployment 'b'"]),
        ("{model: a, targets: [b, {route: b}]}, {model: b, targets: [gpt]}",
         ["routes[0].targets[1].route: is the same route as routes[0].targets[0]"]),
        ("{model: a, targets: [{deployment: gpt, route: a}]}",
         ["routes[0].targets[0]: must name either a deployment or a route",
          "routes[0].targets[0].route: leads back to where it came from: a -> a"]),
        ("{model: a, targets: [a]}", ["routes[0].targets[0]: leads back to where it came from: a -> a"]),
        ("{model: a, targets: [b]}, {model: b, targets: [c]}, {model: c, targets: [gpt], content_fallbacks: [b]}",
         ["routes[2].content_fallbacks[0]: leads back to where it came from: b -> c -> b"]),
        ("{model: a, targets: [b]}, {model: b, when: 'true', targets: [gpt]}, {model: b, targets: [gpt]}",
         ["routes[0].targets[0]: may mean routes[1] and routes[2]: give the one that is meant a name"]),
        ("{model: a, targets: [c]}, {model: b, when: 'true', targets: [gpt]}, {model: b, name: c, targets: [gpt]}", []),
        ("{model: a, targets: [gpt]}, {model: b, name: a, targets: [gpt]}",
         ["routes[1].name: is also what routes[0] is called"]),
        ("{name: a, targets: [gpt]}", [NOWHERE]),
        ("{targets: [gpt]}", ["routes[0].model: is missing"]),
    ],
)  # fmt: skip
def test_routes_name_routes(routes: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    lines = [line for line in problems(routes=f"[{routes}]") if "no route uses" not in line]
    assert lines == [f"3: {line}" for line in found]


@pytest.mark.parametrize(("depth", "found"), [(DEPTH_MAX, 0), (DEPTH_MAX + 1, 1)])
def test_routes_lie_in_each_other_only_so_deep(depth: int, found: int, problems: Callable[..., list[str]]) -> None:
    chain = [f"{{model: r{number}, targets: [r{number + 1}]}}" for number in range(depth - 1)]
    chain.append(f"{{model: r{depth - 1}, targets: [gpt]}}")
    for routes in (chain, chain[::-1]):
        lines = problems(routes=f"[{', '.join(routes)}]")
        assert [line for line in lines if "others" in line] == lines
        assert len(lines) == found


def test_a_chain_of_any_length_is_refused_and_not_followed(problems: Callable[..., list[str]]) -> None:
    chain = [f"{{model: r{number}, targets: [r{number + 1}]}}" for number in range(1500)]
    for routes in (chain, chain[::-1]):
        assert "others" in problems(routes=f"[{', '.join(routes)}, {{model: r1500, targets: [gpt]}}]")[0]


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("strategy: spill", ["spill: is missing: strategy spill needs at least {max_wait: 2s}"]),
        ("strategy: spill, spill: {max_wait: 2s}", []),
        ("spill: {max_wait: 2s}", ["spill: is for strategy spill only"]),
        ("strategy: spill, spill: {}", ["spill.max_wait: is missing"]),
        ("strategy: weighted, by: user", []),
        ("strategy: sticky", []),
        ("strategy: cheapest, by: user", ["by: is for the strategies sticky and weighted only"]),
    ],
)
def test_settings_belong_to_a_strategy(route: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    lines = problems(routes=f"[{{model: a, targets: [gpt], {route}}}]")
    assert [line for line in lines if "warning" not in line] == [f"3: routes[0].{line}" for line in found]


def test_an_earlier_route_with_a_when_hides_nothing(problems: Callable[..., list[str]]) -> None:
    first = "{model: smart, when: 'size(request.tools) > 0', targets: [gpt]}"
    assert problems(routes=f"[{first}, {{model: smart, targets: [gpt]}}]") == []


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("size(request.tols) > 0", "warning: request.tols is in no endpoint's body (did you mean 'tools'?)"),
        ("request.model == 4", None),
        ("request.max_tokens", "must say yes or no, but gives int"),
        ("model == 'a'", "there is no 'model' (did you mean 'request.model'?)"),
    ],
)
def test_a_when_is_checked_where_it_stands(when: str, found: str | None, problems: Callable[..., list[str]]) -> None:
    lines = problems(routes=f'[{{model: a, targets: [gpt], when: "{when}"}}, {{model: a, targets: [gpt]}}]')
    assert len(lines) == 1
    assert lines[0].startswith("3: routes[0].when: ")
    assert found is None or lines == [f"3: routes[0].when: {found}"]
