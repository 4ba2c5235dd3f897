from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.choosing import Refused
from policies.matching import (
    RouteIndex,
    allowed,
    candidates,
    capable,
    compile_glob,
    compile_routes,
    inner_routes,
    visible_models,
    way_of,
)
from policies.route_rules import Capability
from policies.vocabulary import Deployment, Endpoint, Predicate, Principal, Route, Strategy, Subject, Target


def route(*models: str, targets: str = "a", fallbacks: str = "", when: Predicate | None = None) -> Route:
    return Route(
        models[0],
        models,
        Strategy.ORDERED,
        tuple(Target(deployment(name)) for name in targets),
        tuple(deployment(name) for name in fallbacks),
        when=when,
    )


def subject(stream: bool = False) -> Subject:  # noqa: FBT001, FBT002 - the only thing that conditions here look at
    return Subject(Principal("id", "name"), Endpoint.CHAT, "m", stream, {})


def streams(asked: Subject) -> bool:
    return asked.stream


def never(_: Subject) -> bool:
    return False


def matched(index: RouteIndex, model: str, about: Subject | None = None) -> Route | None:
    way = index.match(model, lambda: about or subject())
    return way.route if way is not None else None


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


def naive_match(routes: list[Route], model: str, about: Subject) -> Route | None:
    named = (r for r in routes if any(naive_glob(pattern, model) for pattern in r.models))
    return next((r for r in named if r.when is None or r.when(about)), None)


names = st.text("ab[]-\n", max_size=7)
patterns = st.text("ab*?[]-", min_size=1, max_size=7)


whens = st.sampled_from([None, None, streams, never])
files = st.lists(st.tuples(st.lists(patterns, min_size=1, max_size=3), whens), max_size=6)


@given(files, names, st.booleans())
def test_the_index_answers_as_a_scan_in_file_order_would(
    file: list[tuple[list[str], Predicate | None]],
    model: str,
    stream: bool,  # noqa: FBT001 - what conditions look at
) -> None:
    routes = [route(*models, when=when) for models, when in file]
    index = compile_routes(routes)
    for asked in (model, *(pattern for models, _ in file for pattern in models)):
        assert matched(index, asked, subject(stream)) is naive_match(routes, asked, subject(stream))


@given(files)
def test_a_name_is_listed_once_and_only_if_some_call_of_it_has_a_route(
    file: list[tuple[list[str], Predicate | None]],
) -> None:
    routes = [route(*models, when=when) for models, when in file]
    listed = visible_models(compile_routes(routes))
    assert len(set(listed)) == len(listed)
    assert set(listed) == {name for r in routes for name in r.models if "*" not in name and "?" not in name}


def test_a_name_without_conditions_is_one_look_up_that_asks_nothing() -> None:
    def unasked() -> Subject:
        raise AssertionError("nobody needs it")

    index = compile_routes([route("a"), route("a", when=streams), route("b", when=streams)])
    assert list(index.exact) == ["a"]
    way = index.match("a", unasked)
    assert way is index.exact["a"]
    assert list(index.asked) == ["b"]
    assert index.match("c", unasked) is None


def test_several_routes_share_a_name_and_the_first_whose_condition_holds_decides() -> None:
    routes = [route("smart", when=never), route("smart", when=streams, targets="b"), route("sm*", targets="c")]
    index = compile_routes([*routes, route("smart", targets="d")])
    assert matched(index, "smart", subject(stream=True)) is routes[1]
    assert matched(index, "smart", subject()) is routes[2]
    assert [way.route for way in index.asked["smart"]] == routes
    assert matched(compile_routes(routes[:2]), "smart", subject()) is None


def test_what_conditions_are_asked_about_is_made_once() -> None:
    made = []

    def ask() -> Subject:
        made.append(subject())
        return made[0]

    compile_routes([route("a", when=never), route("a", when=streams), route("*", when=never)]).match("a", ask)
    assert len(made) == 1


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
    assert matched(compile_routes(routes), "gpt-4o") is routes[0]


