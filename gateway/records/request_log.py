"""The one line per call: `request.completed`, as JSON or, on a terminal, short enough to read as it goes by. What a
cache asks by itself is nobody's request, and its line has another name.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.explaining.cache_told import cache_told
from gateway.records.origins import ANYWHERE, network_of
from gateway.records.request_event import (
    AttemptEvent,
    BytesEvent,
    ComponentsEvent,
    CostEvent,
    EngineEvent,
    LimitsEvent,
    MadeForEvent,
    RequestEvent,
    TimingEvent,
    TokensEvent,
)
from gateway.records.settlement import HEDGE_LOST
from gateway.records.usual_lines import UsualLines
from gateway.scrubbing import printable, scrub
from gateway.signals.logs import timestamp
from gateway.signals.telemetry import (
    CACHE_CALL_COMPLETED,
    LOG_SCHEMA_VERSION,
    NANO,
    REQUEST_COMPLETED,
    SERVICE,
    Outcome,
)
from policies.attempts import AttemptKind
from policies.failures import CONTENT_CODES
from policies.tariffs import PriceSource

if TYPE_CHECKING:
    from adapters.base import EngineTimes
    from gateway.call import Attempt, Cached, Call
    from gateway.records.origins import Origins
    from gateway.records.settlement import SettledCall, Settlement
    from policies.usage import Cost, Usage

METHOD: Final = "POST"
"""Of everything that is recorded: reading a list of models is no call."""
ALLOWED: Final = "allowed"
QUEUED: Final = "queued"
DENIED: Final = "denied"
PROVIDER_FILTER: Final = "provider_content_filter"

_WARNINGS = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT})
_FILTERED = frozenset({"content_filter", "guardrail_intervened"})


class RequestLog:
    """Writes a settled call as one line, ready for the sink."""

    def __init__(self, *, as_json: bool, origins: Origins = ANYWHERE) -> None:
        self._encoder = msgspec.json.Encoder()
        self._usual = UsualLines(self.event, origins)
        self.as_json = as_json
        self.origins = origins
        self.line = self.json_line if as_json else terminal_line

    def event(self, settled: SettledCall) -> RequestEvent:
        return request_event(settled, self.origins)

    def json_line(self, settled: SettledCall) -> bytes:
        """The line for programs, whatever form the log has."""
        return self._usual.line(settled) or self._encoder.encode(self.event(settled)) + b"\n"


def request_event(settled: SettledCall, origins: Origins = ANYWHERE) -> RequestEvent:
    """The event of one call."""
    call, request, attempts = settled.call, settled.call.request, settled.attempts
    event = RequestEvent(
        ts=timestamp(call.received_at_ns / NANO + settled.duration_s),
        level=_level(settled.outcome),
        event=REQUEST_COMPLETED if call.made_for is None else CACHE_CALL_COMPLETED,
        schema_version=LOG_SCHEMA_VERSION,
        service=SERVICE,
        instance=origins.instance,
        worker=origins.worker,
        request_id=call.id,
        trace_id=call.trace.trace_id,
        span_id=call.trace.span_id,
        end_user_hash=origins.end_user(request),
        route=call.route.name if call.route is not None else None,
        method=METHOD,
        status=call.status,
        outcome=settled.outcome.value,
        model_requested=printable(request.model),
        stream=request.stream,
        timing_ms=_timing(settled),
        bytes=BytesEvent(request.body_bytes, call.sent_bytes),
        ip_trunc=network_of(call),
        endpoint=request.endpoint.value,
    )
    _add_caller(event, call)
    event.ratelimit = _limits(call)
    if attempts:
        _add_attempts(event, attempts, call.decisive or attempts[-1].attempt)
    if call.cached is not None:
        _add_cache(event, call.cached)
    if call.made_for is not None:
        purpose, request_id, route = call.made_for
        event.made_for = MadeForEvent(purpose.value, request_id, route)
    return event


def _add_caller(event: RequestEvent, call: Call) -> None:
    event.error_code = call.error_code
    event.cancelled = call.cancelled
    event.replay_of = call.replay_of
    agent = call.headers.get("User-Agent")
    if agent:
        event.user_agent = _scrub_agent(agent)
    principal = call.principal
    if principal is not None:
        event.org, event.team = principal.org, principal.team
        event.key_id, event.key_alias = principal.key_id, principal.key_name
    if call.admitted is not None and call.status >= 400:
        event.limit = call.admitted.refused_by


def _limits(call: Call) -> LimitsEvent | None:
    """None where no limit applied. A limit of a deployment that sent the call elsewhere has denied it nothing."""
    admitted = call.admitted
    if admitted is None:
        return None
    if call.status >= 400 and admitted.refused_by is not None:
        scope = admitted.refused_scope
        return LimitsEvent(DENIED, None if scope is None else scope.value)
    return LimitsEvent(QUEUED if admitted.waited_s else ALLOWED, None)


def _add_cache(event: RequestEvent, cached: Cached) -> None:
    event.cache = cache_told(cached)
    if cached.is_hit:
        event.cost = CostEvent(0, saved_nano_usd=event.cache.saved_nano_usd)
        event.deployment, event.model_served = cached.deployment or None, printable(cached.model) or None


def _add_attempts(event: RequestEvent, attempts: list[Settlement], last: Attempt) -> None:
    """`last` is the attempt that the caller heard of."""
    event.provider, event.deployment = last.deployment.provider, last.deployment.name
    event.attempts = [_attempt(settlement) for settlement in attempts]
    event.tokens = _tokens(attempts)
    event.cost = _cost(attempts)
    if last.tally is not None:
        event.model_served = printable(last.tally.model) if last.tally.model else None
        event.finish_reason = printable(last.tally.finish_reasons[0]) if last.tally.finish_reasons else None
        if last.tally.engine is not None:
            event.engine_ms = _engine(last.tally.engine)
    if last.failure is not None:
        event.error_type = last.failure.kind.value
        event.error_message = scrub(last.failure.message) or None
    if was_filtered(last):
        event.guardrails = [PROVIDER_FILTER]


def was_filtered(attempt: Attempt) -> bool:
    """Whether a provider's own guardrail held back the answer, or a part of it."""
    reasons = attempt.tally.finish_reasons if attempt.tally is not None else ()
    refused = attempt.failure is not None and attempt.failure.code in CONTENT_CODES
    return refused or not _FILTERED.isdisjoint(reasons)


