from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.balancing import EXPLORE_EVERY, STALE_S, STRATEGIES
from policies.choosing import Asked, Caller, Refused, Seen
from policies.matching import candidates
from policies.route_rules import Affinity, AffinityBy, Needs, SpillRules
from policies.vocabulary import Price, Route, Strategy, Target
from tests.policies.a_choice import NOW_S, Choosing, aside, deployment, ids, quick, route

if TYPE_CHECKING:
    from policies.vocabulary import Deployment

NEEDS = Needs(input_tokens=4_000, output_tokens=1_000)  # a likely prompt of 1,000 tokens


def test_every_strategy_has_its_function() -> None:
    assert set(STRATEGIES) == set(Strategy)


# --- ordered ---


def test_ordered_keeps_the_file_order_and_puts_fallbacks_last() -> None:
    choice = Choosing(route({"a": 1, "b": 9}, "xy", Strategy.ORDERED)).choose()
    assert (ids(choice), choice.primaries, choice.scores) == ("a b x y", 2, ())


def test_duplicates_are_tried_once_where_they_first_stand() -> None:
    choice = Choosing(route({"a": 1, "b": 1}, "xax", Strategy.ORDERED)).choose()
    assert (ids(choice), choice.primaries) == ("a b x", 2)


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


# --- cheapest ---


def priced(strategy: Strategy, *deployments: Deployment) -> Route:
    return Route("smart", ("smart",), strategy, tuple(map(Target, deployments)))


def asked(of: Route, needs: Needs = NEEDS, prefix: str = "", prefix_tokens: int = 0) -> Asked:
    return Asked(of, candidates(of), needs, prefix=prefix, prefix_tokens=prefix_tokens)


def test_cheapest_goes_by_what_this_request_costs() -> None:
    of = priced(Strategy.CHEAPEST, deployment("talks", 10, 1), deployment("reads", 1, 10), deployment("free", 0, 0))
    long_prompt, long_answer = Needs(input_tokens=400_000, output_tokens=10), Needs(input_tokens=40, output_tokens=400)
    assert ids(Choosing(of).choose(asked(of, long_prompt))) == "free reads talks"
    assert ids(Choosing(of).choose(asked(of, long_answer))) == "free talks reads"


def test_an_unknown_price_comes_last_and_is_told() -> None:
    of = priced(Strategy.CHEAPEST, deployment("unknown"), deployment("half", 1), deployment("dear", 90, 90))
    choice = Choosing(of).choose(asked(of))
    assert ids(choice) == "dear unknown half"
    assert dict(choice.scores)["unknown"] == inf
    assert "unknown" in choice.why


def test_a_prompt_that_was_sent_there_lately_is_cheaper_there() -> None:
    price = Price("p", "override", "", 10 * 10**9, 10**9, None, 10**9)
    cached, plain = replace(deployment("cached"), price=price), deployment("plain", 9, 1)
    of = priced(Strategy.CHEAPEST, plain, cached)
    choosing = Choosing(of)
    choosing.live = {"cached": Seen(prefixes=frozenset({"abc"}))}
    assert ids(choosing.choose(asked(of, prefix="abc", prefix_tokens=900))) == "cached plain"
    assert ids(choosing.choose(asked(of, prefix="xyz", prefix_tokens=900))) == "plain cached"


def test_of_two_that_cost_the_same_the_idle_one_leads() -> None:
    of = priced(Strategy.CHEAPEST, deployment("a", 1, 1), deployment("b", 1, 1))
    choosing = Choosing(of)
    choosing.live = {"a": Seen(in_flight=1, in_flight_tokens=900)}
    assert ids(choosing.choose(asked(of))) == "b a"


# --- fastest ---


def test_fastest_goes_by_this_prompt() -> None:
    of = route({"a": 1, "b": 1, "new": 1}, strategy=Strategy.FASTEST)
    choosing = Choosing(of)
    choosing.live = {"a": quick(0.9), "b": quick(0.2)}
    choice = choosing.choose(asked(of))
    assert ids(choice) == "b a new"
    assert dict(choice.scores) == pytest.approx({"a": 0.9, "b": 0.2, "new": inf})


def test_a_queue_makes_the_fastest_slow() -> None:
    of = route({"a": 1, "b": 1}, strategy=Strategy.FASTEST)
    choosing = Choosing(of)
    choosing.live = {"a": quick(0.9), "b": quick(0.2, in_flight=10, queued=8)}
    assert ids(choosing.choose(asked(of))) == "a b"


