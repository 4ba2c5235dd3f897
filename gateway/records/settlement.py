"""Turns a finished call into what every sink records: outcome, usage and cost, decided once.

Metrics, ledger, spans and the log line all read the same `Settlement`, so they cannot disagree by a nano-dollar.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.errors import LimitError
from gateway.limits.extras import extras_of
from gateway.signals.telemetry import Estimated, Outcome, Unpriced
from policies import pricing, usage_parts
from policies.rates import price_at
from policies.usage import Cost, Usage, UsageDetails
from policies.usage_parts import TOKENS_MAX
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.base import Tally
    from adapters.schema import InferenceRequest
    from gateway.call import Attempt, Call
    from policies.tariffs import Price
    from policies.usage import Correction

log = logging.getLogger(__name__)

OK = "ok"
CANCELLED = "client_cancelled"
RATE_LIMITED = "rate_limited"
HEDGE_LOST = "hedge_lost"
CACHE_MISS = "cache_miss"

_TIMEOUTS = frozenset({FailureKind.FIRST_TOKEN, FailureKind.IDLE, FailureKind.TOTAL, FailureKind.WRITE})
_DENIALS = {
    401: Outcome.DENIED_AUTH,
    403: Outcome.DENIED_AUTH,
    402: Outcome.DENIED_BUDGET,
    429: Outcome.DENIED_RATE,
}
_NOTHING = Usage()
_UNKNOWN = Usage(estimated=True)


class TokenCounts(Protocol):
    """Counts tokens where no upstream did, off the event loop."""

    async def count(self, text_parts: list[str], model: str) -> int: ...

    async def count_request(self, request: InferenceRequest, model: str | None = None) -> int: ...


class Settlement(msgspec.Struct):
    """One attempt, settled. `cost` is None when nothing was used, or, with `unpriced`, when its cost is unknown.
    `corrections` has a word for each of the upstream's counts that could not be.
    """

    attempt: Attempt
    outcome: str
    usage: Usage
    cost: Cost | None
    unpriced: str | None
    estimated: Estimated | None
    duration_s: float
    corrections: tuple[Correction, ...] = ()


class SettledCall(msgspec.Struct):
    """One call, settled; `duration_s` and `overhead_s` are as the metrics define them."""

    call: Call
    outcome: Outcome
    attempts: list[Settlement]
    duration_s: float
    overhead_s: float

    @property
    def cost_nanousd(self) -> int | None:
        """The sum over attempts; None when no attempt has a cost."""
        costs = [settled.cost.total_nanousd for settled in self.attempts if settled.cost is not None]
        return sum(costs) if costs else None

    def note_prices(self, note: Callable[[Price], None]) -> None:
        """Call `note` with the price of each attempt that has a cost."""
        for settled in self.attempts:
            if settled.cost is not None:
                note(settled.cost.price)


def settle(call: Call) -> SettledCall:
    """The call as the sinks record it. `count_missing` comes first where an upstream left usage out."""
    attempts = [_settle(call, attempt) for attempt in call.attempts]
    duration_s = max(0.0, call.ended_s - call.received_s)
    return SettledCall(call, outcome_of(call), attempts, duration_s, _overhead_s(call, duration_s))


def lacks_usage(call: Call) -> bool:
    """True when tokens were, or may have been, generated that nobody has counted."""
    for attempt in call.attempts:  # noqa: SIM110 - asked of every call, and a generator would cost as much again
        if must_count(attempt):
            return True
    return False


async def count_missing(call: Call, counts: TokenCounts) -> None:
    """Give each attempt that lacks usage an estimate from the prompt and from what was received of the answer."""
    for attempt in call.attempts:
        if must_count(attempt):
            attempt.usage = await _count(call, attempt, counts)


async def _count(call: Call, attempt: Attempt, counts: TokenCounts) -> Usage:
    model = attempt.deployment.model
    input_tokens = await counts.count_request(attempt.request or call.request, model)
    output_tokens = await _count_answer(attempt.tally, model, counts)
    seen = _reported(attempt) or _NOTHING
    usage = Usage(
        input_tokens=max(input_tokens, seen.input_tokens),
        output_tokens=max(output_tokens, seen.output_tokens),
        cached_input_tokens=seen.cached_input_tokens,
        cache_write_tokens=seen.cache_write_tokens,
        reasoning_tokens=seen.reasoning_tokens,
        estimated=True,
        details=_of_a_part(seen.details),
    )
    return usage if usage.details is not None and usage.details.service else _served(call, attempt, usage)


def _served(call: Call, attempt: Attempt, usage: Usage) -> Usage:
    """With the tier of service that the answer named before it ended; where it named none, with the one that was asked
    for if that is dearer: else whoever leaves early would have it at the price of the standard one.
    """
    told = None if attempt.tally is None else attempt.tally.service
    service = extras_of(attempt.request or call.request).service if told is None else told
    if not service:
        return usage
    there = usage._replace(details=(usage.details or UsageDetails())._replace(service=service))
    if told is not None:
        return there
    (cost_there, _), (cost_here, _) = price_at_most(there, attempt), price_at_most(usage, attempt)
    is_dearer = cost_there is not None and cost_here is not None and cost_there.total_nanousd > cost_here.total_nanousd
    return there if is_dearer else usage


def _of_a_part(details: UsageDetails | None) -> UsageDetails | None:
    """What stays true of an answer that went on: its bill was for less than there is to pay."""
    if details is None or details.billed_nanousd is None:
        return details
    kept = details._replace(billed_nanousd=None)
    return kept if any(kept) else None


async def _count_answer(tally: Tally | None, model: str, counts: TokenCounts) -> int:
    if tally is None or not tally.text:
        return 0
    tokens = await counts.count(tally.text, model)
    if not tally.text_dropped_chars:
        return tokens
    kept = max(1, sum(map(len, tally.text)))
    return round(tokens * (kept + tally.text_dropped_chars) / kept)


def must_count(attempt: Attempt) -> bool:
    """An answer that broke off, or went on after its usage, has reported a part: what was seen is a lower bound."""
    usage = _reported(attempt)
    if usage is None:
        return _may_have_generated(attempt)
    tally = attempt.tally
    if not attempt.cancelled and attempt.failure is None:
        return tally is not None and tally.is_usage_early and not usage.estimated
    is_final = usage.estimated or (tally is not None and bool(tally.finish_reasons))
    return not is_final and _may_have_generated(attempt)


def used_by(attempt: Attempt) -> Usage | None:
    """What the attempt used, as it is billed; None where nobody has counted what may have been generated."""
    usage = _reported(attempt)
    if usage is None:
        return None if _may_have_generated(attempt) else _NOTHING
    return usage if is_plausible(usage) else usage_parts.sane(usage).usage


def cost_so_far(call: Call) -> int | None:
    """What the call's attempts cost together, in nano-USD; None while that of one is not known, or cannot be."""
    total: int | None = None
    for attempt in call.attempts:
        usage = used_by(attempt)
        tally = attempt.tally
        is_part = attempt.cancelled or attempt.failure is not None or (tally is not None and tally.is_usage_early)
        if usage is None or (is_part and must_count(attempt)):
            return None
        if usage is _NOTHING:
            continue
        cost, _ = price_of(usage, attempt)
        if cost is None:
            return None
        total = (total or 0) + cost.total_nanousd
    return total


