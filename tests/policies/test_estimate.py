from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.estimate import (
    CALL_MAX_S,
    COMPLETION_TOKENS_DEFAULT,
    OUTPUT_TOKENS_DEFAULT,
    OUTPUT_TOKENS_FLOOR,
    Amounts,
    CostBound,
    Estimate,
    OutputBound,
    TooLargeError,
    amounts_of,
    context_window,
    cost_bound,
    output_bound,
    output_default,
)
from policies.limits import EXACT_MAX
from policies.pricing import cost_of
from policies.tariffs import Price, RareRates, Rates, Tariff, Tier
from policies.usage import Cost, Usage, UsageDetails
from policies.vocabulary import Deployment, Endpoint, Resource

RATES = st.none() | st.integers(0, 10**12)
TOKENS = st.integers(0, 10**7)


def price(
    input_nanousd: int | None = None,
    output_nanousd: int | None = None,
    cached_nanousd: int | None = None,
    write_nanousd: int | None = None,
) -> Price:
    return Price("p", "test", "2026-11-01", input_nanousd, cached_nanousd, write_nanousd, output_nanousd)


def deployment(name: str, rates: Price | None = None, context_tokens: int | None = None) -> Deployment:
    return Deployment(name, "p", "openai", "m", price=rates, context_tokens=context_tokens)


@pytest.mark.parametrize(
    ("asked", "generations", "context_tokens", "input_tokens", "bound"),
    [
        (None, 1, None, 0, OutputBound(1000, 1000)),
        (None, 3, None, 0, OutputBound(3000, 1000)),
        (50, 1, None, 0, OutputBound(50, None)),
        (50, 4, None, 0, OutputBound(200, None)),
        (9000, 2, 8192, 0, OutputBound(16_384, None)),
        (None, 0, None, 0, OutputBound(0, None)),
        (50, 0, None, 0, OutputBound(0, None)),
        (None, 1, 8192, 4000, OutputBound(1000, 1000)),
        (None, 1, 2048, 3000, OutputBound(548, 548)),
        (None, 1, 2048, 1_000_000, OutputBound(OUTPUT_TOKENS_FLOOR, OUTPUT_TOKENS_FLOOR)),
        (None, 1, 100, 1_000_000, OutputBound(100, 100)),
    ],
)
def test_output(
    asked: int | None, generations: int, context_tokens: int | None, input_tokens: int, bound: OutputBound
) -> None:
    assert output_bound(asked, generations, 1000, context_tokens, input_tokens) == bound


@given(
    st.none() | st.integers(1, 2**31),
    st.integers(0, 128),
    st.integers(1, 2**31),
    st.none() | st.integers(1, 2**31),
    TOKENS,
)
def test_what_an_upstream_is_told_is_what_is_reserved(
    asked: int | None, generations: int, default: int, context_tokens: int | None, input_tokens: int
) -> None:
    bound = output_bound(asked, generations, default, context_tokens, input_tokens)
    assert (bound.added is None) == (asked is not None or not generations)
    told = asked if asked is not None else bound.added
    if generations:
        assert told is not None
        generated = told if context_tokens is None else min(told, context_tokens)
        assert bound.tokens == generated * generations
    if bound.added is not None:
        assert 1 <= bound.added <= default


def test_the_first_default_that_is_set_counts_and_each_endpoint_has_its_own() -> None:
    assert output_default(Endpoint.CHAT, (None, 7, 8)) == 7
    assert output_default(Endpoint.CHAT, (None, None)) == OUTPUT_TOKENS_DEFAULT
    assert output_default(Endpoint.COMPLETIONS, ()) == COMPLETION_TOKENS_DEFAULT


def test_a_chain_is_as_large_as_its_largest_window_and_unknown_where_one_is() -> None:
    small, large, unknown = (deployment("d", context_tokens=tokens) for tokens in (8000, 128_000, None))
    assert context_window([small, large]) == 128_000
    assert context_window([small, unknown]) is None
    assert context_window([]) is None


def test_a_free_model_with_a_paid_fallback_costs_what_the_fallback_costs() -> None:
    free, paid = price(0, 0), price(2_500_000_000, 10_000_000_000)
    bound = cost_bound(Estimate(1000, 100), [deployment("free", free), deployment("paid", paid), deployment("none")])
    assert bound.unpriced == ("none",)
    assert 3_500_000 <= bound.nanousd <= 3_500_002
    assert cost_bound(Estimate(1000, 100), [deployment("free", free)]) == CostBound(0, ())


def test_input_is_taken_at_the_highest_of_its_rates() -> None:
    rates = price(1_000_000, 0, 100_000, 1_250_000)
    assert cost_bound(Estimate(1_000_000, 0), [deployment("d", rates)]).nanousd == 1_250_002


