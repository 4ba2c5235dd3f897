from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.choosing import Asked, Caller, Seen
from policies.matching import candidates
from policies.route_rules import Affinity, AffinityBy
from policies.vocabulary import Route, Strategy
from tests.policies.a_choice import NOW_S, Choosing, aside, ids, route

# --- weighted ---


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
    assert Choosing(route(weights)).leaders(len(expected)) == expected


def test_weight_zero_comes_after_other_targets_and_before_fallbacks() -> None:
    choosing = Choosing(route({"z": 0, "a": 1, "b": 1}, "x"))
    assert [ids(choosing.choose()), ids(choosing.choose())] == ["a b z x", "b a z x"]


weightings = st.lists(st.integers(0, 9), min_size=2, max_size=6).map(lambda ws: dict(zip("abcdef", ws, strict=False)))


@given(weightings, st.integers(1, 3))
def test_each_leads_exactly_as_often_as_its_weight_says(weights: dict[str, int], rounds: int) -> None:
    total = sum(weights.values())
    led = Counter(Choosing(route(weights)).leaders(total * rounds))
    assert led == Counter({name: weight * rounds for name, weight in weights.items() if weight})


@given(weightings, st.integers(1, 60))
def test_shares_are_close_at_every_moment(weights: dict[str, int], calls: int) -> None:
    """Smooth: after any number of calls nobody is a whole round ahead of their share or behind it."""
    total = sum(weights.values())
    if total:
        led = Counter(Choosing(route(weights)).leaders(calls))
        positive = sum(weight > 0 for weight in weights.values())
        for name, weight in weights.items():
            assert abs(led[name] - calls * weight / total) < positive


@given(weightings, st.lists(st.sets(st.sampled_from("abcdef"), max_size=5), max_size=5))
def test_while_some_are_set_aside_the_others_lead_by_their_weights(
    weights: dict[str, int], phases: list[set[str]]
) -> None:
    """Turns are charged to those that really lead, and nobody saves up any while set aside."""
    choosing = Choosing(route(weights))
    for phase in [*phases, set()]:
        out = phase & set(weights)
        choosing.live = {name: aside() for name in out}
        here = {name: weight for name, weight in weights.items() if name not in out} or weights
        total = sum(here.values())
        led = Counter(choosing.leaders(total * 3))
        if total:
            for name, weight in here.items():
                assert abs(led[name] - weight * 3) <= max(2, len(weights))


def test_what_comes_back_gets_its_share_and_no_burst() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}))
    choosing.live = {"a": aside()}
    assert choosing.leaders(50) == "b" * 50
    choosing.live = {}
    assert Counter(choosing.leaders(10)) == {"a": 5, "b": 5}
    assert "aaa" not in choosing.leaders(10)


def test_where_all_are_set_aside_turns_go_on() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}))
    choosing.live = {"a": aside(), "b": aside()}
    assert choosing.leaders(4) == "abab"


def test_what_was_set_aside_until_now_is_free() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}))
    choosing.live = {"a": aside(NOW_S)}
    assert choosing.leaders(4) == "abab"


# --- weighted, stable by caller ---


def canary(percent: int, name: str = "smart") -> Choosing:
    of = route({"stable": 100 - percent, "canary": percent}, name=name)
    return Choosing(replace(of, affinity=Affinity(AffinityBy.USER)))


def in_canary(choosing: Choosing, users: int = 2_000) -> set[str]:
    every = candidates(choosing.route)
    found = set()
    for number in range(users):
        asked = Asked(choosing.route, every, caller=Caller("key", f"user {number}"))
        if choosing.choose(asked).candidates[0].name == "canary":
            found.add(f"user {number}")
    return found


def test_a_canary_that_grows_keeps_its_callers() -> None:
    five, ten, fifty = (in_canary(canary(percent)) for percent in (5, 10, 50))
    assert five < ten < fifty
    assert len(five) == pytest.approx(100, abs=30)
    assert len(ten) == pytest.approx(200, abs=40)


def test_a_caller_stays_whatever_others_do() -> None:
    choosing = canary(5)
    assert in_canary(choosing) == in_canary(choosing)


def test_who_is_in_one_canary_is_not_in_all() -> None:
    one, other = in_canary(canary(10, "one")), in_canary(canary(10, "other"))
    assert len(one & other) < len(one) / 2


