"""What an attempt's tokens cost: disjoint buckets times rates, in integers, never a silent zero.

`Usage` is inclusive, as OpenAI counts; formats that count otherwise are normalised by their adapter. A bucket that has
tokens and no rate makes the whole attempt `Unpriced`, since half a price is a wrong one. A few rates stand in for
others: cached input without one costs what input costs (not less than the truth), pictures that are read what text
does, and reasoning is the output it is. A rate of zero is a price like any other: a local model may well be free. What
a provider says that it bills wins over all rates.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.adjusting import WHOLE_PPM, mark
from policies.rates import NO_RARE, all_rates, applied, first_known, price_at
from policies.rounding import half_even
from policies.tariffs import Adjustment, Price, PriceSource
from policies.usage import Cost, Usage
from policies.usage_parts import disjoint, parts_of

if TYPE_CHECKING:
    from policies.tariffs import Rates

RATE_UNIT_TOKENS: Final = 1_000_000
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class UnpricedReason(StrEnum):
    """Why no cost can be named; it stands in the ledger and on spans."""

    NO_PRICE = "no_price"
    NO_INPUT_RATE = "no_input_rate"
    NO_CACHE_WRITE_RATE = "no_cache_write_rate"
    NO_OUTPUT_RATE = "no_output_rate"
    NO_AUDIO_RATE = "no_audio_rate"
    NO_IMAGE_RATE = "no_image_rate"
    NO_SEARCH_RATE = "no_search_rate"
    NO_SERVICE_RATE = "no_service_rate"  # a tier of service that nobody published rates of


class Unpriced(NamedTuple):
    """The tokens are known and their price is not."""

    reason: UnpricedReason


Bucket = tuple[int, int | None, UnpricedReason]
"""How much, at which rate, and what is missing where that is None."""


def cost_of(usage: Usage, price: Price | None, now_s: float = 0.0) -> Cost | Unpriced:
    """What `usage` costs at `price` at a moment, in Unix seconds; each component is rounded half to even, and the total
    is their sum.
    """
    if price is None or not price.is_plain or usage.details is not None:
        return _cost_in_full(usage, price, now_s)
    input_tokens, output_tokens, cached_tokens, written_tokens, _, _, _ = usage
    if cached_tokens or written_tokens or input_tokens < 0 or output_tokens < 0:
        input_tokens, cached_tokens, written_tokens, output_tokens = disjoint(usage)
    cached_rate = price.input_nanousd if price.cached_input_nanousd is None else price.cached_input_nanousd
    input_nanousd = component(input_tokens, price.input_nanousd)
    cached_nanousd = component(cached_tokens, cached_rate) if cached_tokens else 0
    write_nanousd = component(written_tokens, price.cache_write_nanousd) if written_tokens else 0
    output_nanousd = component(output_tokens, price.output_nanousd)
    if input_nanousd is None or cached_nanousd is None or write_nanousd is None or output_nanousd is None:
        return _cost_in_full(usage, price, now_s)  # it knows what is missing
    return _new(Cost, (input_nanousd, cached_nanousd, write_nanousd, output_nanousd, price, 0, 0, None))


def source_of(cost: Cost, usage: Usage) -> str:
    """Where the amount comes from, as every sink says it: a cost of tokens that nobody reported is an estimate."""
    return PriceSource.ESTIMATED.value if usage.estimated else cost.price.source


def component(tokens: int, rate_nanousd: int | None) -> int | None:
    """One bucket's cost in nano-USD, at a rate per million tokens; None where it has tokens and no rate."""
    if not tokens:
        return 0
    if rate_nanousd is None:
        return None
    # As `half_even`, written out: every call comes by here, twice.
    whole, rest = divmod(tokens * rate_nanousd, RATE_UNIT_TOKENS)
    return whole + (2 * rest + (whole & 1) > RATE_UNIT_TOKENS)


def is_known(price: Price | None, *, generates: bool) -> bool:
    """Whether a price says what a call of text costs in standard service, however long it is; one that generates
    nothing needs no rate for output.
    """
    if price is None or price.input_nanousd is None or (price.output_nanousd is None and generates):
        return False
    if price.is_plain:
        return True
    rates = [tier.rates for tier in price.tiers]
    if any(one.input_nanousd is None or (one.output_nanousd is None and generates) for one in rates):
        return False
    return price.later is None or is_known(price.later[1], generates=generates)