@pytest.mark.parametrize(
    ("rates", "unpriced"),
    [(price(1, None), ("d",)), (price(None, 1), ("d",)), (price(None, 1, 5, 6), ("d",)), (price(1, 1), ())],
)
def test_half_a_price_is_none(rates: Price, unpriced: tuple[str, ...]) -> None:
    assert cost_bound(Estimate(1, 1), [deployment("d", rates)]).unpriced == unpriced


def test_embeddings_need_no_price_of_output() -> None:
    assert cost_bound(Estimate(1_000_000, 0), [deployment("d", price(20))]) == CostBound(22, ())


@given(TOKENS, TOKENS, TOKENS, TOKENS, st.builds(price, RATES, RATES, RATES, RATES))
def test_no_usage_within_an_estimate_costs_more_than_its_bound(
    input_tokens: int, output_tokens: int, cached_tokens: int, written_tokens: int, rates: Price
) -> None:
    bound = cost_bound(Estimate(input_tokens, output_tokens), [deployment("d", rates)])
    cost = cost_of(Usage(input_tokens, output_tokens, cached_tokens, written_tokens), rates)
    if isinstance(cost, Cost) and not bound.unpriced:
        assert cost.total_nanousd <= bound.nanousd


SPREAD = st.sampled_from((0, 500_001, 10**6, 10**9, 10**12))  # so that one rate decides, or its rounding does
FEW = st.sampled_from((0, 1, 3, 400, 1000))
RARE = st.builds(RareRates, *[SPREAD] * len(RareRates._fields))
ANY_RATES = st.builds(Rates, SPREAD, SPREAD, SPREAD, SPREAD, st.none() | RARE)
TIERS = st.lists(st.builds(Tier, FEW, ANY_RATES), max_size=2, unique_by=lambda tier: tier.above_input_tokens).map(
    lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_input_tokens))
)
TARIFFS = st.builds(Tariff, ANY_RATES, TIERS)
SERVICES = st.fixed_dictionaries({}, optional={"flex": TARIFFS, "priority": TARIFFS}).map(
    lambda known: (*known.items(),)
)
ASKED_FOR = st.sampled_from(("", "flex", "priority"))
NOW_S = 1_800_000_000.0
LASTS_S = 600.0


def full_price(standard: Tariff, services: tuple[tuple[str, Tariff], ...], later: Price | None, in_s: float) -> Price:
    rates, tiers = standard
    change = None if later is None else (NOW_S + in_s, later)
    return Price("p", "table", "", *rates, tiers=tiers, services=services, later=change)


IN_S = st.sampled_from((-1.0, 0.0, LASTS_S, CALL_MAX_S, CALL_MAX_S + 1))
ONE = st.builds(full_price, TARIFFS, SERVICES, st.none(), IN_S)
CHANGING = st.builds(full_price, TARIFFS, SERVICES, st.none() | ONE, IN_S)
PARTS = tuple(name for name in UsageDetails._fields if name.endswith("_tokens"))
DETAILS = st.builds(
    lambda parts, searches: UsageDetails(**parts, searches=searches),
    st.fixed_dictionaries(dict.fromkeys(PARTS, FEW)),
    st.integers(0, 2),
)


def whole(cached: int, written: int, reasoning: int, details: UsageDetails) -> Usage:
    """Usage that holds all its parts and a little besides."""
    cached += details.cached_audio_tokens
    written += details.cache_write_1h_tokens
    read = cached + written + details.input_audio_tokens + details.input_image_tokens + 2
    output = reasoning + details.output_audio_tokens + details.output_image_tokens
    return Usage(read, output, cached, written, reasoning, details=details)


USAGES = st.builds(whole, FEW, FEW, FEW, DETAILS)


@settings(max_examples=400)
@given(USAGES, CHANGING, ASKED_FOR, st.booleans())
def test_nothing_that_a_call_may_be_billed_by_costs_more_than_was_reserved(
    usage: Usage,
    rates: Price,
    asked_for: str,
    is_standard: bool,  # noqa: FBT001 - drawn
) -> None:
    """Any tier, any rate, any change of price while it runs; the service is the standard one or what was asked for."""
    details = usage.details or UsageDetails()
    billed = usage._replace(details=details._replace(service="" if is_standard else asked_for))
    estimate = Estimate(usage.input_tokens, usage.output_tokens, asked_for, details.searches)
    bound = cost_bound(estimate, [deployment("d", rates)], NOW_S)
    cost = cost_of(billed, rates, NOW_S + LASTS_S)
    if isinstance(cost, Cost):
        assert cost.total_nanousd <= bound.nanousd