def test_where_nothing_is_known_calls_under_way_count() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}, strategy=Strategy.FASTEST))
    choosing.live = {"a": Seen(in_flight=1)}
    assert choosing.leaders(30) == "b" * 30


def test_each_that_is_unknown_gets_its_turn() -> None:
    choosing = Choosing(route(dict.fromkeys("abcd", 1), strategy=Strategy.FASTEST))
    choosing.live = {"a": quick(0.1)}
    led = choosing.leaders(EXPLORE_EVERY * 60)
    assert Counter(led)["a"] == EXPLORE_EVERY * 57
    assert set(led) == set("abcd")


def test_whoever_was_unseen_longest_goes_first_and_who_was_seen_lately_needs_none() -> None:
    choosing = Choosing(route(dict.fromkeys("abc", 1), strategy=Strategy.FASTEST))
    choosing.live = {
        "a": quick(0.1),
        "b": quick(0.3, NOW_S - STALE_S - 1),
        "c": quick(0.3, NOW_S - STALE_S - 9),
    }
    assert choosing.leaders(EXPLORE_EVERY) == "a" * (EXPLORE_EVERY - 1) + "c"
    choosing.live["b"] = choosing.live["c"] = quick(0.3)
    assert choosing.leaders(EXPLORE_EVERY * 3) == "a" * EXPLORE_EVERY * 3


@pytest.mark.parametrize("seen", [aside(), Seen(in_flight=1)])
def test_who_is_set_aside_or_being_looked_at_is_not_explored(seen: Seen) -> None:
    choosing = Choosing(route({"a": 1, "b": 1}, strategy=Strategy.FASTEST))
    choosing.live = {"a": quick(0.1), "b": seen}
    assert "b" not in choosing.leaders(EXPLORE_EVERY * 3)


@given(st.lists(st.floats(0.01, 9.0) | st.none(), min_size=2, max_size=6), st.integers(1, 200), st.integers(0, 99))
def test_exploration_is_bounded(known: list[float | None], calls: int, seed: int) -> None:
    names = "abcdef"[: len(known)]
    choosing = Choosing(route(dict.fromkeys(names, 1), strategy=Strategy.FASTEST), seed)
    times = {name: ttft_s for name, ttft_s in zip(names, known, strict=True) if ttft_s is not None}
    choosing.live = {name: quick(ttft_s, NOW_S - 2 * STALE_S) for name, ttft_s in times.items()}
    led = choosing.leaders(calls)
    if times:
        best = min(times.values())
        assert sum(times.get(name, inf) > best for name in led) <= calls // EXPLORE_EVERY


# --- least_busy ---


def test_of_two_the_less_busy_leads() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}, strategy=Strategy.LEAST_BUSY))
    choosing.live = {"a": Seen(in_flight_tokens=900), "b": Seen(in_flight_tokens=100)}
    assert choosing.leaders(20) == "b" * 20


def test_a_queue_counts_as_calls_like_this_one() -> None:
    of = route({"a": 1, "b": 1}, strategy=Strategy.LEAST_BUSY)
    choosing = Choosing(of)
    choosing.live = {"a": Seen(in_flight_tokens=900), "b": Seen(in_flight_tokens=100, queued=3)}
    assert choosing.choose(asked(of)).candidates[0].name == "a"


def test_a_target_of_twice_the_weight_may_be_twice_as_busy() -> None:
    choosing = Choosing(route({"a": 2, "b": 1, "never": 0}, strategy=Strategy.LEAST_BUSY))
    choosing.live = {"a": Seen(in_flight_tokens=150), "b": Seen(in_flight_tokens=100)}
    assert choosing.leaders(20) == "a" * 20


def test_the_busiest_of_all_never_leads_and_the_others_share() -> None:
    choosing = Choosing(route(dict.fromkeys("abcd", 1), strategy=Strategy.LEAST_BUSY))
    choosing.live = {"d": Seen(in_flight_tokens=100)}
    led = Counter(choosing.leaders(600))
    assert led["d"] == 0
    assert min(led["a"], led["b"], led["c"]) > 100


