"""Prices as the ledger keeps them, read back: what was charged years ago can be worked out anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping


def price_from(name: str, told: Mapping[str, Any]) -> Price | None:
    """The price that `gateway.state.ledger.prices.rates_of` told of, but for what was to come after it; None where it
    cannot be read.
    """
    try:
        return _price(name, told)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _price(name: str, told: Mapping[str, Any]) -> Price:
    rates, upstream, adjusted = _rates(told), told.get("upstream"), told.get("adjusted")
    return Price(
        name,
        str(told.get("source", "")),
        str(told.get("as_of", "")),
        *rates,
        tiers=_tiers(told),
        services=tuple((str(service), _tariff(tariff)) for service, tariff in told.get("services", {}).items()),
        version=str(told.get("version", "")),
        adjusted=None if adjusted is None else Adjustment(**{key: _whole(value) for key, value in adjusted.items()}),
        upstream=None if upstream is None else _price(str(upstream["id"]), upstream),
    )


def _tariff(told: Mapping[str, Any]) -> Tariff:
    return Tariff(_rates(told), _tiers(told))


def _tiers(told: Mapping[str, Any]) -> tuple[Tier, ...]:
    return tuple(Tier(_whole(tier["above_input_tokens"]), _rates(tier)) for tier in told.get("tiers", ()))


def _rates(told: Mapping[str, Any]) -> Rates:
    rare = RareRates(*(_rate(told, name) for name in RareRates._fields))
    read, cached, written, output = (_rate(told, name) for name in Rates._fields[:4])
    return Rates(read, cached, written, output, None if rare == RareRates() else rare)


def _rate(told: Mapping[str, Any], name: str) -> int | None:
    return None if told.get(name) is None else _whole(told[name])


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a rate is a whole number")
    return value
