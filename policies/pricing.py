"""What an attempt's tokens cost: disjoint buckets times rates, in integers, never a silent zero.

`Usage` is inclusive, as OpenAI counts; formats that count otherwise are normalised by their adapter. A bucket that has
tokens and no rate makes the whole attempt `Unpriced`, since half a price is a wrong one. Two rates stand in for others:
cached input without one costs what input costs (not less than the truth), and reasoning is priced as the output it is.
A rate of zero is a price like any other: a local model may well be free.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.tariffs import PriceSource
from policies.vocabulary import Cost, Usage

if TYPE_CHECKING:
    from policies.vocabulary import Price

RATE_UNIT_TOKENS: Final = 1_000_000
# No request that the gateway takes or answer that it forwards comes near; a larger count is a broken upstream's.
TOKENS_MAX: Final = 100_000_000


class UnpricedReason(StrEnum):
    """Why no cost can be named; the value is also a metric label."""

    NO_PRICE = "no_price"
    NO_INPUT_RATE = "no_input_rate"
    NO_CACHE_WRITE_RATE = "no_cache_write_rate"
    NO_OUTPUT_RATE = "no_output_rate"


class Unpriced(NamedTuple):
    """The tokens are known and their price is not."""

    reason: UnpricedReason


class Buckets(NamedTuple):
    """Tokens counted once each. Their sum is input plus output, however the upstream's numbers overlap."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int


def cost_of(usage: Usage, price: Price | None) -> Cost | Unpriced:
    """What `usage` costs at `price`; each component is rounded half to even, and the total is their sum."""
    if price is None:
        return Unpriced(UnpricedReason.NO_PRICE)
    input_tokens, cached_tokens, written_tokens, output_tokens = disjoint(usage)
    cached_rate = price.input_nanousd if price.cached_input_nanousd is None else price.cached_input_nanousd
    input_nanousd = component(input_tokens, price.input_nanousd)
    cached_nanousd = component(cached_tokens, cached_rate) if cached_tokens else 0
    write_nanousd = component(written_tokens, price.cache_write_nanousd) if written_tokens else 0
    output_nanousd = component(output_tokens, price.output_nanousd)
    if input_nanousd is None or cached_nanousd is None:
        return Unpriced(UnpricedReason.NO_INPUT_RATE)
    if write_nanousd is None:
        return Unpriced(UnpricedReason.NO_CACHE_WRITE_RATE)
    if output_nanousd is None:
        return Unpriced(UnpricedReason.NO_OUTPUT_RATE)
    return Cost(input_nanousd, cached_nanousd, write_nanousd, output_nanousd, price)


def source_of(cost: Cost, usage: Usage) -> str:
    """Where the amount comes from, as every sink says it: a cost of tokens that nobody reported is an estimate."""
    return PriceSource.ESTIMATED.value if usage.estimated else cost.price.source


def disjoint(usage: Usage) -> Buckets:
    """The inclusive counts taken apart. Parts larger than their whole are cut down to it; negatives are nothing."""
    if not (usage.cached_input_tokens or usage.cache_write_tokens) and usage.input_tokens >= 0 <= usage.output_tokens:
        return Buckets(usage.input_tokens, 0, 0, usage.output_tokens)  # what nearly every call amounts to
    input_tokens = max(0, usage.input_tokens)
    cached_tokens = within(usage.cached_input_tokens, input_tokens)
    written_tokens = within(usage.cache_write_tokens, input_tokens - cached_tokens)
    return Buckets(
        input_tokens - cached_tokens - written_tokens, cached_tokens, written_tokens, max(0, usage.output_tokens)
    )


def component(tokens: int, rate_nanousd: int | None) -> int | None:
    """One bucket's cost in nano-USD, at a rate per million tokens; None where it has tokens and no rate."""
    if not tokens:
        return 0
    if rate_nanousd is None:
        return None
    whole, rest = divmod(tokens * rate_nanousd, RATE_UNIT_TOKENS)
    return whole + (2 * rest + (whole & 1) > RATE_UNIT_TOKENS)


def is_known(price: Price | None, *, generates: bool) -> bool:
    """Whether a price says what any such call costs; one that generates nothing needs no rate for output."""
    return price is not None and price.input_nanousd is not None and (price.output_nanousd is not None or not generates)


def is_free(price: Price | None) -> bool:
    """Whether nothing at this price ever costs anything."""
    if price is None:
        return False
    rates = (price.input_nanousd, price.cached_input_nanousd, price.cache_write_nanousd, price.output_nanousd)
    return price.input_nanousd == price.output_nanousd == 0 and not any(rates)


class Sane(NamedTuple):
    """Usage that can be billed, and how many of the upstream's counts had to be corrected for that."""

    usage: Usage
    clamps: int


def sane(usage: Usage, context_tokens: int | None = None, sequences: int = 1) -> Sane:
    """`usage` with every count within what is possible: not negative, not beyond the window, no part above its whole.

    `sequences` is how many windows the request could fill: the inputs of an embeddings batch, or its `n`.
    """
    limit = TOKENS_MAX if context_tokens is None else min(TOKENS_MAX, context_tokens * max(1, sequences))
    input_tokens = within(usage.input_tokens, limit)
    output_tokens = within(usage.output_tokens, limit)
    cached_tokens = within(usage.cached_input_tokens, input_tokens)
    corrected = Usage(
        input_tokens,
        output_tokens,
        cached_tokens,
        within(usage.cache_write_tokens, input_tokens - cached_tokens),
        within(usage.reasoning_tokens, output_tokens),
        usage.estimated,
    )
    if corrected == usage:
        return Sane(usage, 0)
    return Sane(
        corrected, sum(before != after for before, after in zip(_counts(usage), _counts(corrected), strict=True))
    )


def within(tokens: int, limit: int) -> int:
    return min(max(0, tokens), limit)


def _counts(usage: Usage) -> tuple[int, ...]:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
