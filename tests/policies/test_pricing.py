from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.pricing import TOKENS_MAX, Unpriced, UnpricedReason, component, cost_of, disjoint, is_free, is_known, sane
from policies.vocabulary import Cost, Price, Usage

USD = 1_000_000_000
SONNET = Price("sonnet", "test", "2026-01-01", 3 * USD, 3 * USD // 10, 15 * USD // 4, 15 * USD)
FREE = Price("local", "test", "2026-01-01", 0, 0, 0, 0)

counts = st.integers(-1_000, 10_000_000)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.booleans())
rates = st.integers(0, 100 * USD)
prices = st.builds(Price, st.just("p"), st.just("test"), st.just("2026-01-01"), rates, rates, rates, rates)
holed_prices = st.builds(Price, st.just("p"), st.just("test"), st.just("2026-01-01"), *[st.none() | rates] * 4)


def total_of(usage: Usage, price: Price) -> int:
    cost = cost_of(usage, price)
    assert isinstance(cost, Cost)
    return cost.total_nanousd


@pytest.mark.parametrize(
    ("usage", "expected_usd"),
    [
        # The traps that others fell into, by hand: 1 M tokens at 3, 0.30, 3.75 and 15 USD.
        (Usage(input_tokens=1_000_000), 3.0),
        (Usage(input_tokens=1_000_000, cached_input_tokens=1_000_000), 0.3),
        (Usage(input_tokens=1_000_000, cached_input_tokens=900_000), 0.57),
        (Usage(input_tokens=1_000_000, cache_write_tokens=1_000_000), 3.75),
        (Usage(input_tokens=1_000_000, cached_input_tokens=500_000, cache_write_tokens=400_000), 1.95),
        (Usage(output_tokens=1_000_000, reasoning_tokens=800_000), 15.0),
        (Usage(), 0.0),
    ],
    ids=["input", "all cached", "cached is not full input", "write is not also input", "three", "reasoning", "zero"],
)
def test_cost(usage: Usage, expected_usd: float) -> None:
    assert total_of(usage, SONNET) == round(expected_usd * USD)


@pytest.mark.parametrize(
    ("tokens", "rate", "expected"),
    [(1, 500_000, 0), (3, 500_000, 2), (1, 500_001, 1), (1, 1_500_000, 2), (1, 2_500_000, 2), (7, 0, 0), (0, None, 0)],
)
def test_components_round_half_to_even(tokens: int, rate: int | None, expected: int) -> None:
    assert component(tokens, rate) == expected


@given(st.integers(0, 10**9), st.integers(0, 10**12))
def test_rounding_is_exact_arithmetic(tokens: int, rate: int) -> None:
    assert component(tokens, rate) == round(Fraction(tokens * rate, 1_000_000))


@pytest.mark.parametrize(
    ("price", "usage", "reason"),
    [
        (None, Usage(1, 1), UnpricedReason.NO_PRICE),
        (None, Usage(), UnpricedReason.NO_PRICE),
        (replace(SONNET, input_nanousd=None), Usage(1, 1), UnpricedReason.NO_INPUT_RATE),
        (
            replace(SONNET, input_nanousd=None, cached_input_nanousd=None),
            Usage(1, 0, 1),
            UnpricedReason.NO_INPUT_RATE,
        ),
        (replace(SONNET, cache_write_nanousd=None), Usage(2, 1, 0, 1), UnpricedReason.NO_CACHE_WRITE_RATE),
        (replace(SONNET, output_nanousd=None), Usage(1, 1), UnpricedReason.NO_OUTPUT_RATE),
    ],
)
def test_tokens_without_a_rate_are_unpriced_and_never_free(
    price: Price | None, usage: Usage, reason: UnpricedReason
) -> None:
    assert cost_of(usage, price) == Unpriced(reason)


def test_a_missing_rate_matters_only_where_there_are_tokens() -> None:
    embeddings = replace(SONNET, output_nanousd=None, cache_write_nanousd=None, cached_input_nanousd=None)
    assert total_of(Usage(input_tokens=1_000_000), embeddings) == 3 * USD


def test_cached_input_without_a_rate_costs_what_input_costs() -> None:
    price = replace(SONNET, cached_input_nanousd=None)
    assert total_of(Usage(input_tokens=1_000_000, cached_input_tokens=900_000), price) == 3 * USD


def test_a_cached_rate_of_zero_is_a_rate() -> None:
    price = replace(SONNET, cached_input_nanousd=0)
    assert total_of(Usage(input_tokens=1_000_000, cached_input_tokens=1_000_000), price) == 0


