from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.pricing import (
    Unpriced,
    UnpricedReason,
    billed_price,
    component,
    cost_of,
    is_free,
    is_known,
    source_of,
)
from policies.rates import base_rates
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier
from policies.usage import Cost, Usage, UsageDetails
from policies.usage_parts import disjoint

USD = 1_000_000_000
SONNET = Price("sonnet", "test", "2026-01-01", 3 * USD, 3 * USD // 10, 15 * USD // 4, 15 * USD)
FREE = Price("local", "test", "2026-01-01", 0, 0, 0, 0)

counts = st.integers(-1_000, 10_000_000)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.booleans(), st.none())
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


RARE = RareRates(6 * USD, 60 * USD, 32 * USD, USD // 2, 5 * USD, 64 * USD, 40 * USD, 7_000_000, 10_000_000)
"""1 h writes, reasoning, audio in, cached audio, pictures in, audio out, pictures out; a request, a search."""
OMNI = replace(SONNET, id="omni", rare=RARE)
small = st.integers(0, 5_000)
details = st.builds(UsageDetails, small, small, small, small, small, small, st.integers(0, 9), st.just(""), st.none())
full_rates = st.builds(Rates, rates, rates, rates, rates, st.builds(RareRates, *[rates] * 9))
full_prices = st.builds(
    lambda made, tiers: replace(Price("p", "table", "", *made[:4]), rare=made.rare, tiers=tiers),
    full_rates,
    st.just(()) | st.tuples(st.builds(Tier, small, full_rates)),
)


@given(usages, st.none() | details, full_prices)
def test_every_component_is_its_tokens_times_their_rates_rounded_once(
    usage: Usage, told: UsageDetails | None, price: Price
) -> None:
    usage = usage._replace(details=told)
    cost = cost_of(usage, price)
    assert isinstance(cost, Cost)
    assert cost[:4] == by_fractions(usage, price)
    assert cost.request_nanousd == rates_by_hand(usage, price).rare.request_nanousd  # type: ignore[union-attr]


def rates_by_hand(usage: Usage, price: Price) -> Rates:
    above = [tier.rates for tier in price.tiers if usage.input_tokens > tier.above_input_tokens]
    base = base_rates(price)
    return above[-1] if above else base


def by_fractions(usage: Usage, price: Price) -> tuple[int, ...]:
    """The formula as the papers write it, with no regard for speed."""
    rate = rates_by_hand(usage, price)
    rare, told = rate.rare, usage.details or UsageDetails()
    assert rare is not None
    fresh, cached, written, output = disjoint(usage)
    cached_audio = min(told.cached_audio_tokens, cached)
    audio = max(0, min(told.input_audio_tokens - cached_audio, fresh))
    image = min(told.input_image_tokens, fresh - audio)
    hour = min(told.cache_write_1h_tokens, written)
    spoken = min(told.output_audio_tokens, output)
    drawn = min(told.output_image_tokens, output - spoken)
    thought = max(0, min(usage.reasoning_tokens, output - spoken - drawn))
    sums = (
        (fresh - audio - image, rate.input_nanousd, audio, rare.input_audio_nanousd, image, rare.input_image_nanousd),
        (cached - cached_audio, rate.cached_input_nanousd, cached_audio, rare.cached_audio_nanousd),
        (written - hour, rate.cache_write_nanousd, hour, rare.cache_write_1h_nanousd),
        (
            *(output - spoken - drawn - thought, rate.output_nanousd, thought, rare.reasoning_nanousd),
            *(spoken, rare.output_audio_nanousd, drawn, rare.output_image_nanousd),
        ),
    )
    return tuple(
        round(Fraction(sum(n * (r or 0) for n, r in zip(one[::2], one[1::2], strict=True)), 1_000_000)) for one in sums
    )


@pytest.mark.parametrize(
    ("told", "lacking", "reason"),
    [
        (UsageDetails(input_audio_tokens=1), "input_audio_nanousd", UnpricedReason.NO_AUDIO_RATE),
        (UsageDetails(output_audio_tokens=1), "output_audio_nanousd", UnpricedReason.NO_AUDIO_RATE),
        (UsageDetails(output_image_tokens=1), "output_image_nanousd", UnpricedReason.NO_IMAGE_RATE),
        (UsageDetails(cache_write_1h_tokens=1), "cache_write_1h_nanousd", UnpricedReason.NO_CACHE_WRITE_RATE),
        (UsageDetails(searches=1), "search_nanousd", UnpricedReason.NO_SEARCH_RATE),
    ],
)
def test_what_has_a_price_of_its_own_everywhere_is_not_billed_at_another(
    told: UsageDetails, lacking: str, reason: UnpricedReason
) -> None:
    usage = Usage(10, 10, 0, 5, details=told)
    assert isinstance(cost_of(usage, OMNI), Cost)
    assert cost_of(usage, replace(OMNI, rare=RARE._replace(**{lacking: None}))) == Unpriced(reason)


def test_a_stand_in_stands_for_all_that_is_billed() -> None:
    told = UsageDetails(1, 1, 0, 0, 1, 1, 3, "batch")
    usage = Usage(1_000_000, 1_000_000, 0, 1_000, details=told)
    assumed = Price("assumed", "assumed", "", 3 * USD, None, None, 15 * USD)
    assert total_of(usage, assumed) == 18 * USD
    assert total_of(usage._replace(details=None), assumed) == 18 * USD
    assert cost_of(usage, replace(assumed, source="table")) == Unpriced(UnpricedReason.NO_SERVICE_RATE)


def test_an_answer_of_another_tier_of_service_costs_what_that_tier_does() -> None:
    usage = Usage(1_000_000, 1_000_000, details=UsageDetails(service="flex"))
    flex = replace(SONNET, services=(("flex", Tariff(Rates(USD, None, None, 5 * USD))),))
    assert total_of(usage, flex) == 6 * USD
    assert cost_of(usage, SONNET) == Unpriced(UnpricedReason.NO_SERVICE_RATE)
    assert total_of(usage._replace(details=None), flex) == 18 * USD


def test_what_the_provider_bills_wins_over_rates_with_the_margin_and_without_the_discount() -> None:
    usage = Usage(1_000_000, 1, details=UsageDetails(service="odd", searches=4, billed_nanousd=1_000_001))
    for price in (SONNET, None, replace(SONNET, input_nanousd=None)):
        assert cost_of(usage, price) == Cost(0, 0, 0, 0, billed_price(0), 1_000_001)
    adjusted = replace(SONNET, adjusted=Adjustment(500_000, 50_000), upstream=SONNET)
    cost = cost_of(usage, adjusted)
    assert isinstance(cost, Cost)
    assert (cost.request_nanousd, cost.upstream_nanousd) == (1_050_001, 1_000_001)
    assert (cost.price.source, cost.price.id) == ("provider", "provider+5%")


def test_a_provider_that_bills_nothing_costs_nothing() -> None:
    assert total_of(Usage(9, 9, details=UsageDetails(billed_nanousd=0)), SONNET) == 0


def test_a_margin_leaves_what_the_provider_bills_beside_it() -> None:
    charged = replace(SONNET, input_nanousd=6 * USD, adjusted=Adjustment(0, 1_000_000), upstream=SONNET)
    cost = cost_of(Usage(1_000_000), charged)
    assert isinstance(cost, Cost)
    assert (cost.total_nanousd, cost.upstream_nanousd) == (6 * USD, 3 * USD)


def test_a_price_gives_way_at_its_moment_and_not_before() -> None:
    dearer = replace(SONNET, id="later", input_nanousd=9 * USD)
    price = replace(SONNET, later=(1_000.0, replace(dearer, later=(2_000.0, FREE))))
    totals = [cost_of(Usage(1_000_000), price, now_s) for now_s in (0.0, 999.9, 1_000.0, 1_999.9, 2_000.0)]
    assert [cost.total_nanousd for cost in totals if isinstance(cost, Cost)] == [3 * USD, 3 * USD, 9 * USD, 9 * USD, 0]
    assert [cost.price.id for cost in totals if isinstance(cost, Cost)][2] == "later"


@pytest.mark.parametrize(
    "dear",
    [
        {"rare": RareRates(request_nanousd=1)},
        {"rare": RareRates(search_nanousd=1)},
        {"tiers": (Tier(5, Rates(1, 0, 0, 0)),)},
        {"tiers": (Tier(5, Rates()),)},
        {"services": (("priority", Tariff(Rates(0, 0, 0, 1))),)},
        {"services": (("priority", Tariff(Rates(0, 0, 0, 0), (Tier(5, Rates(0, 0, 0, 2)),))),)},
        {"later": (5.0, SONNET)},
        {"upstream": SONNET},
    ],
)
def test_a_price_is_free_only_with_all_of_its_rates(dear: dict[str, object]) -> None:
    assert is_free(replace(FREE, rare=RareRates(request_nanousd=0, search_nanousd=0)))
    assert not is_free(replace(FREE, **dear))  # type: ignore[arg-type]


def test_a_price_is_known_only_with_all_of_its_tiers_and_times() -> None:
    assert not is_known(replace(SONNET, tiers=(Tier(5, Rates(1)),)), generates=True)
    assert is_known(replace(SONNET, tiers=(Tier(5, Rates(1)),)), generates=False)
    assert not is_known(replace(SONNET, later=(5.0, replace(SONNET, input_nanousd=None))), generates=True)


def test_a_cost_of_counted_tokens_is_an_estimate() -> None:
    cost = Cost(1, 0, 0, 0, SONNET)
    assert [source_of(cost, Usage(1, estimated=flag)) for flag in (False, True)] == ["test", "estimated"]