def _may_have_generated(attempt: Attempt) -> bool:
    if not attempt.sent:
        return False
    if attempt.failure is None or attempt.failure.maybe_billed:
        return True
    return attempt.tally is not None and bool(attempt.tally.text)


def _reported(attempt: Attempt) -> Usage | None:
    """Nothing at all is believed of an answer without text alone."""
    if attempt.usage is not None:
        return attempt.usage
    tally = attempt.tally
    if tally is None or tally.usage is None:
        return None
    claims_nothing = not tally.usage.input_tokens and not tally.usage.output_tokens
    return None if claims_nothing and tally.text else tally.usage


def _settle(call: Call, attempt: Attempt) -> Settlement:
    usage = _reported(attempt)
    unpriced: str | None = None
    cost: Cost | None = None
    corrections: tuple[Correction, ...] = ()
    if usage is not None:
        if usage.details is not None:
            corrections = usage.details.corrected
        if not is_plausible(usage):
            usage, further = usage_parts.sane(usage)
            corrections += further
        cost, unpriced = price_of(usage, attempt)
    elif _may_have_generated(attempt):
        usage, unpriced = _UNKNOWN, Unpriced.NO_USAGE.value
    else:
        usage = _NOTHING
    if usage is not _UNKNOWN:  # what nobody has counted stays so: limits were charged what was reserved for it
        attempt.usage, attempt.cost = usage, cost
    estimated = _estimate_reason(attempt) if usage.estimated else None
    ended_s = attempt.ended_s if attempt.ended_s is not None else call.ended_s
    duration_s = max(0.0, ended_s - attempt.started_s)
    return Settlement(attempt, attempt_outcome(attempt), usage, cost, unpriced, estimated, duration_s, corrections)


