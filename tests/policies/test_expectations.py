from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from policies.choosing import NOT_SEEN, Asked, Line, Seen
from policies.expectations import (
    OUTPUT_TOKENS_USUAL,
    Expected,
    expected_nanousd,
    expected_size,
    expected_total_s,
    expected_wait_s,
)
from policies.route_rules import Needs
from policies.tariffs import Price, RareRates, Rates, Tier
from tests.policies.a_choice import NOW_S, quick, route

PRICE = Price("p", "override", "", 2 * 10**9, 5 * 10**8, None, 8 * 10**9)
SIZE = Expected(1_000, 100.0, "abc", 600)


def asked(needs: Needs, prefix_tokens: int = 0) -> Asked:
    return Asked(route({"a": 1}), (), needs, prefix="abc", prefix_tokens=prefix_tokens)


def test_a_call_is_as_large_as_is_likely() -> None:
    assert expected_size(asked(Needs(input_tokens=4_001)), ()) == Expected(1_001, OUTPUT_TOKENS_USUAL, "abc", 0)
    counted = Needs(input_tokens=4_001, is_counted=True)
    assert expected_size(asked(counted), ()) == Expected(4_001, OUTPUT_TOKENS_USUAL, "abc", 0)


def test_answers_are_as_long_as_they_were_within_the_calls_own_limit() -> None:
    seen = (quick(1.0), NOT_SEEN)  # which wrote a hundred tokens
    assert expected_size(asked(Needs()), seen).output_tokens == pytest.approx(100)
    assert expected_size(asked(Needs(output_tokens=30)), seen).output_tokens == 30
    assert expected_size(asked(Needs(output_tokens=9_000)), seen).output_tokens == pytest.approx(100)
    assert expected_size(asked(Needs(output_tokens=0)), ()).output_tokens == 0


def test_no_prefix_is_longer_than_its_prompt() -> None:
    assert expected_size(asked(Needs(input_tokens=400), 5_000), ()).prefix_tokens == 100


def test_cost_is_that_of_input_and_output() -> None:
    assert expected_nanousd(SIZE, PRICE) == pytest.approx(1_000 * 2_000 + 100 * 8_000)


def test_what_was_sent_there_lately_costs_the_cached_rate() -> None:
    sent = Seen(prefixes=("abc",))
    assert expected_nanousd(SIZE, PRICE, sent) == pytest.approx(400 * 2_000 + 600 * 500 + 100 * 8_000)


@pytest.mark.parametrize(
    "price", [None, Price("p", "o", "", None, None, None, 1), Price("p", "o", "", 1, None, None, None)]
)
def test_what_is_not_priced_may_cost_anything(price: Price | None) -> None:
    assert expected_nanousd(SIZE, price) == inf


def test_a_rate_that_is_not_needed_need_not_be_known() -> None:
    assert expected_nanousd(SIZE._replace(output_tokens=0.0), Price("p", "o", "", 10**6)) == pytest.approx(1_000)


def test_a_long_prompt_is_expected_at_its_own_rates_and_each_request_at_its_own_price() -> None:
    rare = RareRates(request_nanousd=77)
    long = replace(PRICE, tiers=(Tier(999, Rates(4 * 10**9, output_nanousd=9 * 10**9)),), rare=rare)
    assert expected_nanousd(SIZE, long) == pytest.approx(1_000 * 4_000 + 100 * 9_000)
    assert expected_nanousd(SIZE._replace(input_tokens=999), long) == pytest.approx(999 * 2_000 + 100 * 8_000 + 77)


def test_prices_are_compared_as_they_are_at_the_moment() -> None:
    changing = replace(PRICE, later=(50.0, replace(PRICE, input_nanousd=10**9)))
    assert expected_nanousd(SIZE._replace(now_s=49.0), changing) == expected_nanousd(SIZE, PRICE)
    assert expected_nanousd(SIZE._replace(now_s=50.0), changing) == pytest.approx(1_000 * 1_000 + 100 * 8_000)
    assert expected_size(asked(Needs())._replace(now_s=50.0), ()).now_s == 50.0


def test_the_total_has_the_queue_in_it() -> None:
    assert expected_total_s(SIZE, quick(2.0), NOW_S) == pytest.approx(2.0)
    assert expected_total_s(SIZE, quick(2.0, in_flight=3, queued=1), NOW_S) == pytest.approx(2.0 + 2 * 2.0 / 2)
    assert expected_total_s(SIZE, quick(2.0)._replace(line=Line(2, 4, 4, 1.5)), NOW_S) == pytest.approx(2.0 + 1.5)
    assert expected_total_s(SIZE, NOT_SEEN, NOW_S) == inf


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (NOT_SEEN, 0.0),
        (quick(2.0), 0.0),
        (quick(2.0, in_flight=1), 2.0),
        (quick(2.0, in_flight=4, queued=0), 0.0),
        (quick(2.0, in_flight=4, queued=2), 3.0),
        (quick(2.0, in_flight=0, queued=3), 8.0),
        (Seen(in_flight=4), 0.0),
        (Seen(in_flight=4, line=Line(0)), 0.0),
        (Seen(in_flight=4, line=Line(1)), inf),
        (quick(2.0)._replace(line=Line(3, 4, 4, 0.7)), 0.7),
        (quick(2.0)._replace(line=Line(0, 3, 4, 0.0)), 0.0),
        (Seen(line=Line(0, 0, 4, 3.5, is_cold=True)), 3.5),
        (Seen(line=Line(0, 4, 4)), inf),
        (quick(2.0)._replace(line=Line(0, 4, 4)), 0.5),
        (quick(2.0)._replace(line=Line(0, 3, 4)), 0.0),
    ],
)
def test_the_wait_before_anything_comes(seen: Seen, expected: float) -> None:
    assert expected_wait_s(SIZE, seen, NOW_S) == pytest.approx(expected)
