"""How much a call may come to use, as amounts that a reservation can hold: never less than what it will be charged.

An estimate that is too small lets a limit be overshot by the difference, so every figure here errs upwards: output by
the limit that the upstream is told, money by the dearest deployment that may come to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.limits import EXACT_MAX
from policies.pricing import RATE_UNIT_TOKENS
from policies.rates import NO_RARE, base_rates, price_at
from policies.vocabulary import Endpoint, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from policies.tariffs import Price, Rates, Tier
    from policies.vocabulary import Deployment

OUTPUT_TOKENS_DEFAULT: Final = 4096
"""Where neither the caller nor a policy says anything: what most chat models could write at most until 2024, longer
than nearly all answers, and small enough for a limit of some 10,000 tokens a minute to let a few calls in."""
COMPLETION_TOKENS_DEFAULT: Final = 16
"""What `/v1/completions` itself generates when `max_tokens` is absent (OpenAI's API reference, read 2026-11)."""
OUTPUT_TOKENS_FLOOR: Final = 256
CALL_MAX_S: Final = 86_400.0
"""No call lasts longer: a price that is to change within that time may be the one that a call is charged by."""
# `cost_of` rounds three parts of the input apart from each other, each of them by half a nano-USD at most; and eleven
# parts of both where some have rates of their own.
_ROUNDING_NANOUSD: Final = 2
_ROUNDING_RARE_NANOUSD: Final = 6
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class TooLargeError(Exception):
    """An estimate that no account can hold exactly; such a request must be refused."""


class Estimate(NamedTuple):
    """The most tokens that a call may be charged for, in the tier of service that it asks for ("": the standard one).

    `searches` is how many it may make, as far as anybody can tell beforehand.
    """

    input_tokens: int
    output_tokens: int
    service: str = ""
    searches: int = 0


class OutputBound(NamedTuple):
    """The most output of a call, all of its generations together.

    `added` is what the upstream must be told as the limit of each generation so that this is true; None where the
    caller has told it already, or where nothing is generated.
    """

    tokens: int
    added: int | None


class CostBound(NamedTuple):
    """What a call costs at most, in nano-USD, and the names of the candidates for which nobody can say."""

    nanousd: int
    unpriced: tuple[str, ...]


class Amounts(NamedTuple):
    """What one call takes of each resource; a field for each `Resource`, under its value."""

    requests: int
    tokens: int
    input_tokens: int
    output_tokens: int
    concurrent: int
    cost: int

    def of(self, resource: Resource) -> int:
        amount: int = getattr(self, resource)
        return amount


def amounts_of(estimate: Estimate, cost_nanousd: int = 0) -> Amounts:
    """One call as amounts. Raises `TooLargeError` where an account could not hold one of them exactly."""
    input_tokens, output_tokens = estimate.input_tokens, estimate.output_tokens
    tokens = input_tokens + output_tokens
    if tokens >= EXACT_MAX or cost_nanousd >= EXACT_MAX:
        raise TooLargeError("The request asks for more than can be counted.")
    return _new(Amounts, (1, tokens, input_tokens, output_tokens, 1, cost_nanousd))


def output_bound(
    output_tokens_max: int | None,
    generations: int,
    default: int,
    context_tokens: int | None = None,
    input_tokens: int = 0,
) -> OutputBound:
    """The most output of a call, and what its upstream must be told for it. `default` is `output_default`'s.

    No generation outgrows the context window, `context_tokens` (the largest among the candidates; None where one of
    them is unknown). A limit of our own also leaves room for the prompt, since some servers refuse a request whose
    prompt and `max_tokens` together exceed the window: of `input_tokens`, which bounds the prompt by its bytes, half is
    taken for likely. That is kindness only; the bound holds whatever the prompt's size.
    """
    if not generations:
        return OutputBound(0, None)
    if output_tokens_max is not None:
        each = output_tokens_max if context_tokens is None else min(output_tokens_max, context_tokens)
        return OutputBound(each * generations, None)
    added = default
    if context_tokens is not None:
        room = max(context_tokens - input_tokens // 2, OUTPUT_TOKENS_FLOOR)
        added = max(1, min(default, room, context_tokens))
    return OutputBound(added * generations, added)


def output_default(endpoint: Endpoint, defaults: Iterable[int | None]) -> int:
    """The first of `defaults` that is set (the key's, the route's), else what is built in for this endpoint."""
    for default in defaults:
        if default is not None:
            return default
    return COMPLETION_TOKENS_DEFAULT if endpoint is Endpoint.COMPLETIONS else OUTPUT_TOKENS_DEFAULT


def context_window(candidates: Iterable[Deployment]) -> int | None:
    """The largest context window of the chain; None where one of them is not known."""
    largest = 0
    for deployment in candidates:
        if deployment.context_tokens is None:
            return None
        largest = max(largest, deployment.context_tokens)
    return largest or None


def cost_bound(estimate: Estimate, candidates: Sequence[Deployment], now_s: float = 0.0) -> CostBound:
    """What the dearest of the chain would charge at most: a free local model with a paid fallback costs the fallback.

    Input and output are taken at the highest of their rates, since nobody knows beforehand what an upstream has in its
    cache or how much will be sound; in the dearest tier that so many tokens can reach; in standard service or the one
    that the call asks for, whichever is dearer, as a provider may do with less than it was asked for and is taken not
    to bill for more; and at the price of `now_s` (Unix seconds) or one that comes before the call must be over.
    """
    dearest = 0
    unpriced = []
    for deployment in candidates:
        nanousd = _cost_nanousd(estimate, deployment.price, now_s)
        if nanousd is None:
            unpriced.append(deployment.name)
        elif nanousd > dearest:
            dearest = nanousd
    return CostBound(dearest, tuple(unpriced))


def _cost_nanousd(estimate: Estimate, price: Price | None, now_s: float) -> int | None:
    if price is None:
        return None
    if price.later is not None:
        price = price_at(price, now_s)
    input_nanousd, output_nanousd = price.input_nanousd, price.output_nanousd
    if (estimate.input_tokens and input_nanousd is None) or (estimate.output_tokens and output_nanousd is None):
        return None
    if price.rare is not None or price.tiers or price.services or price.later is not None:
        return max(_at_rates(estimate, rates) for rates in _in_reach(estimate, price, now_s))
    input_rate = max(input_nanousd or 0, price.cached_input_nanousd or 0, price.cache_write_nanousd or 0)
    charged = estimate.input_tokens * input_rate + estimate.output_tokens * (output_nanousd or 0)
    return -(-charged // RATE_UNIT_TOKENS) + _ROUNDING_NANOUSD if charged else 0


def _in_reach(estimate: Estimate, price: Price, now_s: float) -> Iterator[Rates]:
    """Every set of rates that the call could be charged by."""
    while True:
        yield from _reached(estimate, base_rates(price), price.tiers)
        if estimate.service:
            for name, (rates, tiers) in price.services:
                if name == estimate.service:
                    yield from _reached(estimate, rates, tiers)
        if price.later is None or price.later[0] > now_s + CALL_MAX_S:
            return
        price = price.later[1]


def _reached(estimate: Estimate, rates: Rates, tiers: tuple[Tier, ...]) -> Iterator[Rates]:
    yield rates
    for tier in tiers:
        if tier.above_input_tokens < estimate.input_tokens:
            yield tier.rates


def _at_rates(estimate: Estimate, rates: Rates) -> int:
    rare = rates.rare or NO_RARE
    input_rate = max(
        rates.input_nanousd or 0,
        rates.cached_input_nanousd or 0,
        rates.cache_write_nanousd or 0,
        rare.cache_write_1h_nanousd or 0,
        rare.input_audio_nanousd or 0,
        rare.cached_audio_nanousd or 0,
        rare.input_image_nanousd or 0,
    )
    output_rate = max(
        rates.output_nanousd or 0,
        rare.reasoning_nanousd or 0,
        rare.output_audio_nanousd or 0,
        rare.output_image_nanousd or 0,
    )
    charged = estimate.input_tokens * input_rate + estimate.output_tokens * output_rate
    tokens = -(-charged // RATE_UNIT_TOKENS) + _ROUNDING_RARE_NANOUSD if charged else 0
    return tokens + (rare.request_nanousd or 0) + estimate.searches * (rare.search_nanousd or 0)