def is_plausible(usage: Usage) -> bool:
    """True for what needs no correcting, as nearly all usage does; `usage_parts.sane` decides on the rest."""
    input_tokens, output_tokens, cached, written, reasoning, _, details = usage
    if details is not None:
        return usage_parts.sane(usage).usage == usage
    is_input_plausible = cached >= 0 <= written and cached + written <= input_tokens <= TOKENS_MAX
    return is_input_plausible and 0 <= reasoning <= output_tokens <= TOKENS_MAX


def price_of(usage: Usage, attempt: Attempt) -> tuple[Cost | None, str | None]:
    """The attempt's cost, or None and why there is none; worked out once, whoever asks."""
    known = attempt.priced
    if known is None or known[0] is not usage:
        cost, unpriced = price_at_most(usage, attempt)
        attempt.priced = known = (usage, cost, unpriced)
    return known[1], known[2]


def price_at_most(usage: Usage, attempt: Attempt) -> tuple[Cost | None, str | None]:
    """The same of usage that is not the attempt's own yet, such as the most that it may come to."""
    price = attempt.deployment.price
    if price is not None and price.later is not None:
        price = attempt.price = attempt.price or price_at(price, time.time())
    elif price is None and usage.details is not None and usage.details.billed_nanousd is not None:
        price = attempt.deployment.billed_price
    try:
        priced = pricing.cost_of(usage, price)
    except Exception:
        log.exception("the cost of an attempt at %s could not be computed", attempt.deployment.name)
        return None, Unpriced.CALC_ERROR.value
    return (priced, None) if isinstance(priced, Cost) else (None, priced.reason.value)


def _estimate_reason(attempt: Attempt) -> Estimated:
    return Estimated.DISCONNECT if attempt.cancelled else Estimated.NO_USAGE_CHUNK


def attempt_outcome(attempt: Attempt) -> str:
    """How an attempt ended, as a metric label: few values, none of them the upstream's own words."""
    failure = attempt.failure
    if failure is None:
        return attempt.stopped or (CANCELLED if attempt.cancelled else OK)
    if failure.kind is FailureKind.STATUS and failure.status == 429:
        return RATE_LIMITED
    return failure.kind.value


def outcome_of(call: Call) -> Outcome:
    """How a request ended. An error after the status went out counts as an error, whatever the status said."""
    if call.cancelled:
        return Outcome.CLIENT_CANCELLED
    if call.status < 400 and call.error_code is None:
        return Outcome.OK
    decisive = call.decisive
    failure = decisive.failure if decisive is not None else None
    if call.admitted is not None and call.admitted.refused_by is not None and call.status == 429:
        return Outcome.DENIED_BUDGET if call.error_code == LimitError.QUOTA else Outcome.DENIED_RATE
    if failure is not None:
        return _failed_outcome(call, failure.kind)
    if call.status >= 500 and _had_joined(call):
        return Outcome.UPSTREAM_ERROR  # of the call that this one had joined
    # A miss is a 504 by RFC 9111, for who asked for nothing but what is kept.
    is_theirs = 400 <= call.status < 500 or call.error_code == CACHE_MISS
    return _DENIALS.get(call.status) or (Outcome.CLIENT_ERROR if is_theirs else Outcome.GATEWAY_ERROR)


def _had_joined(call: Call) -> bool:
    return call.replay_of is not None or (call.cached is not None and call.cached.joined is not None)


def _failed_outcome(call: Call, kind: FailureKind) -> Outcome:
    if kind in _TIMEOUTS:
        return Outcome.TIMEOUT
    if 400 <= call.status < 500 and call.status != 429:
        return Outcome.CLIENT_ERROR
    return Outcome.UPSTREAM_ERROR


def _overhead_s(call: Call, duration_s: float) -> float:
    """Before the first attempt and after the one that counted: waits between attempts are the upstreams' doing, and a
    wait for the call's turn is its limits'.
    """
    waited_s = call.admitted.waited_s if call.admitted is not None else 0.0
    decisive = call.decisive
    if decisive is None:
        cached = call.cached
        if call.replay_of is not None or (cached is not None and (cached.joined is not None or cached.judged)):
            return 0.0  # it may have waited for another call's upstream, or for a judge's
        return max(0.0, duration_s - waited_s)
    last_ended_s = decisive.ended_s
    after_s = call.ended_s - last_ended_s if last_ended_s is not None else 0.0
    return max(0.0, call.attempts[0].started_s - call.received_s + after_s - waited_s)
