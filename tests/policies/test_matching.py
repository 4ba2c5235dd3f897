from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.matching import allowed, candidates, capable, compile_glob, compile_routes, visible_models
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target


def route(*models: str, targets: str = "a", fallbacks: str = "") -> Route:
    return Route(
        models[0],
        models,
        Strategy.ORDERED,
        tuple(Target(deployment(name)) for name in targets),
        tuple(deployment(name) for name in fallbacks),
    )


def deployment(name: str, *endpoints: Endpoint) -> Deployment:
    return Deployment(name, "provider", "openai", "model", frozenset(endpoints or Endpoint))


def key(*routes: str) -> Principal:
    return Principal("id", "name", routes=frozenset(routes) if routes else None)


def naive_glob(pattern: str, name: str) -> bool:
    """What `*` and `?` mean, written so that nobody can doubt it."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return naive_glob(pattern[1:], name) or (bool(name) and naive_glob(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and naive_glob(pattern[1:], name[1:])


def naive_match(routes: list[Route], model: str) -> Route | None:
    return next((r for r in routes if any(naive_glob(pattern, model) for pattern in r.models)), None)


names = st.text("ab[]-\n", max_size=7)
patterns = st.text("ab*?[]-", min_size=1, max_size=7)


@given(st.lists(st.lists(patterns, min_size=1, max_size=3), max_size=6), names)
def test_the_index_answers_as_a_scan_in_file_order_would(files: list[list[str]], model: str) -> None:
    routes = [route(*models) for models in files]
    index = compile_routes(routes)
    for asked in (model, *(pattern for models in files for pattern in models)):
        assert index.match(asked) is naive_match(routes, asked)


@given(patterns, names)
def test_a_glob_means_what_it_says(pattern: str, name: str) -> None:
    assert bool(compile_glob(pattern).fullmatch(name)) == naive_glob(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("gpt-*", "gpt-4o", True),
        ("gpt-*", "GPT-4o", False),
        ("gpt-?", "gpt-4o", False),
        ("*", "", True),
        ("m[ab]", "ma", False),
        ("m[ab]*", "m[ab]-1", True),
        ("a.c*", "abc", False),
        ("a*", "a\nb", True),
        ("*a*b", "xaxxb", True),
        ("a*a", "a", False),
    ],
)
def test_globs(pattern: str, name: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert bool(compile_glob(pattern).fullmatch(name)) is expected


def test_no_pattern_makes_a_long_name_slow() -> None:
    pattern = compile_glob("*a" * 3 + "b")
    started_s = time.perf_counter()
    assert not pattern.fullmatch("a" * 3_000)
    assert time.perf_counter() - started_s < 0.5


def test_an_exact_name_does_not_overtake_an_earlier_glob() -> None:
    routes = [route("gpt-*"), route("gpt-4o")]
    assert compile_routes(routes).match("gpt-4o") is routes[0]


def test_an_unknown_name_has_no_route() -> None:
    assert compile_routes([route("smart"), route("gpt-*")]).match("Smart") is None


@pytest.mark.parametrize(("principal", "expected"), [(key(), True), (key("smart"), True), (key("other"), False)])
def test_allowed(principal: Principal, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert allowed(principal, route("smart")) is expected


def test_a_key_with_no_routes_at_all_may_use_none() -> None:
    assert not allowed(Principal("id", "name", routes=frozenset()), route("smart"))


def test_visible_models_are_the_exact_names_a_key_may_use() -> None:
    index = compile_routes([route("smart", "clever"), route("gpt-*", "o1"), route("local")])
    assert visible_models(index) == ("smart", "clever", "o1", "local")
    assert visible_models(index, key()) == ("smart", "clever", "o1", "local")
    assert visible_models(index, key("smart")) == ("smart", "clever")


def test_a_name_taken_by_an_earlier_glob_is_visible_to_those_who_may_use_that_glob() -> None:
    index = compile_routes([route("gpt-*"), route("gpt-4o")])
    assert visible_models(index, key("gpt-4o")) == ()
    assert visible_models(index, key("gpt-*")) == ("gpt-4o",)


def test_candidates_are_targets_then_fallbacks_each_once() -> None:
    assert [d.name for d in candidates(route("m", targets="aba", fallbacks="xbx"))] == ["a", "b", "x"]


def test_capable_keeps_what_offers_the_endpoint() -> None:
    chat, both = deployment("chat", Endpoint.CHAT), deployment("both", Endpoint.CHAT, Endpoint.EMBEDDINGS)
    assert capable((chat, both), Endpoint.EMBEDDINGS) == (both,)
    assert capable((chat, both), Endpoint.RESPONSES) == ()
    everyone = (chat, both)
    assert capable(everyone, Endpoint.CHAT) is everyone
