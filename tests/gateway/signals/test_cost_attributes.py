from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signals.conventions import Attr, CostNames, Semconv, Wording
from gateway.signals.cost_attributes import add_cost, add_usage
from policies.pricing import Unpriced, cost_of
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier
from policies.usage import Cost, Usage, UsageDetails
from tests.gateway.calls import PRICE

if TYPE_CHECKING:
    from gateway.signals.span_values import Value

USUAL = Wording()


def told(usage: Usage, price: Price = PRICE, wording: Wording = USUAL, *, shows_usage: bool = True) -> dict[str, Value]:
    cost = cost_of(usage, price)
    assert isinstance(cost, Cost)
    attributes: dict[str, Value] = {}
    add_usage(attributes, usage, wording, shows_usage=shows_usage)
    add_cost(attributes, cost, usage, wording.cost, shows_usage=shows_usage)
    return attributes


def test_totals_are_inclusive_and_parts_stand_only_where_there_are_some() -> None:
    attributes: dict[str, Value] = {}
    add_usage(attributes, Usage(100, 10, 40, 20, 5), USUAL, shows_usage=True)
    assert attributes == {
        "pointsman.usage.estimated": False,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    attributes = {}
    add_usage(attributes, Usage(1, 2), USUAL, shows_usage=True)
    assert set(attributes) == {Attr.ESTIMATED, Attr.INPUT_TOKENS, Attr.OUTPUT_TOKENS}


def test_the_latest_names_have_cache_writes_and_modalities() -> None:
    attributes: dict[str, Value] = {}
    details = UsageDetails(input_audio_tokens=30, cached_audio_tokens=4, output_image_tokens=5, searches=2)
    add_usage(attributes, Usage(100, 10, 40, 20, details=details), Wording(Semconv.LATEST), shows_usage=True)
    assert attributes["gen_ai.usage.cache_write.input_tokens"] == 20
    assert "gen_ai.usage.cache_creation.input_tokens" not in attributes
    theirs = {name: value for name, value in attributes.items() if ".audio." in name or ".image." in name}
    assert theirs == {
        "gen_ai.usage.audio.input_tokens": 30,
        "gen_ai.usage.audio.cache_read.input_tokens": 4,
        "gen_ai.usage.image.output_tokens": 5,
    }
    assert (attributes[Attr.INPUT_AUDIO_TOKENS], attributes[Attr.SEARCHES]) == (30, 2)


def test_where_usage_is_not_to_be_counted_twice_it_stands_under_names_that_nobody_adds_up() -> None:
    attributes = told(Usage(100, 10, 40, 20, 5), shows_usage=False)
    assert not any(name.startswith("gen_ai.") for name in attributes)
    tokens = {name: value for name, value in attributes.items() if name.endswith("_tokens")}
    assert tokens == {
        "pointsman.usage.input_tokens": 100,
        "pointsman.usage.output_tokens": 10,
        "pointsman.usage.cached_input_tokens": 40,
        "pointsman.usage.cache_write_tokens": 20,
        "pointsman.usage.reasoning_tokens": 5,
    }
    assert attributes[Attr.COST_TOTAL] == told(Usage(100, 10, 40, 20, 5))[Attr.COST_TOTAL]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (CostNames.NONE, {}),
        (CostNames.DEFACTO, {"gen_ai.usage.cost": 0.00035}),
        (
            CostNames.PR443,
            {
                "gen_ai.usage.cost.amount": 0.00035,
                "gen_ai.usage.cost.currency": "USD",
                "gen_ai.usage.cost.source": "local",
            },
        ),
    ],
)
def test_a_cost_has_one_name_of_backends_at_most(names: CostNames, found: dict[str, object]) -> None:
    attributes = told(Usage(100, 10), wording=Wording(cost=names))
    assert {name: value for name, value in attributes.items() if name.startswith("gen_ai.usage.cost")} == found
    assert attributes["pointsman.cost.total"] == 0.00035


def test_what_the_provider_bills_has_no_rates_of_ours() -> None:
    usage = Usage(100, 10, details=UsageDetails(billed_nanousd=123_456))
    attributes = told(usage, wording=Wording(cost=CostNames.PR443))
    assert (attributes[Attr.COST_TOTAL], attributes[Attr.COST_REQUEST]) == (0.000123456, 0.000123456)
    assert (attributes[Attr.COST_SOURCE], attributes[Attr.USAGE_COST_SOURCE]) == ("provider", "provider")
    assert not any(name.endswith("_per_mtok") for name in attributes)


def test_an_estimate_is_said_to_be_one() -> None:
    attributes = told(Usage(100, 10, estimated=True))
    assert (attributes[Attr.COST_SOURCE], attributes[Attr.ESTIMATED]) == ("estimated", True)