def is_free(price: Price | None) -> bool:
    """Whether nothing at this price ever costs anything."""
    if price is None:
        return False
    for rates in all_rates(price):
        if rates.input_nanousd != 0 or rates.output_nanousd != 0 or any(rates[:4]) or any(rates.rare or ()):
            return False
    return True


def _cost_in_full(usage: Usage, price: Price | None, now_s: float) -> Cost | Unpriced:
    details = usage.details
    if price is not None and price.later is not None:
        price = price_at(price, now_s)
    if details is not None and details.billed_nanousd is not None:
        return _billed(details.billed_nanousd, price)
    if price is None:
        return Unpriced(UnpricedReason.NO_PRICE)
    found = applied(price, usage)
    if found is None:
        return Unpriced(UnpricedReason.NO_SERVICE_RATE)
    amounts: list[int] = []
    for buckets in components_of(usage, found.rates):
        amount = _amount(buckets)
        if isinstance(amount, UnpricedReason):
            return Unpriced(amount)
        amounts.append(amount)
    rare = found.rates.rare or NO_RARE
    searches = details.searches if details is not None else 0
    if searches and rare.search_nanousd is None:
        return Unpriced(UnpricedReason.NO_SEARCH_RATE)
    tool_nanousd = searches * (rare.search_nanousd or 0)
    upstream = None if price.upstream is None else cost_of(usage, price.upstream)
    upstream_nanousd = upstream.total_nanousd if isinstance(upstream, Cost) else None
    input_, cached, written, output = amounts
    return Cost(input_, cached, written, output, price, rare.request_nanousd or 0, tool_nanousd, upstream_nanousd)


def _billed(billed_nanousd: int, price: Price | None) -> Cost:
    """What the provider says that it bills, as it says it, which is after any discount; a margin is put on that."""
    margin_ppm = price.adjusted.margin_ppm if price is not None and price.adjusted is not None else 0
    told = billed_price(margin_ppm)
    if not margin_ppm:
        return Cost(0, 0, 0, 0, told, billed_nanousd)
    return Cost(0, 0, 0, 0, told, half_even(billed_nanousd * (WHOLE_PPM + margin_ppm), WHOLE_PPM), 0, billed_nanousd)


@lru_cache(maxsize=64)
def billed_price(margin_ppm: int) -> Price:
    """The price of what has no rates of ours: the provider names the amount."""
    adjustment = Adjustment(0, margin_ppm)
    source = PriceSource.PROVIDER.value
    return Price(f"{source}{mark(adjustment)}", source, "", adjusted=adjustment if margin_ppm else None)


def components_of(usage: Usage, rates: Rates) -> tuple[tuple[Bucket, ...], ...]:
    """The buckets of input, cached input, cache writes and output."""
    reasons, rare = UnpricedReason, rates.rare or NO_RARE
    parts = parts_of(usage, reasoning_apart=rare.reasoning_nanousd is not None)
    read, cached = rates.input_nanousd, first_known(rates.cached_input_nanousd, rates.input_nanousd)
    return (
        (
            (parts.input_text, read, reasons.NO_INPUT_RATE),
            (parts.input_audio, rare.input_audio_nanousd, reasons.NO_AUDIO_RATE),
            (parts.input_image, first_known(rare.input_image_nanousd, read), reasons.NO_INPUT_RATE),
        ),
        (
            (parts.cached_text, cached, reasons.NO_INPUT_RATE),
            (
                parts.cached_audio,
                first_known(rare.cached_audio_nanousd, rare.input_audio_nanousd),
                reasons.NO_AUDIO_RATE,
            ),
        ),
        (
            (parts.write_5m, rates.cache_write_nanousd, reasons.NO_CACHE_WRITE_RATE),
            (parts.write_1h, rare.cache_write_1h_nanousd, reasons.NO_CACHE_WRITE_RATE),
        ),
        (
            (parts.output_text, rates.output_nanousd, reasons.NO_OUTPUT_RATE),
            (parts.reasoning, rare.reasoning_nanousd, reasons.NO_OUTPUT_RATE),
            (parts.output_audio, rare.output_audio_nanousd, reasons.NO_AUDIO_RATE),
            (parts.output_image, rare.output_image_nanousd, reasons.NO_IMAGE_RATE),
        ),
    )


def _amount(buckets: tuple[Bucket, ...]) -> int | UnpricedReason:
    products = 0
    for tokens, rate, missing in buckets:
        if tokens and rate is None:
            return missing
        products += tokens * (rate or 0)
    return half_even(products, RATE_UNIT_TOKENS)
