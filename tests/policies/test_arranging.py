from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from policies.balancing import EXPLORE_EVERY
from policies.choosing import Asked, Refused, Rejection, Seen
from policies.matching import candidates
from policies.route_rules import Affinity, AffinityBy
from policies.vocabulary import Deployment, Route, Strategy, Target
from tests.policies.a_choice import NOW_S, Choosing, aside, deployment, ids, priced, quick, route

A, D = deployment("a"), deployment("d")


def outer(inner: Route, strategy: Strategy = Strategy.ORDERED, fallbacks: str = "") -> Route:
    targets = (Target(A), Target(inner), Target(D))
    return Route("outer", ("outer",), strategy, targets, tuple(deployment(name) for name in fallbacks))


def conditional(inner: Route) -> Route:
    return replace(inner, name="inner", when=lambda _: True)


def test_a_route_inside_a_route_stands_at_its_place_in_its_own_order() -> None:
    choosing = Choosing(outer(route({"b": 1, "c": 1}, "x"), fallbacks="y"))
    choice = choosing.choose()
    assert (ids(choice), choice.primaries) == ("a b c x d y", 5)


def test_a_turn_inside_is_taken_only_by_a_call_that_goes_there() -> None:
    """Were it taken by every call, strict alternation outside would always meet the same one inside."""
    inner = route({"b": 1, "c": 1}, name="inner")
    choosing = Choosing(Route("outer", ("outer",), Strategy.WEIGHTED, (Target(A), Target(inner))))
    assert choosing.leaders(8) == "abacabac"


def test_while_the_first_is_set_aside_the_next_takes_its_turns() -> None:
    choosing = Choosing(outer(route({"b": 1, "c": 1}, name="inner")))
    choosing.live = {"a": aside()}
    assert choosing.leaders(4) == "bcbc"


def test_its_leader_stands_for_it() -> None:
    inner = route({"b": 1, "c": 1}, strategy=Strategy.FASTEST, name="inner")
    choosing = Choosing(outer(inner, Strategy.FASTEST))
    choosing.live = {"a": quick(0.5), "b": quick(0.9), "c": quick(0.1), "d": quick(0.3)}
    choice = choosing.choose()
    assert ids(choice) == "c b d a"
    assert dict(choice.scores) == pytest.approx({"a": 0.5, "c": 0.1, "d": 0.3})


def test_a_leader_that_is_set_aside_does_not_stand_for_it() -> None:
    inner = route({"b": 1, "c": 1}, strategy=Strategy.FASTEST, name="inner")
    choosing = Choosing(outer(inner, Strategy.FASTEST))
    latency = quick(0.1).latency
    choosing.live = {
        "a": quick(0.5),
        "b": quick(0.9),
        "c": Seen(latency=latency, set_aside_until_s=NOW_S + 1),
        "d": quick(0.3),
    }
    choice = choosing.choose()
    assert dict(choice.scores) == pytest.approx({"a": 0.5, "b": 0.9, "d": 0.3})
    assert ids(choice) == "d a c b"


def test_an_exploration_inside_does_not_count_against_the_route() -> None:
    """Else a route that is due for one would be passed over for its sake, and so stay due for ever."""
    inner = priced(Strategy.FASTEST, deployment("b", 1, 1), deployment("new"))
    choosing = Choosing(priced(Strategy.CHEAPEST, deployment("a", 5, 5), inner))
    choosing.live = {"b": quick(0.1)}
    led = [choosing.choose().candidates[0].id for _ in range(EXPLORE_EVERY * 5)]
    assert Counter(led) == {"b": EXPLORE_EVERY * 5 - 5, "new": 5}


def test_a_condition_that_does_not_hold_leaves_the_route_out_and_is_told() -> None:
    of = outer(conditional(route({"b": 1, "c": 1})))
    choosing = Choosing(of)
    choice = choosing.choose()
    assert ids(choice) == "a d"
    assert [(r.deployment.id, r.reason, r.detail) for r in choice.rejected] == [
        ("b", Refused.WHEN, "inner"),
        ("c", Refused.WHEN, "inner"),
    ]
    met = choosing.choose(Asked(of, candidates(of), met=frozenset({"inner"})))
    assert (ids(met), met.rejected) == ("a b c d", ())


def test_who_can_be_reached_another_way_is_not_refused() -> None:
    choice = Choosing(outer(conditional(route({"a": 1, "c": 1})))).choose()
    assert [r.deployment.id for r in choice.rejected] == ["c"]


def test_where_no_condition_holds_nobody_is_left() -> None:
    of = Route("outer", ("outer",), Strategy.ORDERED, (Target(conditional(route({"b": 1}))),))
    choice = Choosing(of).choose()
    assert (choice.candidates, choice.primaries) == ((), 0)


