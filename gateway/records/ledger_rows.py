"""The ledger's rows of one settled call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.scrubbing import printable
from gateway.state.ledger.schema import FROM_CACHE, LedgerRow
from policies.matching import candidates
from policies.pricing import source_of

if TYPE_CHECKING:
    from gateway.call import Attempt, Cached, Call
    from gateway.records.settlement import SettledCall, Settlement
    from policies.cache_rules import Level
    from policies.usage import Cost, Usage
    from policies.vocabulary import Principal

Who = tuple[str | None, str | None, str | None, str | None]
Shared = tuple[Who, tuple[str | None, str, str], tuple[str | None, str | None]]

CACHE_HIT: Final = "cache_hit"
UNKNOWN: Final = "unknown"

_BESIDE: Final = frozenset({"service", "corrected"})
"""Details that are no counts: one has a column of its own, the other is for metrics."""
_NOBODY = (None, None, None, None)
_NO_OWNER = (None, None)
_NOT_CACHED = (None, None, None)


def ledger_rows(settled: SettledCall) -> list[LedgerRow]:
    """One row per attempt, or the one of an answer from a cache; a call that had neither leaves none."""
    call = settled.call
    cached = call.cached
    if not settled.attempts and (cached is None or cached.level is None):
        return []
    principal, route = call.principal, call.route
    who = (principal.key_id, principal.key_name, principal.team, principal.user) if principal is not None else _NOBODY
    what = (route.name if route is not None else None, call.request.endpoint._value_, printable(call.request.model))
    owner = owner_of(principal)
    rows = [_row(settled, settlement, (who, what, owner)) for settlement in settled.attempts]
    if cached is not None and cached.level is not None:
        rows.append(_hit(settled, cached, cached.level, (who, what, owner)))
    return rows


def owner_of(principal: Principal | None) -> tuple[str | None, str | None]:
    """The columns `org` and `tags`."""
    if principal is None:
        return _NO_OWNER
    return principal.org, msgspec.json.encode(principal.tags).decode() if principal.tags else None


def _row(
    settled: SettledCall,
    settlement: Settlement,
    shared: Shared,
) -> LedgerRow:
    who, what, owner = shared
    call, attempt, usage = settled.call, settlement.attempt, settlement.usage
    deployment, failure, cost = attempt.deployment, attempt.failure, settlement.cost
    started_at_ms = call.received_at_ns // 1_000_000 + round((attempt.started_s - call.received_s) * 1000)
    ttft_s = attempt.first_token_s - attempt.started_s if attempt.first_token_s is not None else None
    return LedgerRow(
        call.id,
        attempt.number,
        started_at_ms,
        *who,
        *what,
        deployment.name,
        deployment.provider,
        deployment.model,
        settlement.outcome,
        # An attempt's own status where it failed with one; otherwise what the caller got.
        failure.status or 0 if failure is not None else call.status,
        failure.kind.value if failure is not None else call.error_code,
        +call.request.stream,
        +attempt.cancelled,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        +usage.estimated,
        *_amounts(cost),
        settlement.unpriced,
        *_priced(cost, usage),
        round(settlement.duration_s * 1000),
        round(ttft_s * 1000) if ttft_s is not None else None,
        *owner,
        call.admitted.charges(attempt) if call.admitted is not None else None,
        engine_ms(attempt),
        *_NOT_CACHED,
        *_amounts_beside(cost),
        *details_of(usage),
        gpu_us(attempt),
    )


def _hit(settled: SettledCall, cached: Cached, level: Level, shared: Shared) -> LedgerRow:
    """It cost nothing, whatever it says that it saved; and nobody else was asked, so it is no attempt."""
    who, what, owner = shared
    call, used = settled.call, cached.saved
    return LedgerRow(
        call.id,
        FROM_CACHE,
        call.received_at_ns // 1_000_000,
        *who,
        *what,
        cached.deployment,
        provider_of(call, cached),
        cached.model,
        CACHE_HIT,
        call.status,
        call.error_code,
        +call.request.stream,
        +call.cancelled,
        *(0,) * 6,
        *(0,) * 5,
        None,
        None,
        None,
        None,
        round(settled.duration_s * 1000),
        None,
        *owner,
        call.admitted.hit_charges() if call.admitted is not None else None,
        None,
        level._value_,
        used.cost_nanousd if used is not None else None,
        used.input_tokens + used.output_tokens if used is not None else None,
        0,
        0,
    )


def provider_of(call: Call, cached: Cached) -> str:
    """Of the deployment that an answer came from, as long as the route has it."""
    found = (one.provider for one in candidates(call.route) if one.name == cached.deployment) if call.route else ()
    return next(iter(found), UNKNOWN)


def engine_ms(attempt: Attempt) -> int | None:
    times = attempt.tally.engine if attempt.tally is not None else None
    return round(times.compute_s * 1000) if times is not None else None


def gpu_us(attempt: Attempt) -> int | None:
    """As it was timed; where it was not, an engine's time is that of one processor."""
    if attempt.gpu_us is not None:
        return attempt.gpu_us
    times = attempt.tally.engine if attempt.tally is not None else None
    return round(times.compute_s * 1_000_000) if times is not None else None


def _amounts(cost: Cost | None) -> tuple[int | None, int | None, int | None, int | None, int | None]:
    if cost is None:
        return None, None, None, None, None
    return (
        cost.total_nanousd,
        cost.input_nanousd,
        cost.cached_input_nanousd,
        cost.cache_write_nanousd,
        cost.output_nanousd,
    )


def _amounts_beside(cost: Cost | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if cost is None else (cost.request_nanousd, cost.tool_nanousd, cost.upstream_nanousd)


def details_of(usage: Usage) -> tuple[str | None, str | None]:
    """The columns `service` and `usage_details`."""
    details = usage.details
    if details is None:
        return None, None
    told = {name: value for name, value in details._asdict().items() if name not in _BESIDE and value not in (0, None)}
    if details.billed_nanousd == 0:
        told["billed_nanousd"] = 0
    return details.service or None, msgspec.json.encode(told).decode() if told else None


def _priced(cost: Cost | None, usage: Usage) -> tuple[str | None, str | None, str | None]:
    if cost is None:
        return None, None, None
    return cost.price.id, source_of(cost, usage), cost.price.as_of
