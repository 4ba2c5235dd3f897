"""A price as it is charged: a discount taken off what the provider publishes, a margin put on.

Each rate is changed once and rounded half to even to whole nano-USD, so that tokens times the rate shown is the amount
charged. With a margin the price keeps what the provider itself is expected to bill.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from policies.rounding import half_even
from policies.tariffs import Adjustment, RareRates, Rates, Tariff, Tier

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.tariffs import Price

WHOLE_PPM: Final = 1_000_000


def adjusted(price: Price, adjustment: Adjustment) -> Price:
    """`price` and what comes after it with the adjustment; the id says which, so it never means two sets of rates."""
    if not any(adjustment):
        return price
    here = replace(price, later=None)
    net = _changed(here, Adjustment(adjustment.discount_ppm, 0))
    charged = net if not adjustment.margin_ppm else replace(_changed(here, adjustment), upstream=net)
    if price.later is None:
        return charged
    begins_s, then = price.later
    return replace(charged, later=(begins_s, adjusted(then, adjustment)))


def mark(adjustment: Adjustment) -> str:
    """An adjustment as ids end on it: `-10%+5%`; nothing for none."""
    discount, margin = adjustment
    return (f"-{_percent(discount)}" if discount else "") + (f"+{_percent(margin)}" if margin else "")


def _percent(ppm: int) -> str:
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"


def _changed(price: Price, adjustment: Adjustment) -> Price:
    if not any(adjustment):
        return price
    numerator = (WHOLE_PPM - adjustment.discount_ppm) * (WHOLE_PPM + adjustment.margin_ppm)

    def change(rate: int | None) -> int | None:
        return None if rate is None else half_even(rate * numerator, WHOLE_PPM**2)

    rates = _rates(
        Rates(
            price.input_nanousd,
            price.cached_input_nanousd,
            price.cache_write_nanousd,
            price.output_nanousd,
            price.rare,
        ),
        change,
    )
    return replace(
        price,
        id=price.id + mark(adjustment),
        **rates._asdict(),
        tiers=_tiers(price.tiers, change),
        services=tuple((name, _tariff(tariff, change)) for name, tariff in price.services),
        adjusted=adjustment,
    )


def _rates(rates: Rates, change: Callable[[int | None], int | None]) -> Rates:
    rare = None if rates.rare is None else RareRates(*map(change, rates.rare))
    input_nanousd, cached_input_nanousd, cache_write_nanousd, output_nanousd = map(change, rates[:4])
    return Rates(input_nanousd, cached_input_nanousd, cache_write_nanousd, output_nanousd, rare)


def _tiers(tiers: tuple[Tier, ...], change: Callable[[int | None], int | None]) -> tuple[Tier, ...]:
    return tuple(Tier(tier.above_input_tokens, _rates(tier.rates, change)) for tier in tiers)


def _tariff(tariff: Tariff, change: Callable[[int | None], int | None]) -> Tariff:
    return Tariff(_rates(tariff.rates, change), _tiers(tariff.tiers, change))
