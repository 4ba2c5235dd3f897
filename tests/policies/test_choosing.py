"""What every choice keeps to, whatever the strategy, the shape of the route and the state of the fleet."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.balancing import choose
from policies.capabilities import filter_candidates
from policies.choosing import Asked, Caller, Choice, Line, Seen
from policies.latency import UNKNOWN_LATENCY, Sample, observe
from policies.matching import candidates
from policies.route_plan import fresh
from policies.route_rules import Affinity, AffinityBy, Capability, Needs, SpillRules
from policies.tariffs import Price
from policies.vocabulary import Deployment, Route, Strategy, Target

NOW_S = 500.0
WITH_TOOLS = Needs(frozenset({Capability.TOOLS}), 100, 50)


def deployment(name: str) -> Deployment:
    """Of `name@credential`; every third lacks tools, and every fourth has no price."""
    name, _, credential = name.partition("@")
    number = ord(name)
    price = None if number % 4 == 0 else Price("p", "o", "", number * 10**6, None, None, 10**9)
    lacks = frozenset({Capability.TOOLS}) if number % 3 == 0 else frozenset()
    return Deployment(name, "p", "openai", "m", price=price, lacks=lacks, credential=credential)


leaves = st.sampled_from(["a@1", "a@2", "b", "c", "d", "e@1", "e@2", "f", "g"]).map(deployment)


def routes(inner: st.SearchStrategy[Deployment | Route]) -> st.SearchStrategy[Route]:
    def made(name: str, strategy: Strategy, places: list[list[Deployment | Route]], by: AffinityBy, met: int) -> Route:
        targets, fallbacks, context, content = map(tuple, places)
        return Route(
            name,
            (name,),
            strategy,
            tuple(Target(to, 1 + index % 3) for index, to in enumerate(targets)),
            fallbacks,
            context_fallbacks=context,
            content_fallbacks=content,
            affinity=Affinity(by) if met % 2 else None,
            spill=SpillRules(0.5, 10**6 * met),
        )

    some = st.lists(inner, max_size=3)
    places = st.tuples(st.lists(inner, min_size=1, max_size=4), some, some, some).map(list)
    names = st.sampled_from(["r1", "r2", "r3", "r4"])
    return st.builds(made, names, st.sampled_from(Strategy), places, st.sampled_from(AffinityBy), st.integers(0, 900))


any_route = routes(leaves | routes(leaves))
slots = st.none() | st.integers(1, 4)
lines = st.builds(Line, st.integers(0, 4), st.integers(0, 4), slots, st.none() | st.floats(0, 9), st.booleans())
numbers = st.builds(
    lambda load, line, ttft_s, until_s: Seen(
        load,
        load * 100,
        line,
        UNKNOWN_LATENCY
        if ttft_s is None
        else observe(UNKNOWN_LATENCY, Sample(100, ttft_s, 0.01, ttft_s, 50), NOW_S - 100 * load),
        (),
        until_s,
    ),
    st.integers(0, 9),
    st.none() | lines,
    st.none() | st.floats(0.01, 9.0),
    st.none() | st.floats(0, 2 * NOW_S),
)
fleets = st.dictionaries(st.sampled_from(["a@1", "a@2", "b", "c", "d", "e@1", "g"]), numbers)


def choices(of: Route, live: dict[str, Seen], needs: Needs, seed: int = 1) -> list[Choice]:
    capable, rejected = filter_candidates(of, candidates(of), needs)
    state, rng, made = fresh(of), Random(seed), []
    for number in range(4):
        asks = Asked(of, capable, needs, Caller(f"k{number}", f"u{number}"), rejected=rejected)
        choice, state = choose(asks, live, state, NOW_S + number, rng)
        made.append(choice)
    return made


@settings(max_examples=150)
@given(any_route, fleets, st.sampled_from([Needs(), WITH_TOOLS]))
def test_every_capable_one_is_there_once_and_no_refused_one_ever(
    of: Route, live: dict[str, Seen], needs: Needs
) -> None:
    capable, before = filter_candidates(of, candidates(of), needs)
    for choice in choices(of, live, needs):
        groups = [choice.candidates, choice.context_fallbacks, choice.content_fallbacks]
        for group in groups:
            assert len({d.id for d in group}) == len(group)
        named = {d.id for group in groups for d in group}
        refused = {r.deployment.id for r in choice.rejected if r not in before}
        assert named | refused == {d.id for d in capable}
        assert not {d.id for d in choice.candidates} & {r.deployment.id for r in choice.rejected}
        assert 0 <= choice.primaries <= len(choice.candidates)
        assert {id_ for id_, _ in choice.scores} <= {d.id for d in candidates(of)}


@given(any_route, fleets, st.integers(0, 99))
def test_the_same_state_time_and_dice_make_the_same_choice(of: Route, live: dict[str, Seen], seed: int) -> None:
    assert choices(of, live, Needs(), seed) == choices(of, live, Needs(), seed)


@given(any_route, fleets)
def test_a_state_outlives_a_reload_to_any_other_route(of: Route, live: dict[str, Seen]) -> None:
    other = replace(of, targets=of.targets[::-1], fallbacks=())
    state = fresh(of)
    for now_route in (of, other, of):
        asks = Asked(now_route, candidates(now_route))
        choice, state = choose(asks, live, state, NOW_S, Random(1))
        assert state.plan.route is now_route
        assert len(choice.candidates) >= 1
