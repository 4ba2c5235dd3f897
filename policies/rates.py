"""Which of a price's rates apply to a request: those of the moment, of the service that was billed, of its length.

A service without a tariff has none: what it costs would be a guess. Service tiers are named as answers name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.tariffs import PriceSource, RareRates, Rates, Tariff

if TYPE_CHECKING:
    from policies.tariffs import Price
    from policies.usage import Usage

NO_RARE: Final = RareRates()
_FOR_ALL: Final = frozenset((PriceSource.ASSUMED.value, PriceSource.LOCAL_STANDARD.value))
"""Prices that stand for whatever a deployment does: nobody published a rate, so none can be missing."""


class Applied(NamedTuple):
    """The rates of one request, and the length of prompt above which they hold, where that is a tier's."""

    rates: Rates
    above_input_tokens: int | None = None


def price_at(price: Price, now_s: float) -> Price:
    """The price in force at a moment, in Unix seconds."""
    while price.later is not None and now_s >= price.later[0]:
        price = price.later[1]
    return price


def base_rates(price: Price) -> Rates:
    """Those of standard service and short prompts."""
    return Rates(
        price.input_nanousd, price.cached_input_nanousd, price.cache_write_nanousd, price.output_nanousd, price.rare
    )


def applied(price: Price, usage: Usage) -> Applied | None:
    """The rates that `usage` is charged by; None where its service has no tariff.

    The whole of a request is in one tier, by its whole input: what is cached counts, what lies below does not stay
    cheaper.
    """
    service = usage.details.service if usage.details is not None else ""
    if not service or price.source in _FOR_ALL:
        tariff = Tariff(base_rates(price), price.tiers)
    else:
        found = next((one for name, one in price.services if name == service), None)
        if found is None:
            return None
        tariff = found
    rates, above_tokens = tariff.rates, None
    for tier in tariff.tiers:
        if usage.input_tokens > tier.above_input_tokens:
            rates, above_tokens = tier.rates, tier.above_input_tokens
    return Applied(_for_all(rates) if price.source in _FOR_ALL else rates, above_tokens)


def all_rates(price: Price) -> tuple[Rates, ...]:
    """Every set of rates of a price: its tiers', its services', of all times, and before any margin."""
    tariffs = (Tariff(base_rates(price), price.tiers), *(tariff for _, tariff in price.services))
    found = tuple(rates for tariff in tariffs for rates in (tariff.rates, *(tier.rates for tier in tariff.tiers)))
    for other in (price.upstream, None if price.later is None else price.later[1]):
        if other is not None:
            found += all_rates(other)
    return found


def _for_all(rates: Rates) -> Rates:
    """What has no rate of its own costs what text does; writing to a cache what reading text costs."""
    rare = rates.rare or NO_RARE
    read, written = rates.input_nanousd, rates.output_nanousd
    write = first_known(rates.cache_write_nanousd, read)
    return Rates(
        read,
        first_known(rates.cached_input_nanousd, read),
        write,
        written,
        rare._replace(
            cache_write_1h_nanousd=first_known(rare.cache_write_1h_nanousd, write),
            input_audio_nanousd=first_known(rare.input_audio_nanousd, read),
            output_audio_nanousd=first_known(rare.output_audio_nanousd, written),
            output_image_nanousd=first_known(rare.output_image_nanousd, written),
            search_nanousd=first_known(rare.search_nanousd, 0),
        ),
    )


def first_known(rate: int | None, other: int | None) -> int | None:
    """A rate, or the one that stands in for it. Zero is a rate."""
    return other if rate is None else rate
