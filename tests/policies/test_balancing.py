from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.balancing import STRATEGIES, Order, Rotation, order
from policies.vocabulary import Deployment, Route, Strategy, Target


def deployment(name: str) -> Deployment:
    return Deployment(name, "provider", "openai", "model")


def route(weights: dict[str, int], fallbacks: str = "", strategy: Strategy = Strategy.WEIGHTED) -> Route:
    targets = tuple(Target(deployment(name), weight) for name, weight in weights.items())
    return Route("smart", ("smart",), strategy, targets, tuple(deployment(name) for name in fallbacks))


def everyone(of: Route) -> tuple[Deployment, ...]:
    return (*(target.deployment for target in of.targets), *of.fallbacks)


def names(ordered: Order) -> str:
    return "".join(candidate.name for candidate in ordered.candidates)


def leaders(of: Route, calls: int) -> str:
    rotation: Rotation = ()
    led = []
    for _ in range(calls):
        ordered, rotation = order(of, everyone(of), rotation)
        led.append(ordered.candidates[0].name)
    return "".join(led)


def test_every_strategy_has_its_function() -> None:
    assert set(STRATEGIES) == set(Strategy)


def test_ordered_keeps_the_file_order_and_puts_fallbacks_last() -> None:
    of = route({"a": 1, "b": 9}, "xy", Strategy.ORDERED)
    ordered, rotation = order(of, everyone(of))
    assert (names(ordered), ordered.primaries, rotation) == ("abxy", 2, ())


def test_duplicates_are_tried_once_where_they_first_stand() -> None:
    of = route({"a": 1, "b": 1}, "xax", Strategy.ORDERED)
    ordered, _ = order(of, everyone(of))
    assert (names(ordered), ordered.primaries) == ("abx", 2)


def test_only_capable_candidates_are_ordered() -> None:
    of = route({"a": 1, "b": 1}, "xy", Strategy.ORDERED)
    ordered, _ = order(of, (deployment("b"), deployment("y")))
    assert (names(ordered), ordered.primaries) == ("by", 1)


def test_where_no_target_is_capable_fallbacks_answer() -> None:
    of = route({"a": 1}, "xy")
    ordered, _ = order(of, (deployment("x"), deployment("y")))
    assert (names(ordered), ordered.primaries) == ("xy", 0)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 5, "b": 1, "c": 1}, "aabacaa"),
        ({"a": 1, "b": 1}, "abab"),
        ({"a": 3}, "aaa"),
        ({"a": 0, "b": 2}, "bb"),
        ({"a": 0, "b": 0}, "aa"),
    ],
)
def test_weighted_sequence(weights: dict[str, int], expected: str) -> None:
    assert leaders(route(weights), len(expected)) == expected


def test_weight_zero_comes_after_other_targets_and_before_fallbacks() -> None:
    of = route({"z": 0, "a": 1, "b": 1}, "x")
    first, rotation = order(of, everyone(of))
    second, _ = order(of, everyone(of), rotation)
    assert (names(first), names(second)) == ("abzx", "bazx")


weightings = st.lists(st.integers(0, 9), min_size=2, max_size=6).map(lambda ws: dict(zip("abcdef", ws, strict=False)))


@given(weightings, st.integers(1, 3))
def test_each_leads_exactly_as_often_as_its_weight_says(weights: dict[str, int], rounds: int) -> None:
    total = sum(weights.values())
    led = Counter(leaders(route(weights), total * rounds))
    assert led == Counter({name: weight * rounds for name, weight in weights.items() if weight})


@given(weightings, st.integers(1, 60))
def test_shares_are_close_at_every_moment(weights: dict[str, int], calls: int) -> None:
    """Smooth: after any number of calls nobody is a whole round ahead of their share or behind it."""
    total = sum(weights.values())
    if total:
        led = Counter(leaders(route(weights), calls))
        positive = sum(weight > 0 for weight in weights.values())
        for name, weight in weights.items():
            assert abs(led[name] - calls * weight / total) < positive


@given(weightings, st.lists(st.sets(st.sampled_from("abcdefxy"), min_size=2), max_size=30))
def test_order_is_a_permutation_whatever_is_capable(weights: dict[str, int], filters: list[set[str]]) -> None:
    of = route(weights, "xy")
    rotation: Rotation = ()
    for wanted in filters:
        capable = tuple(d for d in everyone(of) if d.name in wanted)
        ordered, rotation = order(of, capable, rotation)
        assert sorted(names(ordered)) == sorted(d.name for d in capable)
        assert set(names(ordered)[: ordered.primaries]) <= set(weights) or len(capable) == 1
        assert sum(owed for _, owed in rotation) == 0
