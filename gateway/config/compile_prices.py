"""What the policy file says of prices, as policies reckon with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.pricing import adjustment
from gateway.prices.making import Named, ServiceWords, price_of, terms_of
from gateway.prices.table import PriceTables
from policies.adjusting import adjusted
from policies.pricing import billed_price
from policies.tariffs import PriceSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from gateway.config.model import Config
    from gateway.config.pricing import AdjustedShape, PriceSettings, StandInSettings, TierSettings
    from gateway.prices.making import Terms
    from policies.tariffs import Price


def tables_of(config: Config, now_s: float | None = None) -> PriceTables:
    """The tables in which prices are looked up. Raises `StartError` where the operator's own cannot be used."""
    try:
        return PriceTables.load(config.prices.file, now_s)
    except (OSError, ValueError) as error:
        from gateway.errors import StartError  # noqa: PLC0415 - reading a policy needs none of what it brings along

        raise StartError(f"prices.file: {error}") from error


def stated_price(name: str, settings: PriceSettings, now_s: float) -> Price:
    """The operator's own price. Its id holds the rates, so that a ledger row outlives a change of the file."""
    return price_of(list(_terms(Named(f"override/{name}", PriceSource.OVERRIDE.value), settings)), now_s)


def assumed_price(settings: StandInSettings) -> Price:
    """What stands in where nobody knows a price."""
    return price_of([terms_of(Named("assumed", PriceSource.ASSUMED.value), settings.rates)], 0.0)


def charged(price: Price, provider: AdjustedShape, own: AdjustedShape) -> Price:
    """A price, stated or listed, with the provider's discount and margin or the deployment's."""
    return adjusted(price, adjustment(provider, own))


def as_billed(provider: AdjustedShape, own: AdjustedShape) -> Price | None:
    """What stands in for a price that nobody knows where the provider names its bill; None without a margin on it."""
    margin_ppm = adjustment(provider, own).margin_ppm
    return billed_price(margin_ppm) if margin_ppm else None


def unpriced_of(config: Config) -> Literal["auto", "allow", "deny"]:
    """What becomes of calls whose price is not known. Where a stand-in is named only such are left whose price lacks a
    rate, and nothing stands in for half a price.
    """
    return "auto" if config.prices.unknown == "price_as" else config.prices.unknown


def _terms(named: Named, settings: PriceSettings) -> Iterator[Terms]:
    begins_s = None
    at: PriceSettings | None = settings
    while at is not None:
        services = {
            name: ServiceWords(service.rates, None if service.above is None else _tiers(service.above))
            for name, service in at.services.items()
        }
        yield terms_of(named, at.rates, _tiers(at.above), services, begins_s)
        begins_s, at = None if at.begins is None else at.begins.timestamp(), at.then


def _tiers(above: tuple[TierSettings, ...]) -> list[tuple[int, dict[str, int]]]:
    return [(tier.tokens, tier.rates) for tier in above]
