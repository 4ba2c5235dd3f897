from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.estimate import (
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
from policies.vocabulary import Cost, Deployment, Endpoint, Price, Resource, Usage

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
