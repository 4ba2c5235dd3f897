"""The spans of what the stages did before an attempt was made, from the marks that they left in their call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.explaining.decisions import deployment_id
from gateway.signals.attempt_spans import unix_ns
from gateway.signals.conventions import Attr, Happened, Mark
from gateway.signals.span_values import Event, Kind, Span, ns
from gateway.signals.tracing import stage_span_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.call import Call
    from gateway.explaining.decisions import Decision
    from gateway.signals.span_values import Value

ORDER: Final = (Mark.AUTH, Mark.READ, Mark.REPLAY, Mark.ROUTE, Mark.LIMITS, Mark.CACHE)
"""As the stages stand on the path."""
_IDEMPOTENCY_KEY: Final = "idempotency-key"


def stage_spans(call: Call, decision: Decision | None) -> Iterator[Span]:
    """One span for each mark, from where the one before ended; and one for the stage that refused the call."""
    began_s = call.received_s
    for index, (name, ended_s) in enumerate(call.marks):
        yield _span(call, index, name, (began_s, ended_s), decision)
        began_s = ended_s
    refused_by = _refused_by(call)
    if refused_by is not None:
        span = _span(call, len(call.marks), refused_by, (began_s, call.ended_s), decision)
        span.attributes[Attr.ERROR_TYPE] = call.error_code or ""
        yield span


def _refused_by(call: Call) -> str | None:
    """The stage that raised: the one whose mark is missing."""
    if call.error_code is None or call.attempts or (not call.marks and call.principal is not None):
        return None
    done = {name for name, _ in call.marks}
    missing = [name for name in ORDER if name not in done and _passes(call, name)]
    return missing[0] if missing else None


def _passes(call: Call, name: str) -> bool:
    """Whether a call of this kind meets the stage, and leaves its mark there."""
    if name == Mark.REPLAY:
        return _IDEMPOTENCY_KEY in call.headers
    if name == Mark.CACHE:
        return call.cached is not None
    return call.replay_of is None or name in (Mark.AUTH, Mark.READ)


def _span(call: Call, index: int, name: str, within_s: tuple[float, float], decision: Decision | None) -> Span:
    began_s, ended_s = within_s
    attributes: dict[str, Value] = {}
    events: tuple[Event, ...] = ()
    if name == Mark.ROUTE and decision is not None:
        _add_route(attributes, decision)
    waited_s = call.admitted.waited_s if name == Mark.LIMITS and call.admitted is not None else 0.0
    if waited_s:
        attributes[Attr.WAITED_S] = waited_s
        events = (Event(Happened.WAITED, unix_ns(call, ended_s), {Attr.WAITED_S: waited_s}),)
    trace = call.trace
    return Span(
        name=name,
        kind=Kind.INTERNAL,
        trace_id=trace.trace_id,
        span_id=stage_span_id(trace, index),
        parent_id=trace.span_id,
        start_ns=unix_ns(call, began_s),
        end_ns=unix_ns(call, began_s) + ns(max(0.0, ended_s - began_s)),
        attributes=attributes,
        events=events,
    )


def _add_route(attributes: dict[str, Value], decision: Decision) -> None:
    """What the route had to choose from: candidates in their order, their scores, and why the others were none."""
    if decision.route is not None:
        attributes[Attr.ROUTE] = decision.route
    if decision.strategy is not None:
        attributes[Attr.STRATEGY] = decision.strategy
    ordered = [one for one in decision.candidates if one.refused is None]
    if ordered:
        attributes[Attr.CANDIDATES] = tuple([deployment_id(one) for one in ordered])
    if scored := tuple([f"{deployment_id(one)}={one.score:g}" for one in ordered if one.score is not None]):
        attributes[Attr.SCORES] = scored
    if refused := tuple(
        [f"{deployment_id(one)}: {one.refused}" for one in decision.candidates if one.refused is not None]
    ):
        attributes[Attr.REJECTIONS] = refused
