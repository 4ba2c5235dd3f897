"""The one line per request: `request.completed`, as JSON or, on a terminal, short enough to read as it goes by."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from gateway.explaining.cache_told import CacheTold, cache_told
from gateway.records.settlement import HEDGE_LOST
from gateway.records.usual_lines import UsualLines
from gateway.scrubbing import printable, scrub
from gateway.signals.logs import timestamp
from gateway.signals.telemetry import LOG_SCHEMA_VERSION, NANO, REQUEST_COMPLETED, SERVICE, Outcome
from policies.attempts import AttemptKind

if TYPE_CHECKING:
    from adapters.base import EngineTimes
    from gateway.call import Attempt, Cached, Call
    from gateway.records.settlement import SettledCall, Settlement
    from policies.vocabulary import Cost

_WARNINGS = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT})


class AttemptEvent(msgspec.Struct, omit_defaults=True, gc=False):
    deployment: str
    outcome: str
    status: int | None
    ms: float
    kind: str = AttemptKind.FIRST.value


class TokensEvent(msgspec.Struct, gc=False):
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False


class ComponentsEvent(msgspec.Struct, gc=False):
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0


class CostEvent(msgspec.Struct, gc=False):
    """`total_nano_usd` is None when nothing that was used has a price; `unpriced` says why something has none."""

    total_nano_usd: int | None
    components: ComponentsEvent | None
    source: str | None
    price_version: str | None
    unpriced: str | None


class TimingEvent(msgspec.Struct, gc=False):
    total: float
    overhead: float
    upstream: float
    ttft: float | None


class EngineEvent(msgspec.Struct, gc=False):
    """Milliseconds in an engine of ours; `compute` is this call's share of what the engine spent."""

    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    compute: float = 0.0


class BytesEvent(msgspec.Struct, gc=False):
    in_: int = msgspec.field(name="in")
    out: int = 0


class RequestEvent(msgspec.Struct, omit_defaults=True, gc=False):
    """Field names as in dashboards and parsers; what has no value is left out."""

    ts: str
    level: str
    request_id: str
    trace_id: str
    span_id: str
    route: str | None
    status: int
    outcome: str
    model_requested: str
    stream: bool
    endpoint: str
    timing_ms: TimingEvent
    bytes: BytesEvent
    event: str
    service: str
    schema_version: int
    team: str | None = None
    key_id: str | None = None
    key_alias: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    limit: str | None = None
    model_served: str | None = None
    provider: str | None = None
    deployment: str | None = None
    attempts: list[AttemptEvent] = []
    finish_reason: str | None = None
    cancelled: bool = False
    tokens: TokensEvent | None = None
    cost: CostEvent | None = None
    user_agent: str | None = None
    replay_of: str | None = None
    engine_ms: EngineEvent | None = None
    cache: CacheTold | None = None


class RequestLog:
    """Writes a settled call as one line, ready for the sink."""

    def __init__(self, *, as_json: bool) -> None:
        self._encoder = msgspec.json.Encoder()
        self._usual = UsualLines(request_event)
        self.as_json = as_json
        self.line = self._json_line if as_json else terminal_line

    def _json_line(self, settled: SettledCall) -> bytes:
        return self._usual.line(settled) or self._encoder.encode(request_event(settled)) + b"\n"


def request_event(settled: SettledCall) -> RequestEvent:
    """The event of one call."""
    call, request, attempts = settled.call, settled.call.request, settled.attempts
    event = RequestEvent(
        timestamp(call.received_at_ns / NANO + settled.duration_s),
        _level(settled.outcome),
        call.id,
        call.trace.trace_id,
        call.trace.span_id,
        call.route.name if call.route is not None else None,
        call.status,
        settled.outcome.value,
        printable(request.model),
        request.stream,
        request.endpoint.value,
        _timing(settled),
        BytesEvent(request.body_bytes, call.sent_bytes),
        REQUEST_COMPLETED,
        SERVICE,
        LOG_SCHEMA_VERSION,
    )
    event.error_code = call.error_code
    event.cancelled = call.cancelled
    event.replay_of = call.replay_of
    if call.admitted is not None and call.status >= 400:
        event.limit = call.admitted.refused_by
    agent = call.headers.get("User-Agent")
    if agent:
        event.user_agent = _scrub_agent(agent)
    principal = call.principal
    if principal is not None:
        event.team, event.key_id, event.key_alias = principal.team, principal.key_id, principal.key_name
    if attempts:
        _add_attempts(event, attempts, call.decisive or attempts[-1].attempt)
    if call.cached is not None:
        _add_cache(event, call.cached)
    return event


def _add_cache(event: RequestEvent, cached: Cached) -> None:
    event.cache = cache_told(cached)
    if cached.is_hit:
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


def _engine(times: EngineTimes) -> EngineEvent:
    seconds = (times.queue_s, times.read_s, times.write_s, times.compute_s)
    return EngineEvent(*(round(part_s * 1000, 2) for part_s in seconds))


def _attempt(settlement: Settlement) -> AttemptEvent:
    failure = settlement.attempt.failure
    status = failure.status if failure is not None else None
    name = settlement.attempt.deployment.name
    duration_ms = round(settlement.duration_s * 1000, 2)
    return AttemptEvent(name, settlement.outcome, status, duration_ms, settlement.attempt.kind.value)


def _tokens(attempts: list[Settlement]) -> TokensEvent:
    usage = attempts[0].usage
    tokens = TokensEvent(
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )
    for settlement in attempts[1:]:
        usage = settlement.usage
        tokens.input += usage.input_tokens
        tokens.cached_input += usage.cached_input_tokens
        tokens.cache_write += usage.cache_write_tokens
        tokens.output += usage.output_tokens
        tokens.reasoning += usage.reasoning_tokens
        tokens.estimated = tokens.estimated or usage.estimated
    return tokens


def _cost(attempts: list[Settlement]) -> CostEvent | None:
    """The sum over attempts, with the price last used. None when nothing cost or should have cost anything."""
    event: CostEvent | None = None
    unpriced: str | None = None
    for settlement in attempts:
        unpriced = settlement.unpriced or unpriced
        cost = settlement.cost
        if cost is not None:
            event = _cost_event(cost) if event is None else _add_cost(event, cost)
    if unpriced is not None:
        event = event or CostEvent(None, None, None, None, None)
        event.unpriced = unpriced
    return event


def _cost_event(cost: Cost) -> CostEvent:
    parts = ComponentsEvent(
        cost.input_nanousd, cost.cached_input_nanousd, cost.cache_write_nanousd, cost.output_nanousd
    )
    return CostEvent(cost.total_nanousd, parts, cost.price.source, cost.price.as_of, None)


def _add_cost(event: CostEvent, cost: Cost) -> CostEvent:
    event.total_nano_usd = (event.total_nano_usd or 0) + cost.total_nanousd
    components = event.components = event.components or ComponentsEvent()
    components.input += cost.input_nanousd
    components.cached_input += cost.cached_input_nanousd
    components.cache_write += cost.cache_write_nanousd
    components.output += cost.output_nanousd
    event.source, event.price_version = cost.price.source, cost.price.as_of
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
    return TimingEvent(
        round(settled.duration_s * 1000, 2),
        round(settled.overhead_s * 1000, 2),
        round(upstream_s * 1000, 2),
        round((first_token_s - settled.call.received_s) * 1000, 2) if first_token_s is not None else None,
    )


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