@given(usages)
def test_a_free_model_is_free_and_priced(usage: Usage) -> None:
    assert total_of(usage, FREE) == 0


@given(usages, prices)
def test_cost_is_never_negative_and_its_parts_are_whole(usage: Usage, price: Price) -> None:
    cost = cost_of(usage, price)
    assert isinstance(cost, Cost)
    parts = (cost.input_nanousd, cost.cached_input_nanousd, cost.cache_write_nanousd, cost.output_nanousd)
    assert all(type(part) is int and part >= 0 for part in parts)
    assert cost.total_nanousd == sum(parts)


@given(usages, prices, st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_tokens_never_cost_less(usage: Usage, price: Price, more_input: int, more_output: int) -> None:
    bigger = usage._replace(
        input_tokens=usage.input_tokens + more_input, output_tokens=usage.output_tokens + more_output
    )
    assert total_of(bigger, price) >= total_of(usage, price)


@given(usages, holed_prices)
def test_a_known_cost_is_that_of_the_filled_in_price(usage: Usage, price: Price) -> None:
    """Whatever is missing from a price, the answer is the true cost or none; there is nothing between."""
    known = cost_of(usage, price)
    if isinstance(known, Cost):
        tokens = disjoint(usage)
        cached = price.cached_input_nanousd if price.cached_input_nanousd is not None else price.input_nanousd
        for count, rate in zip(
            tokens,
            (price.input_nanousd, cached, price.cache_write_nanousd, price.output_nanousd),
            strict=True,
        ):
            assert not count or rate is not None


@given(usages)
def test_buckets_hold_every_token_once(usage: Usage) -> None:
    tokens = disjoint(usage)
    assert all(count >= 0 for count in tokens)
    assert sum(tokens) == max(0, usage.input_tokens) + max(0, usage.output_tokens)


@pytest.mark.parametrize(
    ("usage", "expected", "clamps"),
    [
        (Usage(10, 20, 5, 5, 20), Usage(10, 20, 5, 5, 20), 0),
        (Usage(-1, 20), Usage(0, 20), 1),
        (Usage(10**18, 20), Usage(1000, 20), 1),
        (Usage(10, 10**18), Usage(10, 1000), 1),
        (Usage(10, 20, 11), Usage(10, 20, 10), 1),
        (Usage(10, 20, 6, 6), Usage(10, 20, 6, 4), 1),
        (Usage(10, 20, 0, 0, 21), Usage(10, 20, 0, 0, 20), 1),
        (Usage(-1, -1, -1, -1, -1, estimated=True), Usage(estimated=True), 5),
    ],
)
def test_sane(usage: Usage, expected: Usage, clamps: int) -> None:
    assert sane(usage, context_tokens=1000) == (expected, clamps)


def test_a_batch_may_fill_one_window_per_sequence() -> None:
    usage = Usage(input_tokens=5_000)
    assert sane(usage, context_tokens=1000, sequences=5) == (usage, 0)
    assert sane(usage, context_tokens=1000, sequences=4).clamps == 1


def test_without_a_known_window_a_count_is_still_bounded() -> None:
    assert sane(Usage(input_tokens=2**63)).usage.input_tokens == TOKENS_MAX


@given(usages, st.none() | st.integers(1, 2_000_000))
def test_sane_usage_is_left_alone(usage: Usage, context_tokens: int | None) -> None:
    once = sane(usage, context_tokens)
    assert (once.clamps == 0) == (once.usage == usage)
    assert sane(once.usage, context_tokens) == (once.usage, 0)
    assert once.usage.estimated == usage.estimated


@given(holed_prices, usages, st.sampled_from((0, 7)))
def test_a_known_price_has_a_cost_for_all_but_cache_writes(price: Price, usage: Usage, output_tokens: int) -> None:
    if is_known(price, generates=output_tokens > 0):
        asked = usage._replace(cache_write_tokens=0, output_tokens=output_tokens)
        assert isinstance(cost_of(asked, price), Cost)
    assert not is_known(None, generates=output_tokens > 0)


@given(holed_prices, usages)
def test_what_is_free_costs_nothing(price: Price, usage: Usage) -> None:
    free = replace(price, input_nanousd=0, output_nanousd=0, cached_input_nanousd=None)
    assert is_free(free) is not bool(free.cache_write_nanousd)
    if is_free(free):
        cost = cost_of(usage._replace(cache_write_tokens=0), free)
        assert isinstance(cost, Cost)
        assert cost.total_nanousd == 0
    assert not is_free(None)
