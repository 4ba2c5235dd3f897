"""What a call is likely to come to at a deployment: tokens, money, waiting. Limits take bounds, these are no bounds."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from policies import latency
from policies.choosing import NOT_SEEN
from policies.pricing import RATE_UNIT_TOKENS
from policies.rates import base_rates, price_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.choosing import Asked, Seen
    from policies.route_rules import Needs
    from policies.tariffs import Price, Rates

BYTES_PER_TOKEN: Final = 4
"""What English text and JSON come to. Where nobody counted, a bound of input counts bytes: a quarter is likely."""
OUTPUT_TOKENS_USUAL: Final = 400
"""How long an answer is taken for before any was seen: about what chat models say where nobody stops them."""


class Expected(NamedTuple):
    """The likely size of one call, and when it is made (Unix seconds)."""

    input_tokens: int
    output_tokens: float
    prefix: str
    prefix_tokens: int
    now_s: float = 0.0


def expected_size(asked: Asked, seen: Iterable[Seen]) -> Expected:
    """The size that all candidates are compared at. Output is what they wrote lately, within the call's own limit."""
    written = [one.latency.output for one in seen]
    lengths = [tokens / weight for weight, tokens in written if weight]
    output_tokens = sum(lengths) / len(lengths) if lengths else OUTPUT_TOKENS_USUAL
    bound = asked.needs.output_tokens
    if bound is not None:
        output_tokens = min(output_tokens, bound)
    input_tokens = likely_input_tokens(asked.needs)
    return Expected(input_tokens, output_tokens, asked.prefix, min(asked.prefix_tokens, input_tokens), asked.now_s)


def likely_input_tokens(needs: Needs) -> int:
    """What a prompt comes to, as far as that was found out."""
    return needs.input_tokens if needs.is_counted else -(-needs.input_tokens // BYTES_PER_TOKEN)


def expected_nanousd(size: Expected, price: Price | None, seen: Seen = NOT_SEEN) -> float:
    """What a call of this size costs there in standard service, at the rates for prompts as long as this one; one that
    begins as an earlier one did, at the cached rate.

    Infinite where a rate that it takes is unknown.
    """
    if price is None:
        return inf
    each = 0
    if price.is_plain:
        input_nanousd, cached_nanousd = price.input_nanousd, price.cached_input_nanousd
        output_nanousd = price.output_nanousd
    else:
        rates, each = _rates_for(size.input_tokens, price_at(price, size.now_s))
        input_nanousd, cached_nanousd, _, output_nanousd, _ = rates
    if (input_nanousd is None and size.input_tokens) or (output_nanousd is None and size.output_tokens):
        return inf
    charged = size.input_tokens * (input_nanousd or 0) + size.output_tokens * (output_nanousd or 0)
    if cached_nanousd is not None and size.prefix_tokens and size.prefix in seen.prefixes:
        charged -= size.prefix_tokens * ((input_nanousd or 0) - cached_nanousd)
    return charged / RATE_UNIT_TOKENS + each


def _rates_for(input_tokens: int, price: Price) -> tuple[Rates, int]:
    """The rates of a prompt of this length, and what is paid for the request as such."""
    rates = base_rates(price)
    for tier in price.tiers:
        if input_tokens > tier.above_input_tokens:
            rates = tier.rates
    return rates, 0 if rates.rare is None else rates.rare.request_nanousd or 0


def expected_total_s(size: Expected, seen: Seen, now: float) -> float:
    """How long a call of this size takes there, waiting included; infinite where nothing is known."""
    taken_s = latency.expected_s(seen.latency, size.input_tokens, size.output_tokens, now)
    return inf if taken_s is None else taken_s + _queue_s(seen, taken_s)


def expected_wait_s(size: Expected, seen: Seen, now: float) -> float:
    """How long such a call would wait there before anything comes. Where nothing is under way nothing is waited for.

    A deployment that tells of its line is taken at its word, and where it tells no time: so many departures from those
    that it serves (Little's law). One that does not is as late as its first tokens lately were. Infinite where calls
    wait of which nothing is known.
    """
    line = seen.line
    if line is None:
        if not seen.in_flight:
            return 0.0
        return latency.expected_ttft_s(seen.latency, size.input_tokens, now) or 0.0
    if line.wait_s is not None:
        return line.wait_s
    if not line.is_full:
        return 0.0
    taken_s = latency.expected_s(seen.latency, size.input_tokens, size.output_tokens, now)
    return inf if taken_s is None else _queue_s(seen, taken_s)


def _queue_s(seen: Seen, taken_s: float) -> float:
    """What the deployment says of the wait, else by who is served there beside those that wait."""
    line = seen.line
    if line is None or not line.is_full:
        return 0.0
    if line.wait_s is not None:
        return line.wait_s
    return (line.queued + 1) * taken_s / max(1, line.running, seen.in_flight - line.queued)