def test_every_part_may_be_rounded_up() -> None:
    half = RareRates(*[500_001] * len(RareRates._fields))._replace(request_nanousd=0, search_nanousd=0)
    rates = replace(price(500_001, 500_001, 500_001, 500_001), rare=half)
    cost = cost_of(whole(1, 1, 1, UsageDetails(1, 2, 1, 1, 1, 1)), rates)
    assert isinstance(cost, Cost)
    assert 2 * cost.total_nanousd > 11, "more than the tokens times their rates"
    assert cost.total_nanousd <= cost_bound(Estimate(9, 3), [deployment("d", rates)]).nanousd


LONG = Price(
    *("p", "table", "", 1_000_000, None, None, 2_000_000),
    tiers=(
        Tier(100, Rates(2_000_000, output_nanousd=3_000_000)),
        Tier(200, Rates(9_000_000, output_nanousd=9_000_000)),
    ),
    services=(("priority", Tariff(Rates(5_000_000, output_nanousd=5_000_000), (Tier(100, Rates(7_000_000)),))),),
)
RARELY = Price(
    *("p", "table", "", 1_000_000, None, 1_250_000, 2_000_000),
    rare=RareRates(2_000_000, 3_000_000, 4_000_000, request_nanousd=50, search_nanousd=70),
)


@pytest.mark.parametrize(
    ("estimate", "rates", "nanousd"),
    [
        (Estimate(100, 10), LONG, 100 + 20),
        (Estimate(101, 10), LONG, 202 + 30),
        (Estimate(201, 10), LONG, 201 * 9 + 90),
        (Estimate(100, 10, "priority"), LONG, 500 + 50),
        (Estimate(101, 10, "priority"), LONG, 707),
        (Estimate(150, 1000, "priority"), LONG, 750 + 5000),  # at the rates of shorter prompts, which it may have
        (Estimate(100, 10, "flex"), LONG, 100 + 20),
        (Estimate(100, 10, searches=2), RARELY, 400 + 30 + 50 + 140),
        (Estimate(0, 0), RARELY, 50),
    ],
)
def test_the_dearest_that_a_call_can_reach_is_reserved(estimate: Estimate, rates: Price, nanousd: int) -> None:
    rounding = 6 if estimate.input_tokens else 0
    assert cost_bound(estimate, [deployment("d", rates)]).nanousd == nanousd + rounding


@pytest.mark.parametrize(
    ("in_s", "now_s", "nanousd"),
    [
        (CALL_MAX_S + 1, 0.0, 100),
        (CALL_MAX_S, 0.0, 900),
        (10.0, 0.0, 900),
        (10.0, 10.0, 900),
        (10.0, 11.0, 900),
    ],
)
def test_a_price_that_rises_before_a_call_must_be_over_is_reserved(in_s: float, now_s: float, nanousd: int) -> None:
    dearer = price(9_000_000, 0)
    rates = replace(price(1_000_000, 0), later=(in_s, dearer))
    assert 0 <= cost_bound(Estimate(100, 0), [deployment("d", rates)], now_s).nanousd - nanousd <= 6


def test_a_price_that_has_fallen_is_reserved_no_more() -> None:
    rates = replace(price(9_000_000, 0), later=(10.0, price(1_000_000, 0)))
    assert cost_bound(Estimate(100, 0), [deployment("d", rates)], 9.0).nanousd == 906
    assert cost_bound(Estimate(100, 0), [deployment("d", rates)], 10.0).nanousd == 102


def test_what_costs_nothing_reserves_nothing() -> None:
    rates = replace(price(0, 0), rare=RareRates(search_nanousd=0), tiers=(Tier(5, Rates(0, output_nanousd=0)),))
    assert cost_bound(Estimate(100, 100, searches=5), [deployment("d", rates)]).nanousd == 0


def test_every_resource_has_its_amount() -> None:
    amounts = amounts_of(Estimate(30, 12), 99)
    assert {resource: amounts.of(resource) for resource in Resource} == {
        Resource.REQUESTS: 1,
        Resource.CONCURRENT: 1,
        Resource.TOKENS: 42,
        Resource.INPUT_TOKENS: 30,
        Resource.OUTPUT_TOKENS: 12,
        Resource.COST: 99,
    }
    assert set(Amounts._fields) == {resource.value for resource in Resource}


@pytest.mark.parametrize(
    ("estimate", "cost_nanousd"),
    [(Estimate(1, EXACT_MAX - 1), 0), (Estimate(EXACT_MAX, 0), 0), (Estimate(1, 1), EXACT_MAX)],
)
def test_what_cannot_be_counted_exactly_is_refused(estimate: Estimate, cost_nanousd: int) -> None:
    with pytest.raises(TooLargeError):
        amounts_of(estimate, cost_nanousd)


def test_the_largest_amounts_are_taken() -> None:
    assert amounts_of(Estimate(0, EXACT_MAX - 1), EXACT_MAX - 1).tokens == EXACT_MAX - 1
