"""The rates of which a price is made, in integers: what tokens of each kind cost, and from how long a prompt on.

Rates of tokens are nano-USD per million of them; None where nobody published one. What a rate applies to is written in
`policies.pricing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

COMPONENTS: Final = ("input", "cached_input", "cache_write", "output", "request", "tool")
"""What a cost is made of, as metrics, logs and reports call it; `Cost` and ledger rows have them as `*_nanousd`."""


class PriceSource(StrEnum):
    """Where an amount comes from; the value is a metric label and stands on spans and in the ledger."""

    PROVIDER = "provider"  # the answer said what it costs
    TABLE = "table"  # the price table that ships, or one that the operator brought up to date
    OVERRIDE = "override"  # the policy file
    LOCAL_STANDARD = "local_standard"  # derived from what an engine's hardware costs
    ASSUMED = "assumed"  # `prices.unknown: price_as`: nobody knows, and the operator named a stand-in
    ESTIMATED = "estimated"  # any of these, times tokens that were counted here and not by the upstream


class RareRates(NamedTuple):
    """Rates that most models lack. `request_nanousd` and `search_nanousd` are for one of them, not for a million."""

    cache_write_1h_nanousd: int | None = None
    reasoning_nanousd: int | None = None
    input_audio_nanousd: int | None = None
    cached_audio_nanousd: int | None = None
    input_image_nanousd: int | None = None
    output_audio_nanousd: int | None = None
    output_image_nanousd: int | None = None
    request_nanousd: int | None = None
    search_nanousd: int | None = None


class Rates(NamedTuple):
    """What the tokens of one request cost, each kind at one rate."""

    input_nanousd: int | None = None
    cached_input_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    output_nanousd: int | None = None
    rare: RareRates | None = None


class Tier(NamedTuple):
    """Rates for the whole of a request whose input is longer than this, and not for the excess alone."""

    above_input_tokens: int
    rates: Rates


class Tariff(NamedTuple):
    """Rates, and those that take their place for long prompts, shortest first."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()


class Adjustment(NamedTuple):
    """By how many millionths rates were changed: a discount was taken off, then a margin put on."""

    discount_ppm: int = 0
    margin_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What one deployment's tokens cost, in nano-USD per million tokens; None where nobody published a rate.

    `id`, `source` (a `PriceSource`), `version` and `as_of` (ISO date) say where the rates come from; an id never means
    two sets of rates. The four rates are those of standard service and short prompts. `services` are the tariffs of
    other service tiers by the name that answers give them, `batch` among them.
    All rates are as charged: `adjusted` says what was taken off and put on before, and `upstream` is the price without
    the margin, where there is one. `later` takes this one's place at a moment (Unix seconds) that is to come. Where it
    `is_plain`, usage without details costs what the four rates make of it.
    """

    id: str
    source: str
    as_of: str
    input_nanousd: int | None = None
    cached_input_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    output_nanousd: int | None = None
    rare: RareRates | None = None
    tiers: tuple[Tier, ...] = ()
    services: tuple[tuple[str, Tariff], ...] = ()
    version: str = ""
    adjusted: Adjustment | None = None
    upstream: Price | None = None
    later: tuple[float, Price] | None = None
    is_plain: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rare = self.rare is not None and (self.rare.request_nanousd, self.rare.reasoning_nanousd) != (None, None)
        object.__setattr__(self, "is_plain", not (self.tiers or self.later or self.upstream or rare))
