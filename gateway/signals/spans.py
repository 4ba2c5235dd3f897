"""What the spans of a call say, as plain values: a SERVER span for the request and a CLIENT span for each attempt.

`gen_ai.usage.*` stands on CLIENT spans only: a backend that adds up what it sees would count it twice otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.explaining.cache_told import result_of
from gateway.explaining.decisions import decision_text
from gateway.records.settlement import OK
from gateway.scrubbing import printable, scrub
from gateway.signals.conventions import FIRST_CHUNK_EVENT, Attr
from gateway.signals.telemetry import NANO, Outcome
from gateway.signals.tracing import attempt_span_id
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.base import EngineTimes, Tally
    from gateway.call import Cached, Call
    from gateway.records.settlement import SettledCall, Settlement
    from policies.vocabulary import Cost, Usage

Value = str | int | float | bool | tuple[str, ...]

# OpenTelemetry's conventions have no name for reranking yet and allow others.
_OPERATIONS = {
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
    Endpoint.RERANK: "rerank",
}
_FAULTS = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.GATEWAY_ERROR})


class Span(NamedTuple):
    """One span. Times are Unix nanoseconds; `error` is a short text, or None for a span that went well."""

    name: str
    is_server: bool
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    error: str | None
    events: tuple[tuple[str, int], ...] = ()


def spans_of(settled: SettledCall) -> list[Span]:
    """The spans of one call, the request's own first."""
    return [_server_span(settled), *(_client_span(settled.call, attempt) for attempt in settled.attempts)]


def _server_span(settled: SettledCall) -> Span:
    call = settled.call
    route = f"/v1/{call.request.endpoint.value}"
    attributes: dict[str, Value] = {
        Attr.HTTP_METHOD: "POST",
        Attr.HTTP_ROUTE: route,
        Attr.HTTP_STATUS: call.status,
        Attr.REQUEST_ID: call.id,
        Attr.MODEL_REQUESTED: printable(call.request.model),
        Attr.OUTCOME: settled.outcome.value,
        Attr.ATTEMPTS: len(settled.attempts),
        Attr.FALLBACK: len({settlement.attempt.deployment.name for settlement in settled.attempts}) > 1,
        Attr.TOTAL_INPUT_TOKENS: sum(settlement.usage.input_tokens for settlement in settled.attempts),
        Attr.TOTAL_OUTPUT_TOKENS: sum(settlement.usage.output_tokens for settlement in settled.attempts),
    }
    _add_identity(attributes, call)
    if call.cached is not None:
        _add_cache(attributes, call, call.cached)
    if settled.cost_nanousd is not None:
        attributes[Attr.COST_TOTAL] = settled.cost_nanousd / NANO
    if call.error_code is not None:
        attributes[Attr.ERROR_TYPE] = call.error_code
    if call.route is not None:
        attributes[Attr.DECISION] = decision_text(call)
    error = settled.outcome.value if settled.outcome in _FAULTS else None
    end_ns = call.received_at_ns + _ns(settled.duration_s)
    trace = call.trace
    return Span(
        f"POST {route}",
        True,
        trace.trace_id,
        trace.span_id,
        trace.parent_id,
        call.received_at_ns,
        end_ns,
        attributes,
        error,
    )


def _add_identity(attributes: dict[str, Value], call: Call) -> None:
    if call.route is not None:
        attributes[Attr.ROUTE] = call.route.name
    if call.principal is not None:
        attributes[Attr.KEY_ID] = call.principal.key_id
        if call.principal.team is not None:
            attributes[Attr.TEAM] = call.principal.team


def _add_cache(attributes: dict[str, Value], call: Call, cached: Cached) -> None:
    """A hit has no CLIENT span, so what was asked for and came stands here; but no usage, since nothing was used."""
    used = cached.saved if cached.is_hit else None
    known: dict[str, Value | None] = {
        Attr.CACHE_RESULT: result_of(cached).value,
        Attr.CACHE_LEVEL: cached.level.value if cached.level is not None else None,
        Attr.CACHE_BYPASS: cached.bypass.value if cached.bypass is not None else None,
        Attr.CACHE_CLOSED: cached.closed.value if cached.closed is not None else None,
        Attr.CACHE_ENTRY: cached.entry_id or None,
        Attr.CACHE_AGE_S: cached.age_s if cached.is_hit else None,
        Attr.CACHE_RISK: cached.risk,
        Attr.CACHE_BAR: cached.bar,
        Attr.CACHE_SIMILARITY: cached.similarity,
        Attr.CACHE_VETO: cached.veto,
        Attr.CACHE_JOINED: cached.joined,
        Attr.CACHE_JUDGED: cached.judged or None,
        Attr.CACHE_LOOKUP_S: cached.lookup_s,
        Attr.CACHE_SAVED_COST: used.cost_nanousd / NANO if used is not None and used.cost_nanousd is not None else None,
        Attr.CACHE_SAVED_TOKENS: used.input_tokens + used.output_tokens if used is not None else None,
        Attr.OPERATION: _OPERATIONS.get(call.request.endpoint, "chat") if cached.is_hit else None,
        Attr.RESPONSE_MODEL: printable(cached.model) or None if cached.is_hit else None,
        Attr.DEPLOYMENT: cached.deployment or None if cached.is_hit else None,
    }
    attributes.update({name: value for name, value in known.items() if value is not None})


