from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.balancing import EXPLORE_EVERY, STALE_S, STRATEGIES
from policies.choosing import Asked, Caller, Line, Seen
from policies.matching import candidates
from policies.route_rules import Affinity, AffinityBy, Needs
from policies.tariffs import Price
from policies.vocabulary import Strategy
from tests.policies.a_choice import NEEDS, NOW_S, Choosing, aside, asked, deployment, ids, priced, quick, route


def test_every_strategy_has_its_function() -> None:
    assert set(STRATEGIES) == set(Strategy)


# --- ordered ---


def test_ordered_keeps_the_file_order_and_puts_fallbacks_last() -> None:
    choice = Choosing(route({"a": 1, "b": 9}, "xy", Strategy.ORDERED)).choose()
    assert (ids(choice), choice.primaries, choice.scores) == ("a b x y", 2, ())


def test_duplicates_are_tried_once_where_they_first_stand() -> None:
    choice = Choosing(route({"a": 1, "b": 1}, "xax", Strategy.ORDERED)).choose()
    assert (ids(choice), choice.primaries) == ("a b x", 2)


# --- cheapest ---


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
    choosing.live = {"a": Seen(in_flight_tokens=900), "b": Seen(in_flight_tokens=100, line=Line(3))}
    assert choosing.choose(asked(of)).candidates[0].name == "a"


@pytest.mark.parametrize(
    ("idle", "busy"),
    [
        (Seen(9, 9_000, Line(0, 15, 16, 0.0)), Seen(1, 10, Line(0, 1, 1, 0.5))),  # a free slot is better than none
        (Seen(8, 8_000, Line(0, 8, 16, 0.0)), Seen(1, 1_000, Line(0, 1, 1, None))),
        (Seen(8, 8_000, Line(0, 8, 16, 0.0)), Seen(1, 1_200, Line(0, 1, 2, 0.0))),  # more tokens, over more slots
        (Seen(9, 90, Line(4, 4, 4, 0.5)), Seen(9, 9, Line(4, 4, 4, 5.0))),  # the faster of two that are full
        (Seen(9, 90, Line(4, 4, 4, 5.0)), Seen(9, 9, Line(4, 4, 4, None))),  # how fast b is nobody knows
        (Seen(4, 40, Line(0, 4, 4, None)), Seen(9, 90, Line(0, 4, 4, None))),
        (Seen(9, 90, Line(0, 4, 4, 1.0)), Seen(0, 0, Line(0, 0, 4, 9.0, is_cold=True))),  # sooner than a model loads
        (Seen(0, 0, Line(0, 0, 4, 1.0, is_cold=True)), Seen(9, 90, Line(0, 4, 4, 9.0))),
        (Seen(9, 90), Seen(9, 9, Line(0, 1, 1, 0.1))),  # who tells of no line has none
    ],
)
def test_an_engine_is_less_busy_where_the_turn_comes_sooner(idle: Seen, busy: Seen) -> None:
    choosing = Choosing(route({"a": 1, "b": 1}, strategy=Strategy.LEAST_BUSY))
    choosing.live = {"a": idle, "b": busy}
    assert choosing.leaders(4) == "aaaa"
    choosing.live = {"a": busy, "b": idle}
    assert choosing.leaders(4) == "bbbb"


def test_why_one_of_two_engines_leads_is_told() -> None:
    choosing = Choosing(route({"a": 1, "b": 1}, strategy=Strategy.LEAST_BUSY))
    choosing.live = {"a": Seen(1, 10, Line(0, 1, 2, 0.0)), "b": Seen(1, 20, Line(0, 1, 2, 0.0))}
    assert choosing.choose().why == "the less busy of two"
    choosing.live |= {"b": Seen(2, 20, Line(0, 2, 2, 0.5))}
    assert choosing.choose().why == "the shorter wait of two"


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
