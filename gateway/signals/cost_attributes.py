"""What an attempt cost, said so that the sum can be worked out anew by hand: tokens of each kind, the rate that was
applied to them, and where the rate comes from. What is unpriced has a reason and no amount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.conventions import MODALITIES, Attr, CostNames
from gateway.signals.span_values import usd
from policies.pricing import source_of
from policies.tariffs import PriceSource, Rates

if TYPE_CHECKING:
    from gateway.signals.conventions import Wording
    from gateway.signals.span_values import Value
    from policies.tariffs import RareRates
    from policies.vocabulary import Cost, Price, Usage, UsageDetails

_MILLION: Final = 1_000_000


def add_usage(attributes: dict[str, Value], usage: Usage, wording: Wording, *, shows_usage: bool) -> None:
    """Totals are inclusive, as OpenTelemetry counts. What few answers have stands under names of ours in any case."""
    attributes[Attr.ESTIMATED] = usage.estimated
    if shows_usage:
        attributes[Attr.INPUT_TOKENS] = usage.input_tokens
        attributes[Attr.OUTPUT_TOKENS] = usage.output_tokens
        if usage.cached_input_tokens:
            attributes[Attr.CACHE_READ_TOKENS] = usage.cached_input_tokens
        if usage.cache_write_tokens:
            attributes[wording.of(Attr.CACHE_WRITE_TOKENS)] = usage.cache_write_tokens
        if usage.reasoning_tokens:
            attributes[Attr.REASONING_TOKENS] = usage.reasoning_tokens
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
    attributes[Attr.PRICE_VERSION] = price.version or price.as_of
    if price.as_of:
        attributes[Attr.PRICE_AS_OF] = price.as_of
    if price.adjusted is not None:
        attributes[Attr.PRICE_DISCOUNT] = price.adjusted.discount_ppm / _MILLION
        attributes[Attr.PRICE_MARGIN] = price.adjusted.margin_ppm / _MILLION
    details = usage.details
    if details is not None and details.service:
        attributes[Attr.PRICE_SERVICE] = details.service
    rates, above_tokens = applied(price, usage)
    if above_tokens is not None:
        attributes[Attr.PRICE_TIER] = above_tokens
    shown = (
        (Attr.PRICE_INPUT, rates.input_nanousd),
        (Attr.PRICE_CACHED_INPUT, rates.cached_input_nanousd),
        (Attr.PRICE_CACHE_WRITE, rates.cache_write_nanousd if usage.cache_write_tokens else None),
        (Attr.PRICE_OUTPUT, rates.output_nanousd),
    )
    attributes.update({name: usd(rate) for name, rate in shown if rate is not None})
    if rates.rare is not None:
        _add_rare(attributes, rates.rare)


def _add_rare(attributes: dict[str, Value], rare: RareRates) -> None:
    shown = (
        (Attr.PRICE_CACHE_WRITE_1H, rare.cache_write_1h_nanousd),
        (Attr.PRICE_REASONING, rare.reasoning_nanousd),
        (Attr.PRICE_INPUT_AUDIO, rare.input_audio_nanousd),
        (Attr.PRICE_CACHED_AUDIO, rare.cached_audio_nanousd),
        (Attr.PRICE_INPUT_IMAGE, rare.input_image_nanousd),
        (Attr.PRICE_OUTPUT_AUDIO, rare.output_audio_nanousd),
        (Attr.PRICE_OUTPUT_IMAGE, rare.output_image_nanousd),
        (Attr.PRICE_REQUEST, rare.request_nanousd),
        (Attr.PRICE_SEARCH, rare.search_nanousd),
    )
    attributes.update({name: usd(rate) for name, rate in shown if rate is not None})


def applied(price: Price, usage: Usage) -> tuple[Rates, int | None]:
    """The rates that this usage was charged by, and from how long a prompt on they hold, where they are a tier's."""
    rates = Rates(
        price.input_nanousd,
        price.cached_input_nanousd,
        price.cache_write_nanousd,
        price.output_nanousd,
        price.rare,
    )
    tiers = price.tiers
    if usage.details is not None and usage.details.service:
        tariff = dict(price.services).get(usage.details.service)
        if tariff is not None:
            rates, tiers = tariff.rates, tariff.tiers
    above_tokens = None
    for tier in tiers:
        if usage.input_tokens > tier.above_input_tokens:
            rates, above_tokens = tier.rates, tier.above_input_tokens
    return rates, above_tokens