def _client_span(call: Call, settlement: Settlement) -> Span:
    attempt = settlement.attempt
    operation = _OPERATIONS.get(call.request.endpoint, "chat")
    attributes: dict[str, Value] = {
        Attr.OPERATION: operation,
        Attr.PROVIDER: attempt.deployment.kind,
        Attr.REQUEST_MODEL: attempt.deployment.model,
        Attr.REQUEST_STREAM: call.request.stream,
        Attr.DEPLOYMENT: attempt.deployment.name,
        Attr.PROVIDER_NAME: attempt.deployment.provider,
        Attr.ATTEMPT: attempt.number,
        Attr.ATTEMPT_KIND: attempt.kind.value,
        Attr.OUTCOME: settlement.outcome,
    }
    _add_answer(attributes, settlement)
    start_ns = _unix_ns(call, attempt.started_s)
    events: tuple[tuple[str, int], ...] = ()
    if attempt.first_token_s is not None:
        attributes[Attr.FIRST_CHUNK_S] = attempt.first_token_s - attempt.started_s
        events = ((FIRST_CHUNK_EVENT, _unix_ns(call, attempt.first_token_s)),)
    error = scrub(attempt.failure.message) or settlement.outcome if attempt.failure is not None else None
    span_id = attempt_span_id(call.trace, attempt.number)
    end_ns = start_ns + _ns(settlement.duration_s)
    name = f"{operation} {attempt.deployment.model}"
    return Span(
        name, False, call.trace.trace_id, span_id, call.trace.span_id, start_ns, end_ns, attributes, error, events
    )


def _add_answer(attributes: dict[str, Value], settlement: Settlement) -> None:
    """Usage only where something was used: a refused attempt has none, and a zero would be averaged in."""
    attempt, usage = settlement.attempt, settlement.usage
    if settlement.outcome != OK:
        failure = attempt.failure
        status = failure.status if failure is not None else None
        attributes[Attr.ERROR_TYPE] = str(status) if status is not None else settlement.outcome
        if status is not None:
            attributes[Attr.HTTP_STATUS] = status
    if attempt.tally is not None:
        _add_tally(attributes, attempt.tally)
    if usage.input_tokens or usage.output_tokens or settlement.cost is not None:
        _add_usage(attributes, usage)
    if settlement.cost is not None:
        _add_cost(attributes, settlement.cost, usage)
    if settlement.unpriced is not None:
        attributes[Attr.COST_UNPRICED] = settlement.unpriced


def _add_tally(attributes: dict[str, Value], tally: Tally) -> None:
    if tally.id:
        attributes[Attr.RESPONSE_ID] = printable(tally.id)
    if tally.model:
        attributes[Attr.RESPONSE_MODEL] = printable(tally.model)
    if tally.finish_reasons:
        attributes[Attr.FINISH_REASONS] = tuple(printable(reason) for reason in tally.finish_reasons[:16])
    if tally.engine is not None:
        _add_engine(attributes, tally.engine)


def _add_engine(attributes: dict[str, Value], times: EngineTimes) -> None:
    """In seconds, as OpenTelemetry has durations."""
    attributes |= {
        Attr.ENGINE_QUEUE_S: times.queue_s,
        Attr.ENGINE_READ_S: times.read_s,
        Attr.ENGINE_WRITE_S: times.write_s,
        Attr.ENGINE_COMPUTE_S: times.compute_s,
    }


def _add_usage(attributes: dict[str, Value], usage: Usage) -> None:
    attributes[Attr.INPUT_TOKENS] = usage.input_tokens
    attributes[Attr.OUTPUT_TOKENS] = usage.output_tokens
    attributes[Attr.ESTIMATED] = usage.estimated
    parts = (
        (Attr.CACHE_READ_TOKENS, usage.cached_input_tokens),
        (Attr.CACHE_WRITE_TOKENS, usage.cache_write_tokens),
        (Attr.REASONING_TOKENS, usage.reasoning_tokens),
    )
    attributes.update({name: tokens for name, tokens in parts if tokens})


def _add_cost(attributes: dict[str, Value], cost: Cost, usage: Usage) -> None:
    price = cost.price
    attributes |= {
        Attr.COST_TOTAL: cost.total_nanousd / NANO,
        Attr.USAGE_COST: cost.total_nanousd / NANO,
        Attr.COST_INPUT: cost.input_nanousd / NANO,
        Attr.COST_CACHED_INPUT: cost.cached_input_nanousd / NANO,
        Attr.COST_CACHE_WRITE: cost.cache_write_nanousd / NANO,
        Attr.COST_OUTPUT: cost.output_nanousd / NANO,
        Attr.COST_CURRENCY: "USD",
        Attr.COST_SOURCE: price.source,
        Attr.PRICE_ID: price.id,
        Attr.PRICE_VERSION: price.as_of,
    }
    rates = (
        (Attr.PRICE_INPUT, price.input_nanousd),
        (Attr.PRICE_CACHED_INPUT, price.cached_input_nanousd),
        (Attr.PRICE_OUTPUT, price.output_nanousd),
    )
    attributes.update({name: rate / NANO for name, rate in rates if rate is not None})
    tokens = usage.input_tokens + usage.output_tokens
    if tokens:
        attributes[Attr.COST_PER_MTOK] = cost.total_nanousd / 1000 / tokens


def _unix_ns(call: Call, loop_s: float) -> int:
    return call.received_at_ns + _ns(loop_s - call.received_s)


def _ns(seconds: float) -> int:
    return round(seconds * NANO)