def test_discount_margin_and_what_the_provider_should_bill_are_said() -> None:
    charged = replace(PRICE, id="a", adjusted=Adjustment(100_000, 50_000), upstream=PRICE, version="2")
    attributes = told(Usage(100, 10), charged)
    assert (attributes[Attr.PRICE_DISCOUNT], attributes[Attr.PRICE_MARGIN]) == (0.1, 0.05)
    assert (attributes[Attr.PRICE_VERSION], attributes[Attr.PRICE_AS_OF]) == ("2", "2026-11-01")
    assert attributes[Attr.COST_UPSTREAM] == 0.00035


RATE = st.integers(0, 100_000_000_000)
MAYBE = st.none() | RATE
RARE = st.builds(RareRates, *[MAYBE] * 9)
RATES = st.builds(Rates, RATE, MAYBE, RATE, RATE, st.none() | RARE)
TIERS = st.lists(st.tuples(st.integers(1, 200_000), RATES), max_size=2, unique_by=lambda tier: tier[0]).map(
    lambda tiers: tuple(Tier(*tier) for tier in sorted(tiers, key=lambda tier: tier[0]))
)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    rates, tiers = draw(RATES), draw(TIERS)
    services = draw(st.just(()) | st.tuples(st.tuples(st.just("flex"), st.builds(Tariff, RATES, TIERS))))
    return Price("p", "table", "2026-11-01", *rates[:4], rare=rates.rare, tiers=tiers, services=services)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    parts = [draw(st.integers(0, 50_000)) for _ in range(10)]
    text, audio, image, cached, cached_audio, write, write_1h, out, out_audio, out_image = parts
    details = UsageDetails(
        write_1h,
        audio + cached_audio,
        cached_audio,
        image,
        out_audio,
        out_image,
        draw(st.integers(0, 3)),
        draw(st.sampled_from(["", "flex"])),
    )
    read = text + audio + image + cached + cached_audio + write + write_1h
    written = out + out_audio + out_image
    reasoning = draw(st.integers(0, out))
    return Usage(read, written, cached + cached_audio, write + write_1h, reasoning, details=details)


@given(usages(), prices())
def test_the_sum_can_be_worked_out_anew_from_the_span_alone(usage: Usage, price: Price) -> None:
    """Tokens of each kind times the rates shown, rounded half to even per component, make the components shown."""
    if isinstance(cost_of(usage, price), Unpriced):
        return
    shown = told(usage, price)

    def of(name: str) -> Decimal:
        return Decimal(str(shown.get(name, 0)))

    def tokens_at(*products: tuple[Decimal, str]) -> Decimal:
        assert all(rate in shown for tokens, rate in products if tokens), "every rate that was applied is shown"
        whole = sum((tokens * of(rate) for tokens, rate in products), Decimal(0)) * 1000
        return whole.quantize(Decimal(1), ROUND_HALF_EVEN)

    def nanousd(name: str) -> Decimal:
        return (of(name) * 10**9).quantize(Decimal(1))

    cached_audio, write_1h = of(Attr.CACHED_AUDIO_TOKENS), of(Attr.CACHE_WRITE_1H_TOKENS)
    cached, written = of(Attr.CACHE_READ_TOKENS), of(Attr.CACHE_WRITE_TOKENS)
    audio, image = of(Attr.INPUT_AUDIO_TOKENS) - cached_audio, of(Attr.INPUT_IMAGE_TOKENS)
    out_audio, out_image = of(Attr.OUTPUT_AUDIO_TOKENS), of(Attr.OUTPUT_IMAGE_TOKENS)
    apart = of(Attr.REASONING_TOKENS) if Attr.PRICE_REASONING in shown else Decimal(0)
    components = {
        Attr.COST_INPUT: tokens_at(
            (of(Attr.INPUT_TOKENS) - cached - written - audio - image, Attr.PRICE_INPUT),
            (audio, Attr.PRICE_INPUT_AUDIO),
            (image, Attr.PRICE_INPUT_IMAGE),
        ),
        Attr.COST_CACHED_INPUT: tokens_at(
            (cached - cached_audio, Attr.PRICE_CACHED_INPUT), (cached_audio, Attr.PRICE_CACHED_AUDIO)
        ),
        Attr.COST_CACHE_WRITE: tokens_at(
            (written - write_1h, Attr.PRICE_CACHE_WRITE), (write_1h, Attr.PRICE_CACHE_WRITE_1H)
        ),
        Attr.COST_OUTPUT: tokens_at(
            (of(Attr.OUTPUT_TOKENS) - out_audio - out_image - apart, Attr.PRICE_OUTPUT),
            (apart, Attr.PRICE_REASONING),
            (out_audio, Attr.PRICE_OUTPUT_AUDIO),
            (out_image, Attr.PRICE_OUTPUT_IMAGE),
        ),
        Attr.COST_REQUEST: of(Attr.PRICE_REQUEST) * 10**9,
        Attr.COST_TOOL: of(Attr.SEARCHES) * of(Attr.PRICE_SEARCH) * 10**9,
    }
    assert components == {name: nanousd(name) for name in components}
    assert sum(components.values()) == nanousd(Attr.COST_TOTAL)
    if usage.input_tokens and price.tiers and not price.services:
        above = shown.get(Attr.PRICE_TIER)
        assert above is None or usage.input_tokens > int(str(above))