def test_callers_of_a_target_set_aside_are_spread_over_the_others() -> None:
    of = replace(route({"a": 1, "b": 1, "c": 1}), affinity=Affinity(AffinityBy.USER))
    choosing = Choosing(of)
    seconds: Counter[str] = Counter()
    for number in range(300):
        order = choosing.choose(Asked(of, candidates(of), caller=Caller("key", str(number)))).candidates
        if order[0].name == "a":
            seconds[order[1].name] += 1
    assert min(seconds["b"], seconds["c"]) > 20


def test_a_call_without_what_a_route_keeps_together_takes_its_turn() -> None:
    for strategy in (Strategy.WEIGHTED, Strategy.STICKY):
        of = replace(route({"a": 1, "b": 1}, strategy=strategy), affinity=Affinity(AffinityBy.HEADER, "x-session"))
        assert Choosing(of).leaders(4) == "abab"


# --- sticky ---


def sticky(weights: dict[str, int], by: AffinityBy = AffinityBy.KEY, load_max: float = 1.25) -> Route:
    return replace(route(weights, strategy=Strategy.STICKY), affinity=Affinity(by, load_max=load_max))


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        (AffinityBy.KEY, {"caller": Caller("k", "u1")}, {"caller": Caller("k", "u2")}),
        (AffinityBy.USER, {"caller": Caller("k1", "u")}, {"caller": Caller("k2", "u")}),
        (AffinityBy.USER, {"caller": Caller("k")}, {"caller": Caller("k", team="t")}),
        (AffinityBy.HEADER, {"session": "s", "caller": Caller("k1")}, {"session": "s", "caller": Caller("k2")}),
        (AffinityBy.PREFIX, {"session": "p"}, {"prefix": "p", "caller": Caller("k2")}),
    ],
)
def test_what_is_kept_together_goes_together(by: AffinityBy, same: dict[str, Any], other: dict[str, Any]) -> None:
    of = sticky(dict.fromkeys("abcdefgh", 1), by)
    choosing = Choosing(of)
    one = choosing.choose(Asked(of, candidates(of), **same))
    assert ids(choosing.choose(Asked(of, candidates(of), **other))) == ids(one)


def test_without_an_affinity_calls_stick_by_key() -> None:
    of = route(dict.fromkeys("abcdefgh", 1), strategy=Strategy.STICKY)
    choosing = Choosing(of)
    led = {ids(choosing.choose(Asked(of, candidates(of), caller=Caller("k")))) for _ in range(20)}
    assert len(led) == 1


def test_a_full_target_gives_way_to_the_next_in_its_own_order_and_that_is_told() -> None:
    of = sticky(dict.fromkeys("abc", 1))
    choosing = Choosing(of)
    asks = Asked(of, candidates(of), caller=Caller("k"))
    first, second, third = (d.id for d in choosing.choose(asks).candidates)
    choosing.live = {first: Seen(in_flight=2)}
    choice = choosing.choose(asks)
    assert ids(choice) == f"{second} {first} {third}"
    assert "full" in choice.why


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5), min_size=2),
    st.lists(st.tuples(st.sampled_from(["k1", "k2", "k3"]), st.booleans()), max_size=80),
    st.floats(1.0, 2.0),
)
def test_no_target_ever_has_more_than_its_bound(
    weights: dict[str, int], calls: list[tuple[str, bool]], load_max: float
) -> None:
    of = sticky(weights, load_max=load_max)
    choosing = Choosing(of)
    loads = dict.fromkeys(weights, 0)
    for key, ends in calls:
        leader = choosing.choose(Asked(of, candidates(of), caller=Caller(key))).candidates[0].id
        share = load_max * (sum(loads.values()) + 1) * weights[leader] / sum(weights.values())
        loads[leader] += 1
        assert loads[leader] <= ceil(share + 1e-9)
        if ends:
            loads[max(loads, key=loads.__getitem__)] -= 1
        choosing.live = {name: Seen(in_flight=load) for name, load in loads.items()}


def test_keys_of_a_target_set_aside_go_to_the_next_of_each() -> None:
    of = sticky(dict.fromkeys("abc", 1), load_max=9.0)
    choosing = Choosing(of)
    for number in range(50):
        asks = Asked(of, candidates(of), caller=Caller(f"k{number}"))
        choosing.live = {}
        before = [d.id for d in choosing.choose(asks).candidates]
        choosing.live = {"a": aside()}
        assert choosing.choose(asks).candidates[0].id == next(name for name in before if name != "a")
