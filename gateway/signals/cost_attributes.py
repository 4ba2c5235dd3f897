"""What an attempt cost, said so that the sum can be worked out anew by hand: tokens of each kind, the rate that was
applied to them, and where the rate comes from. What is unpriced has a reason and no amount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.conventions import MODALITIES, Attr, CostNames
from gateway.signals.span_values import usd
from policies.pricing import components_of, source_of
from policies.rates import NO_RARE, applied
from policies.tariffs import PriceSource

if TYPE_CHECKING:
    from gateway.signals.conventions import Wording
    from gateway.signals.span_values import Value
    from policies.tariffs import Price, Rates
    from policies.usage import Cost, Usage, UsageDetails

_MILLION: Final = 1_000_000
_OPENTELEMETRYS: Final = (
    Attr.INPUT_TOKENS,
    Attr.OUTPUT_TOKENS,
    Attr.CACHE_READ_TOKENS,
    Attr.CACHE_WRITE_TOKENS,
    Attr.REASONING_TOKENS,
)
_PRICES: Final = (
    Attr.PRICE_INPUT,
    Attr.PRICE_INPUT_AUDIO,
    Attr.PRICE_INPUT_IMAGE,
    Attr.PRICE_CACHED_INPUT,
    Attr.PRICE_CACHED_AUDIO,
    Attr.PRICE_CACHE_WRITE,
    Attr.PRICE_CACHE_WRITE_1H,
    Attr.PRICE_OUTPUT,
    Attr.PRICE_REASONING,
    Attr.PRICE_OUTPUT_AUDIO,
    Attr.PRICE_OUTPUT_IMAGE,
)
"""In the order of the buckets that a cost is made of."""
# What no backend adds up, where the policy wants it so.
_OURS: Final = (
    Attr.TOTAL_INPUT_TOKENS,
    Attr.TOTAL_OUTPUT_TOKENS,
    Attr.OUR_CACHED_TOKENS,
    Attr.OUR_CACHE_WRITE_TOKENS,
    Attr.OUR_REASONING_TOKENS,
)


def add_usage(attributes: dict[str, Value], usage: Usage, wording: Wording, *, shows_usage: bool) -> None:
    """Totals are inclusive, as OpenTelemetry counts. What few answers have stands under names of ours in any case."""
    attributes[Attr.ESTIMATED] = usage.estimated
    total_input, total_output, cached, written, reasoning = _OPENTELEMETRYS if shows_usage else _OURS
    attributes[total_input] = usage.input_tokens
    attributes[total_output] = usage.output_tokens
    if usage.cached_input_tokens:
        attributes[cached] = usage.cached_input_tokens
    if usage.cache_write_tokens:
        attributes[wording.of(written)] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        attributes[reasoning] = usage.reasoning_tokens
    if usage.details is not None:
        _add_details(attributes, usage.details, with_modalities=shows_usage and wording.has_modalities)


def _add_details(attributes: dict[str, Value], details: UsageDetails, *, with_modalities: bool) -> None:
    counts = {
        Attr.CACHE_WRITE_1H_TOKENS: details.cache_write_1h_tokens,
        Attr.INPUT_AUDIO_TOKENS: details.input_audio_tokens,
        Attr.CACHED_AUDIO_TOKENS: details.cached_audio_tokens,
        Attr.INPUT_IMAGE_TOKENS: details.input_image_tokens,
        Attr.OUTPUT_AUDIO_TOKENS: details.output_audio_tokens,
        Attr.OUTPUT_IMAGE_TOKENS: details.output_image_tokens,
        Attr.SEARCHES: details.searches,
    }
    known = {name: count for name, count in counts.items() if count}
    attributes.update(known)
    if with_modalities:
        attributes.update({MODALITIES[name]: count for name, count in known.items() if name in MODALITIES})


def add_cost(attributes: dict[str, Value], cost: Cost, usage: Usage, names: CostNames, *, shows_usage: bool) -> None:
    """The components, their sum, and the price."""
    total, source = usd(cost.total_nanousd), source_of(cost, usage)
    attributes |= {
        Attr.COST_TOTAL: total,
        Attr.COST_INPUT: usd(cost.input_nanousd),
        Attr.COST_CACHED_INPUT: usd(cost.cached_input_nanousd),
        Attr.COST_CACHE_WRITE: usd(cost.cache_write_nanousd),
        Attr.COST_OUTPUT: usd(cost.output_nanousd),
        Attr.COST_CURRENCY: "USD",
        Attr.COST_SOURCE: source,
    }
    if cost.request_nanousd:
        attributes[Attr.COST_REQUEST] = usd(cost.request_nanousd)
    if cost.tool_nanousd:
        attributes[Attr.COST_TOOL] = usd(cost.tool_nanousd)
    if cost.upstream_nanousd is not None:
        attributes[Attr.COST_UPSTREAM] = usd(cost.upstream_nanousd)
    if tokens := usage.input_tokens + usage.output_tokens:
        attributes[Attr.COST_PER_MTOK] = cost.total_nanousd / 1000 / tokens
    if shows_usage and names is CostNames.DEFACTO:
        attributes[Attr.USAGE_COST] = total
    elif shows_usage and names is CostNames.PR443:
        attributes[Attr.USAGE_COST_AMOUNT] = total
        attributes[Attr.USAGE_COST_CURRENCY] = "USD"
        # The proposal knows two: in the answer, or worked out by whoever recorded it.
        attributes[Attr.USAGE_COST_SOURCE] = "provider" if source == PriceSource.PROVIDER else "local"
    _add_price(attributes, cost.price, usage)


def _add_price(attributes: dict[str, Value], price: Price, usage: Usage) -> None:
    """Rates as charged: what was taken off and put on is in them already, and said beside them."""
    attributes[Attr.PRICE_ID] = price.id
    if version := price.version or price.as_of:
        attributes[Attr.PRICE_VERSION] = version
    if price.as_of:
        attributes[Attr.PRICE_AS_OF] = price.as_of
    if price.adjusted is not None:
        attributes[Attr.PRICE_DISCOUNT] = price.adjusted.discount_ppm / _MILLION
        attributes[Attr.PRICE_MARGIN] = price.adjusted.margin_ppm / _MILLION
    details = usage.details
    if details is not None and details.service:
        attributes[Attr.PRICE_SERVICE] = details.service
    found = applied(price, usage)
    if found is None or price.source == PriceSource.PROVIDER:  # it names the amount, and no rate came into it
        return
    if found.above_input_tokens is not None:
        attributes[Attr.PRICE_TIER] = found.above_input_tokens
    attributes.update({name: usd(rate) for name, rate in _rates(found.rates, usage) if rate is not None})


def _rates(rates: Rates, usage: Usage) -> tuple[tuple[str, int | None], ...]:
    """Every rate that was applied, those that stood in for others included; and the three that everybody looks for."""
    rare, details = rates.rare or NO_RARE, usage.details
    buckets = (bucket for buckets in components_of(usage, rates) for bucket in buckets)
    charged = [(name, rate) for name, (tokens, rate, _) in zip(_PRICES, buckets, strict=True) if tokens]
    return (
        (Attr.PRICE_INPUT, rates.input_nanousd),
        (Attr.PRICE_CACHED_INPUT, rates.cached_input_nanousd),
        (Attr.PRICE_OUTPUT, rates.output_nanousd),
        *charged,
        (Attr.PRICE_REQUEST, rare.request_nanousd),
        (Attr.PRICE_SEARCH, rare.search_nanousd if details is not None and details.searches else None),
    )