def _engine(times: EngineTimes) -> EngineEvent:
    return EngineEvent(*map(_ms, (times.queue_s, times.read_s, times.write_s, times.compute_s)))


def _attempt(settlement: Settlement) -> AttemptEvent:
    failure = settlement.attempt.failure
    status = failure.status if failure is not None else None
    name = settlement.attempt.deployment.name
    return AttemptEvent(name, settlement.outcome, status, _ms(settlement.duration_s), settlement.attempt.kind.value)


def _tokens(attempts: list[Settlement]) -> TokensEvent:
    tokens = TokensEvent()
    for settlement in attempts:
        usage = settlement.usage
        five_minutes, hour = cache_writes(usage)
        tokens.input += usage.input_tokens
        tokens.cached_input += usage.cached_input_tokens
        tokens.cache_write_5m += five_minutes
        tokens.cache_write_1h += hour
        tokens.output += usage.output_tokens
        tokens.reasoning += usage.reasoning_tokens
        tokens.estimated = tokens.estimated or usage.estimated
    return tokens


def cache_writes(usage: Usage) -> tuple[int, int]:
    """Tokens written to a provider's cache for five minutes, and for an hour."""
    hour = usage.details.cache_write_1h_tokens if usage.details is not None else 0
    return usage.cache_write_tokens - hour, hour


def _cost(attempts: list[Settlement]) -> CostEvent | None:
    """The sum over attempts, with the price last used. None when nothing cost or should have cost anything."""
    event: CostEvent | None = None
    for settlement in attempts:
        if settlement.cost is not None:
            event = _add_cost(event or CostEvent(0, ComponentsEvent()), settlement.cost)
            event.source = source_of(settlement)
    unpriced = [settlement.unpriced for settlement in attempts if settlement.unpriced is not None]
    if unpriced:
        event = event or CostEvent(None)
        event.unpriced = unpriced[-1]
    return event