def test_an_unknown_name_has_no_route() -> None:
    assert matched(compile_routes([route("smart"), route("gpt-*")]), "Smart") is None


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


def test_a_name_that_conditions_decide_is_visible_to_those_who_may_use_one_of_its_routes() -> None:
    first, second = route("fast", "smart", when=streams), route("smart")
    index = compile_routes([first, second])
    assert visible_models(index) == ("fast", "smart")
    assert visible_models(index, key("smart")) == ("smart",)
    assert visible_models(index, key("fast")) == ("fast", "smart")
    assert visible_models(index, key("other")) == ()


def test_candidates_are_targets_then_fallbacks_each_once() -> None:
    assert [d.name for d in candidates(route("m", targets="aba", fallbacks="xbx"))] == ["a", "b", "x"]
    assert [d.name for d in candidates(route("m", targets="aba"))] == ["a", "b"]


def nested() -> Route:
    inner = replace(route("inner", targets="bc", when=streams), context_fallbacks=(deployment("l"),))
    outer = route("outer", targets="a", fallbacks="xb")
    return replace(outer, targets=(*outer.targets, Target(inner)), content_fallbacks=(deployment("z"),))


def test_a_route_inside_a_route_stands_for_its_deployments() -> None:
    outer = nested()
    assert [d.name for d in candidates(outer)] == ["a", "b", "c", "l", "x", "z"]
    assert [d.name for d in candidates(outer, frozenset({"inner"}))] == ["a", "x", "b", "z"]
    assert [inner.name for inner in inner_routes(outer)] == ["inner"]


def test_a_way_tells_beforehand_what_deciding_needs() -> None:
    way = way_of(nested())
    assert [inner.name for inner in way.nested] == ["inner"]
    assert (way.weighs, way.context_tokens_least, way.lacked) == (False, None, frozenset())
    assert way.spared == {"z"}


def test_a_way_knows_windows_and_what_somebody_lacks() -> None:
    small = replace(deployment("s"), context_tokens=10, lacks=frozenset({Capability.TOOLS}))
    large = replace(deployment("l"), context_tokens=20, lacks=frozenset({Capability.IMAGES}))
    way = way_of(Route("m", ("m",), Strategy.ORDERED, (Target(large), Target(small))))
    assert (way.weighs, way.context_tokens_least) == (True, 10)
    assert way.lacked == {Capability.TOOLS, Capability.IMAGES}


@pytest.mark.parametrize(("strategy", "weighs"), [(Strategy.CHEAPEST, True), (Strategy.STICKY, False)])
def test_some_strategies_weigh_prompts(strategy: Strategy, weighs: bool) -> None:  # noqa: FBT001 - a table's column
    assert way_of(replace(route("m"), strategy=strategy)).weighs is weighs


def test_an_offer_tells_who_does_not_have_the_endpoint() -> None:
    chat, both = deployment("chat", Endpoint.CHAT), deployment("both", Endpoint.CHAT, Endpoint.EMBEDDINGS)
    offers = way_of(Route("m", ("m",), Strategy.ORDERED, (Target(chat), Target(both)))).offers
    assert offers[Endpoint.CHAT] == ((chat, both), ())
    assert offers[Endpoint.EMBEDDINGS].candidates == (both,)
    assert offers[Endpoint.EMBEDDINGS].rejected == ((chat, Refused.ENDPOINT, "embeddings"),)


def test_capable_keeps_what_offers_the_endpoint() -> None:
    chat, both = deployment("chat", Endpoint.CHAT), deployment("both", Endpoint.CHAT, Endpoint.EMBEDDINGS)
    assert capable((chat, both), Endpoint.EMBEDDINGS) == (both,)
    assert capable((chat, both), Endpoint.RESPONSES) == ()
    everyone = (chat, both)
    assert capable(everyone, Endpoint.CHAT) is everyone