def test_two_choices_keep_the_load_level() -> None:
    """Of 20 targets none comes to hold much more than the mean, as it would by lot."""
    names = [f"t{number}" for number in range(20)]
    choosing = Choosing(route(dict.fromkeys(names, 1), strategy=Strategy.LEAST_BUSY))
    for _ in range(2_000):
        leader = choosing.choose().candidates[0].id
        before = choosing.live.get(leader, Seen())
        choosing.live[leader] = Seen(before.in_flight + 1, before.in_flight_tokens + 100)
    assert max(seen.in_flight for seen in choosing.live.values()) <= 105


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


# --- spill ---


def spilling(wait_max_s: float = 1.0, cost_max_nanousd: int | None = None) -> Route:
    targets = (deployment("local", 0, 0), deployment("near", 1, 1), deployment("far", 50, 50), deployment("dark"))
    return replace(priced(Strategy.SPILL, *targets), spill=SpillRules(wait_max_s, cost_max_nanousd))


BUSY = quick(2.0, in_flight=6, queued=4)


def test_the_first_serves_while_it_can_in_time() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": quick(9.0, in_flight=4, queued=0)}
    assert ids(choosing.choose()) == "local near far dark"


def test_a_queue_that_is_too_long_sends_the_call_on() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": BUSY}
    choice = choosing.choose()
    assert ids(choice) == "near local far dark"
    assert dict(choice.scores)["local"] == pytest.approx((4 + 1) * 2.0 / 2)
    assert "too long" in choice.why


def test_what_does_not_tell_its_queue_is_as_late_as_it_was() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": quick(3.0, in_flight=1)}
    assert choosing.leaders(1) == "near"
    choosing.live = {"local": quick(3.0)}
    assert choosing.leaders(1) == "local"


def test_beyond_the_guard_there_are_no_candidates() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=10_000_000))
    choice = choosing.choose(asked(choosing.route))
    assert ids(choice) == "local near"
    assert [(r.deployment.id, r.reason) for r in choice.rejected] == [("far", Refused.COST), ("dark", Refused.PRICE)]


def test_where_the_guard_refuses_all_the_call_stays_and_that_is_told() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=0))
    choosing.live = {"local": BUSY}
    choice = choosing.choose(asked(choosing.route))
    assert ids(choice) == "local"
    assert "guard" in choice.why


def test_where_all_are_late_the_call_stays() -> None:
    choosing = Choosing(spilling())
    choosing.live = dict.fromkeys(("local", "near", "far", "dark"), BUSY)
    choice = choosing.choose()
    assert choice.candidates[0].id == "local"
    assert "all are late" in choice.why


def test_calls_that_wait_where_nothing_is_known_may_wait_for_ever() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": Seen(in_flight=4, queued=3)}
    assert choosing.leaders(1) == "near"


def test_a_first_target_set_aside_makes_the_next_the_home() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=10_000_000))
    choosing.live = {"local": aside()}
    assert choosing.leaders(1) == "near"


def test_the_guard_holds_where_the_first_is_down_or_cannot_and_fallbacks_are_free_of_it() -> None:
    of = replace(spilling(cost_max_nanousd=0), fallbacks=(deployment("far"),))
    choosing = Choosing(of)
    choosing.live = {"local": aside()}
    assert ids(choosing.choose(asked(of))) == "local far"
    near, far = of.targets[1].to, of.targets[2].to
    choice = choosing.choose(Asked(of, (near, far), NEEDS))  # type: ignore[arg-type]  # deployments both
    assert (ids(choice), choice.primaries) == ("far", 0)
    assert [r.deployment.id for r in choice.rejected] == ["near"]


# --- all of them ---


@settings(max_examples=50)
@given(st.sampled_from(Strategy), st.integers(0, 1_000), st.data())
def test_decisions_are_the_same_for_the_same_state_time_and_dice(
    strategy: Strategy, seed: int, data: st.DataObject
) -> None:
    of = replace(route(dict.fromkeys("abcd", 1), "x", strategy), affinity=Affinity(AffinityBy.KEY))
    times = data.draw(st.lists(st.floats(0.1, 9.0), min_size=4, max_size=4))
    live = {name: quick(ttft_s, in_flight_tokens=int(ttft_s)) for name, ttft_s in zip("abcd", times, strict=True)}
    made = []
    for _ in range(2):
        choosing = Choosing(of, seed)
        choosing.live = live
        made.append([choosing.choose(Asked(of, candidates(of), NEEDS, Caller(f"k{n}"))) for n in range(25)])
    assert made[0] == made[1]