def source_of(settlement: Settlement) -> str | None:
    """Where the amount comes from: an estimate, whatever the rates are from, where the tokens are one."""
    if settlement.cost is None:
        return None
    return PriceSource.ESTIMATED.value if settlement.usage.estimated else settlement.cost.price.source


def _add_cost(event: CostEvent, cost: Cost) -> CostEvent:
    event.total_nano_usd = (event.total_nano_usd or 0) + cost.total_nanousd
    parts = event.components = event.components or ComponentsEvent()
    parts.input += cost.input_nanousd
    parts.cached_input += cost.cached_input_nanousd
    parts.cache_write += cost.cache_write_nanousd
    parts.output += cost.output_nanousd
    parts.request += cost.request_nanousd
    parts.tool += cost.tool_nanousd
    event.price_id, event.price_version = cost.price.id, cost.price.version or cost.price.as_of
    return event


def _timing(settled: SettledCall) -> TimingEvent:
    """Milliseconds. `ttft` is what the caller waited for the first token, earlier attempts included. A hedge that lost
    went on beside another attempt, and took no time of its own.
    """
    upstream_s = 0.0
    first_token_s: float | None = None
    for settlement in settled.attempts:
        attempt = settlement.attempt
        if attempt.stopped == HEDGE_LOST:
            continue
        upstream_s += settlement.duration_s
        if first_token_s is None or attempt.kind is not AttemptKind.RESUME:
            first_token_s = attempt.first_token_s
    call = settled.call
    return TimingEvent(
        total=_ms(settled.duration_s),
        overhead=_ms(settled.overhead_s),
        queue=_ms(call.admitted.waited_s) if call.admitted is not None else 0.0,
        auth=_ms(call.marks[0][1] - call.received_s) if is_timed(call) else None,
        ttft=_ms(first_token_s - call.received_s) if first_token_s is not None else None,
        upstream=_ms(upstream_s),
    )


def is_timed(call: Call) -> bool:
    """Whether it is known when the call's key was, which is the first mark of any call."""
    return bool(call.marks)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _level(outcome: Outcome) -> str:
    if outcome is Outcome.GATEWAY_ERROR:
        return "error"
    return "warning" if outcome in _WARNINGS else "info"


@lru_cache(maxsize=512)
def _scrub_agent(value: str) -> str:
    """Few clients differ in this, and looking for secrets costs more than the rest of the line."""
    return scrub(value, 128)


def terminal_line(settled: SettledCall) -> bytes:
    """One call for people: `12:30:01 200 ok chat/completions smart -> gpt-4o 812 ms, 12+34 tokens, $0.000120`."""
    call = settled.call
    clock = time.strftime("%H:%M:%S", time.localtime(call.received_at_ns / NANO + settled.duration_s))
    path = "".join(map(_leg, settled.attempts)).removeprefix(" -> ") or _unasked(call)
    parts = [f"{settled.duration_s * 1000:.0f} ms"]
    if settled.attempts:
        tokens = _tokens(settled.attempts)
        parts.append(f"{'~' if tokens.estimated else ''}{tokens.input}+{tokens.output} tokens")
        cost = _cost(settled.attempts)
        if cost is not None:
            parts.append("unpriced" if cost.total_nano_usd is None else f"${cost.total_nano_usd / NANO:.6f}")
    if call.error_code is not None:
        parts.append(call.error_code)
    if call.made_for is not None:
        parts.append(f"{call.made_for.purpose} for {call.made_for.request_id}")
    endpoint, model = call.request.endpoint.value, printable(call.request.model)
    return f"{clock} {call.status} {settled.outcome} {endpoint} {model} -> {path} {', '.join(parts)}\n".encode()


def _unasked(call: Call) -> str:
    cached = call.cached
    if cached is None or cached.level is None:
        return "no attempt"
    risk = "" if cached.risk is None else f", p {cached.risk:.3g}"
    return f"cache ({cached.level.value}, {cached.age_s:.0f} s old{risk})"


def _leg(settlement: Settlement) -> str:
    """` -> there`, and ` | there` for a hedge, which goes there beside the attempt before."""
    attempt = settlement.attempt
    return f"{' | ' if attempt.kind is AttemptKind.HEDGE else ' -> '}{attempt.deployment.name}"
