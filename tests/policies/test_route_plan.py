from __future__ import annotations

from dataclasses import replace

from policies.route_plan import carried, compile_plan, fresh
from policies.route_rules import Affinity, AffinityBy
from policies.vocabulary import Route, Strategy, Target
from tests.policies.a_choice import Choosing, deployment, route


def test_credentials_of_one_deployment_stand_at_one_place() -> None:
    plan = compile_plan(route({"a@1": 3, "b": 1, "a@2": 3}))
    assert [(place.key, place.weight) for place in plan.places] == [("deployment a", 3), ("deployment b", 1)]
    assert [d.id for d in plan.places[0].deployments] == ["a@1", "a@2"]
    assert plan.everyone == 3


def test_a_route_and_a_deployment_of_one_name_are_two_places() -> None:
    of = Route("r", ("r",), Strategy.WEIGHTED, (Target(deployment("a")), Target(route({"b": 1}, name="a"))))
    assert [place.key for place in compile_plan(of).places] == ["deployment a", "route a"]


def test_who_stands_twice_counts_once() -> None:
    of = replace(route({"a": 1, "b": 1}, "a"), context_fallbacks=(deployment("b"), deployment("c")))
    assert compile_plan(of).everyone == 3


def test_only_what_goes_by_live_numbers_reads_them() -> None:
    assert not compile_plan(route({"a": 1, "b": 1})).reads_live
    assert not compile_plan(route({"a": 1, "b": 1}, strategy=Strategy.ORDERED)).reads_live
    assert compile_plan(route({"a": 1, "b": 1}, strategy=Strategy.FASTEST)).reads_live
    nested = Route("r", ("r",), Strategy.ORDERED, (Target(route({"a": 1}, strategy=Strategy.CHEAPEST)),))
    assert compile_plan(nested).reads_live


def test_a_choice_that_is_always_the_same_is_made_once() -> None:
    choice = compile_plan(route({"a": 1, "b": 1}, "x", Strategy.ORDERED)).always
    assert choice is not None
    assert ([d.id for d in choice.candidates], choice.primaries) == (["a", "b", "x"], 2)
    assert compile_plan(route({"a": 1}, "x", Strategy.STICKY)).always is not None
    assert compile_plan(route({"a": 1, "b": 1})).always is None
    assert compile_plan(route({"a@1": 1, "a@2": 1}, strategy=Strategy.ORDERED)).always is None


def test_stickiness_reaches_down_to_the_credential() -> None:
    of = replace(route({"a@1": 1, "a@2": 1}, strategy=Strategy.STICKY), affinity=Affinity(AffinityBy.KEY))
    inner = compile_plan(of).places[0].inner
    assert inner is not None
    assert (inner.route.strategy, inner.route.affinity) == (Strategy.STICKY, of.affinity)


def test_a_reload_keeps_the_turns() -> None:
    choosing = Choosing(route({"a@1": 1, "a@2": 1, "b": 1}))
    assert choosing.leaders(1) == "a@1"
    for _ in range(2):
        choosing.route = route({"a@1": 1, "a@2": 1, "b": 1})
        choosing.state = carried(choosing.state, choosing.route)
        choosing.leaders(1)
    assert choosing.leaders(3) == "ba@1b"


def test_reloads_under_load_favour_nobody() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}))
    led = ""
    for _ in range(20):
        led += choosing.leaders(1)
        choosing.route = route({"a": 1, "b": 1})
    assert led == "ab" * 10


def test_what_was_owed_under_larger_weights_is_cut_to_the_new() -> None:
    state = fresh(route({"a": 1000, "b": 1000}))._replace(owed=(900, -900))
    assert carried(state, route({"b": 1, "a": 2, "c": 1})).owed == (-4, 4, 0)
