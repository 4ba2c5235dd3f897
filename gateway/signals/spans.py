"""The spans of one call, as plain values: SERVER for the request, INTERNAL for the stages, CLIENT for each attempt.

Nothing here runs on the path. What a call leaves behind is read once it is over, and only where its trace is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.explaining.cache_told import result_of
from gateway.explaining.decisions import decision_of
from gateway.scrubbing import printable
from gateway.signals.attempt_spans import attempt_span, unix_ns
from gateway.signals.conventions import ERRAND, Attr, Happened, Wording, operation_of
from gateway.signals.span_values import Event, Kind, Link, Span, ns, usd
from gateway.signals.stage_spans import stage_spans
from gateway.signals.telemetry import FAULTS

if TYPE_CHECKING:
    from gateway.call import Cached, Call
    from gateway.explaining.decisions import Decision
    from gateway.records.settlement import SettledCall
    from gateway.signals.span_values import Value

USUAL: Final = Wording()


def spans_of(settled: SettledCall, wording: Wording = USUAL) -> list[Span]:
    """The spans of one call, the request's own first."""
    call = settled.call
    decision = decision_of(call) if call.route is not None else None
    attempts = [attempt_span(call, attempt, wording) for attempt in settled.attempts]
    return [_request_span(settled, decision), *stage_spans(call, decision), *attempts]


def _request_span(settled: SettledCall, decision: Decision | None) -> Span:
    call, trace = settled.call, settled.call.trace
    path = f"/v1/{call.request.endpoint.value}"
    attributes = _about(settled, path)
    _add_identity(attributes, call)
    if call.cached is not None:
        _add_cache(attributes, call, call.cached)
    if settled.cost_nanousd is not None:
        attributes[Attr.COST_TOTAL] = usd(settled.cost_nanousd)
    if call.error_code is not None:
        attributes[Attr.ERROR_TYPE] = call.error_code
    if call.replay_of is not None:
        attributes[Attr.REPLAY_OF] = call.replay_of
    if decision is not None:
        attributes[Attr.DECISION] = msgspec.json.encode(decision).decode()
    made_for = call.made_for
    return Span(
        name=f"POST {path}" if made_for is None else f"{ERRAND}{made_for.purpose}",
        kind=Kind.SERVER if made_for is None else Kind.INTERNAL,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        start_ns=call.received_at_ns,
        end_ns=call.received_at_ns + ns(settled.duration_s),
        attributes=attributes,
        error=settled.outcome.value if settled.outcome in FAULTS else None,
        events=tuple(_further(settled)),
        links=() if trace.linked is None else (Link(*trace.linked),),
    )


def _about(settled: SettledCall, path: str) -> dict[str, Value]:
    """Totals have names of ours: what is used stands on attempts, and would be added up twice."""
    call, attempts = settled.call, settled.attempts
    return {
        Attr.HTTP_METHOD: "POST",
        Attr.HTTP_ROUTE: path,
        Attr.HTTP_STATUS: call.status,
        Attr.REQUEST_ID: call.id,
        Attr.MODEL_REQUESTED: printable(call.request.model),
        Attr.OUTCOME: settled.outcome.value,
        Attr.ATTEMPTS: len(attempts),
        Attr.FALLBACK: len({settlement.attempt.deployment.name for settlement in attempts}) > 1,
        Attr.TOTAL_INPUT_TOKENS: sum([settlement.usage.input_tokens for settlement in attempts]),
        Attr.TOTAL_OUTPUT_TOKENS: sum([settlement.usage.output_tokens for settlement in attempts]),
    }


def _add_identity(attributes: dict[str, Value], call: Call) -> None:
    if call.route is not None:
        attributes[Attr.ROUTE] = call.route.name
    if call.principal is not None:
        attributes[Attr.KEY_ID] = call.principal.key_id
        attributes[Attr.ORG] = call.principal.org
        if call.principal.team is not None:
            attributes[Attr.TEAM] = call.principal.team


def _further(settled: SettledCall) -> list[Event]:
    """Retries, fallbacks and hedges: when, where to and after what."""
    return [
        Event(
            Happened.FURTHER,
            unix_ns(settled.call, after.attempt.started_s),
            {
                Attr.ATTEMPT: after.attempt.number,
                Attr.ATTEMPT_KIND: after.attempt.kind.value,
                Attr.DEPLOYMENT: after.attempt.deployment.name,
                Attr.ERROR_TYPE: before.outcome,
                Attr.WAITED_S: max(0.0, after.attempt.started_s - (before.attempt.ended_s or after.attempt.started_s)),
            },
        )
        for before, after in zip(settled.attempts, settled.attempts[1:], strict=False)
    ]


def _add_cache(attributes: dict[str, Value], call: Call, cached: Cached) -> None:
    """A hit has no CLIENT span, so what was asked for and came stands here; but no usage, since nothing was used."""
    used = cached.saved if cached.is_hit else None
    saved = usd(used.cost_nanousd) if used is not None and used.cost_nanousd is not None else None
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
        Attr.COST_SAVED: saved,
        Attr.CACHE_SAVED_TOKENS: used.input_tokens + used.output_tokens if used is not None else None,
        Attr.OPERATION: operation_of(call.request.endpoint) if cached.is_hit else None,
        Attr.RESPONSE_MODEL: printable(cached.model) or None if cached.is_hit else None,
        Attr.DEPLOYMENT: cached.deployment or None if cached.is_hit else None,
    }
    attributes.update({name: value for name, value in known.items() if value is not None})