def test_what_was_ruled_out_before_stays_told() -> None:
    of = route({"a": 1, "b": 1})
    before = (Rejection(deployment("b"), Refused.CAPABILITY, "tools"),)
    choice = Choosing(of).choose(Asked(of, (deployment("a"),), rejected=before))
    assert (ids(choice), choice.rejected) == ("a", before)


def test_routes_inside_routes_inside_routes() -> None:
    innermost = route({"c": 1, "d": 1}, strategy=Strategy.ORDERED, name="innermost")
    inner = Route("inner", ("inner",), Strategy.ORDERED, (Target(deployment("b")), Target(innermost)))
    assert ids(Choosing(outer(inner)).choose()) == "a b c d"


def test_fallbacks_may_be_routes() -> None:
    of = replace(route({"a": 1}), fallbacks=(route({"x": 1, "y": 1}, name="inner"),))
    choosing = Choosing(of)
    assert (ids(choosing.choose()), choosing.choose().primaries) == ("a x y", 1)
    choosing.live = {"a": aside()}
    assert choosing.leaders(4) == "xyxy"


# --- several credentials ---


def test_credentials_take_turns_by_weight_side_by_side() -> None:
    heavy, light = Deployment("a", "p", "openai", "m", credential="1", credential_weight=2), deployment("a@2")
    of = Route("r", ("r",), Strategy.ORDERED, (Target(heavy), Target(light), Target(deployment("b"))))
    choosing = Choosing(of)
    assert ids(choosing.choose()) == "a@1 a@2 b"
    assert Counter(choosing.leaders(30)[i : i + 3] for i in range(0, 90, 3)) == {"a@1": 20, "a@2": 10}


def test_a_deployment_has_its_weight_whatever_the_number_of_its_credentials() -> None:
    choosing = Choosing(route({"a@1": 1, "a@2": 1, "a@3": 1, "b": 1}))
    led = [choosing.choose().candidates[0].id for _ in range(12)]
    assert Counter(led) == {"b": 6, "a@1": 2, "a@2": 2, "a@3": 2}


def test_a_credential_set_aside_leaves_its_deployment_in_place() -> None:
    choosing = Choosing(route({"a@1": 1, "a@2": 1, "b": 1}))
    choosing.live = {"a@1": aside()}
    assert choosing.leaders(4) == "a@2ba@2b"


def test_a_key_sticks_to_its_credential() -> None:
    of = route({"a@1": 1, "a@2": 1, "b@1": 1, "b@2": 1}, strategy=Strategy.STICKY)
    of = replace(of, affinity=Affinity(AffinityBy.HEADER, "x-session"))
    choosing = Choosing(of)
    led = {ids(choosing.choose(Asked(of, candidates(of), session="s"))) for _ in range(10)}
    assert len(led) == 1


# --- declared for failures ---


def test_fallbacks_for_failures_of_a_kind_are_told_apart() -> None:
    of = replace(
        route({"a": 1}, "x", Strategy.ORDERED),
        context_fallbacks=(deployment("big"), deployment("a")),
        content_fallbacks=(deployment("lenient"),),
    )
    choice = Choosing(of).choose()
    assert ids(choice) == "a x"
    assert [d.id for d in choice.context_fallbacks] == ["big", "a"]
    assert [d.id for d in choice.content_fallbacks] == ["lenient"]


def test_those_of_routes_inside_count_too_after_the_routes_own() -> None:
    inner = replace(route({"b": 1}, name="inner"), context_fallbacks=(deployment("big"), deployment("own")))
    choice = Choosing(replace(outer(inner), context_fallbacks=(deployment("own"),))).choose()
    assert [d.id for d in choice.context_fallbacks] == ["own", "big"]


def test_what_is_too_long_for_every_target_begins_at_the_fallbacks_for_that() -> None:
    small = replace(deployment("small"), context_tokens=10)
    of = Route(
        "r", ("r",), Strategy.ORDERED, (Target(small),), (deployment("x"),), context_fallbacks=(deployment("big"),)
    )
    asks = Asked(of, (deployment("x"), deployment("big")), Asked(of, ()).needs._replace(input_tokens=99))
    choice = Choosing(of).choose(asks)
    assert (ids(choice), choice.primaries) == ("big x", 0)


def test_what_no_target_can_for_another_reason_does_not() -> None:
    of = replace(route({"a": 1}, "x"), context_fallbacks=(deployment("big"),))
    choice = Choosing(of).choose(Asked(of, (deployment("x"), deployment("big"))))
    assert (ids(choice), [d.id for d in choice.context_fallbacks]) == ("x", ["big"])


def test_only_capable_ones_are_named_anywhere() -> None:
    of = replace(route({"a": 1, "b": 1}, "xy"), context_fallbacks=(deployment("c"), deployment("d")), name="r")
    choice = Choosing(of).choose(Asked(of, (deployment("b"), deployment("y"), deployment("d"))))
    assert (ids(choice), choice.primaries) == ("b y", 1)
    assert [d.id for d in choice.context_fallbacks] == ["d"]
