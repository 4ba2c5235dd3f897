"""Prices as policies reckon with them, made of rates by their words and of the moments from which they hold.

What is written shortly is written out here: a tier has the rates below it where it names none, a service the standard
ones for requests and searches. A service that says nothing of long prompts, where they cost more in standard service,
has no rates for them: such a call is unpriced, and not billed at a guess.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.tariffs import Price, RareRates, Rates, Tariff, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PER_ONE: Final = ("request", "search")
_DIGEST_CHARS: Final = 12
_RARE: Final = tuple(field.removesuffix("_nanousd") for field in RareRates._fields)
_NO_RARE: Final = RareRates()


class Named(NamedTuple):
    """What a price is called and where it comes from; `source` is a `PriceSource`."""

    name: str
    source: str
    version: str = ""
    as_of: str = ""


class Terms(NamedTuple):
    """What is asked for from a moment on, in Unix seconds (None: since ever)."""

    begins_s: float | None
    named: Named
    standard: Tariff
    services: tuple[tuple[str, Tariff], ...] = ()


class ServiceWords(NamedTuple):
    """Another tier of service; `above` None: nothing is said of long prompts."""

    rates: Mapping[str, int]
    above: Sequence[tuple[int, Mapping[str, int]]] | None


def terms_of(
    named: Named,
    rates: Mapping[str, int],
    above: Sequence[tuple[int, Mapping[str, int]]] = (),
    services: Mapping[str, ServiceWords] | None = None,
    begins_s: float | None = None,
) -> Terms:
    """Terms of rates by their word, in nano-USD."""
    standard = tariff_of(rates, above)
    for_one = {word: rates[word] for word in PER_ONE if word in rates}
    others = sorted((services or {}).items())
    return Terms(begins_s, named, standard, tuple((name, _service(told, standard, for_one)) for name, told in others))


def tariff_of(rates: Mapping[str, int], above: Sequence[tuple[int, Mapping[str, int]]] = ()) -> Tariff:
    """Tiers in the order of their lengths, each with the rates below it where it names none."""
    known, tiers = dict(rates), []
    for tokens, words in sorted(above, key=lambda tier: tier[0]):
        known |= words
        tiers.append(Tier(tokens, _rates(known)))
    return Tariff(_rates(rates), tuple(tiers))


def price_of(terms: Sequence[Terms], now_s: float) -> Price:
    """The price in force at `now_s`, with those to come behind it. `terms` are in the order of their moments; where all
    are to come, the first holds already.
    """
    current = max((at for at, one in enumerate(terms) if (one.begins_s or 0.0) <= now_s), default=0)
    price, later = _price(terms[-1], None), terms[-1]
    for one in reversed(terms[current:-1]):
        price, later = _price(one, (later.begins_s or 0.0, price)), one
    return price


def _service(told: ServiceWords, standard: Tariff, for_one: Mapping[str, int]) -> Tariff:
    rates = {**for_one, **told.rates}
    if told.above is None and standard.tiers:
        return Tariff(_rates(rates), (Tier(standard.tiers[0].above_input_tokens, Rates()),))
    return tariff_of(rates, told.above or ())


def _rates(words: Mapping[str, int]) -> Rates:
    rare = RareRates(*map(words.get, _RARE))
    return Rates(
        words.get("input"),
        words.get("cached_input"),
        words.get("cache_write"),
        words.get("output"),
        None if rare == _NO_RARE else rare,
    )


def _price(terms: Terms, later: tuple[float, Price] | None) -> Price:
    named, (rates, tiers) = terms.named, terms.standard
    return Price(
        id=f"{named.name}{'.' if '@' in named.name else '@'}{_digest(terms)}",
        source=named.source,
        as_of=named.as_of,
        **rates._asdict(),
        tiers=tiers,
        services=terms.services,
        version=named.version,
        later=later,
    )


def _digest(terms: Terms) -> str:
    """Of the rates alone, so that an id never means two sets of them."""
    told = repr((_plain(terms.standard), [(name, _plain(tariff)) for name, tariff in terms.services]))
    return hashlib.sha256(told.encode()).hexdigest()[:_DIGEST_CHARS]


def _plain(tariff: Tariff) -> Iterable[object]:
    return [_flat(tariff.rates), *((tier.above_input_tokens, _flat(tier.rates)) for tier in tariff.tiers)]


def _flat(rates: Rates) -> list[tuple[str, int]]:
    """Without what is absent, so that a rate that a later version knows of does not change the ids of today."""
    told = rates._asdict() | (rates.rare._asdict() if rates.rare is not None else {})
    return [(name, rate) for name, rate in sorted(told.items()) if name != "rare" and rate is not None]
