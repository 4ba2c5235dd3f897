"""The span of one attempt: a CLIENT span by OpenTelemetry's conventions for generative AI, with its tokens and cost.

`gen_ai.usage.*` stands on these spans only: a backend that adds up what it sees would count it twice otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.records.ledger_rows import gpu_us
from gateway.records.settlement import OK
from gateway.scrubbing import printable, scrub
from gateway.signals.conventions import ENDED_EARLY, Attr, Happened, UsageShown, Wording, operation_of
from gateway.signals.cost_attributes import add_cost, add_usage
from gateway.signals.provider_places import place_of
from gateway.signals.request_attributes import add_request
from gateway.signals.span_values import Event, Kind, Span, Told, ns
from gateway.signals.tracing import attempt_span_id

if TYPE_CHECKING:
    from adapters.base import EngineTimes, Tally
    from gateway.call import Attempt, Call
    from gateway.records.settlement import Settlement
    from gateway.signals.provider_places import Place
    from gateway.signals.span_values import Value

MICRO: Final = 1_000_000
_REASONS_MAX: Final = 16
_LETTING_GO_NS: Final = 5_000_000


def attempt_span(call: Call, settlement: Settlement, wording: Wording) -> Span:
    attempt, trace = settlement.attempt, call.trace
    deployment, endpoint = attempt.deployment, call.request.endpoint
    operation, place = operation_of(endpoint), place_of(call, deployment)
    shows_usage = shows(wording, call)
    attributes = _asked(call, attempt, operation, place)
    attributes[Attr.OUTCOME] = settlement.outcome
    _add_answer(attributes, call, settlement)
    used = settlement.usage.input_tokens or settlement.usage.output_tokens or settlement.cost is not None
    if used:  # a refused attempt used nothing, and a zero would be averaged in
        add_usage(attributes, settlement.usage, wording, shows_usage=shows_usage)
    if settlement.cost is not None:
        add_cost(attributes, settlement.cost, settlement.usage, wording.cost, shows_usage=shows_usage)
    if settlement.unpriced is not None:
        attributes[Attr.COST_UNPRICED] = settlement.unpriced
    start_ns = unix_ns(call, attempt.started_s)
    failure = attempt.failure
    told = Told(
        endpoint, deployment.model, place.provider, settlement.usage if used else None, settlement.cost, shows_usage
    )
    return Span(
        name=f"{operation} {deployment.model}",
        kind=Kind.INTERNAL if place.is_here else Kind.CLIENT,
        trace_id=trace.trace_id,
        span_id=attempt_span_id(trace, attempt.number),
        parent_id=trace.span_id,
        start_ns=start_ns,
        end_ns=_end_ns(call, start_ns + ns(settlement.duration_s)),
        attributes=attributes,
        error=None if failure is None else scrub(failure.message) or settlement.outcome,
        events=_events(call, attempt, attributes),
        told=told,
    )


def shows(wording: Wording, call: Call) -> bool:
    """Whether usage is said in words that backends add up."""
    if wording.usage is UsageShown.WHEN_ROOT:
        return call.trace.parent_id is None
    return wording.usage is UsageShown.ALWAYS


def unix_ns(call: Call, loop_s: float) -> int:
    return call.received_at_ns + ns(loop_s - call.received_s)


def _end_ns(call: Call, end_ns: int) -> int:
    """The winner is let go of when its call has ended, microseconds later; what goes on for longer does go on."""
    call_ended_ns = unix_ns(call, call.ended_s)
    return call_ended_ns if call_ended_ns < end_ns < call_ended_ns + _LETTING_GO_NS else end_ns


def _asked(call: Call, attempt: Attempt, operation: str, place: Place) -> dict[str, Value]:
    deployment, request = attempt.deployment, attempt.request or call.request
    attributes: dict[str, Value] = {
        Attr.OPERATION: operation,
        Attr.PROVIDER: place.provider,
        Attr.REQUEST_MODEL: deployment.model,
        Attr.REQUEST_STREAM: call.request.stream,
        Attr.DEPLOYMENT: deployment.name,
        Attr.PROVIDER_NAME: deployment.provider,
        Attr.ATTEMPT: attempt.number,
        Attr.ATTEMPT_KIND: attempt.kind.value,
    }
    if place.address is not None and place.port is not None:
        attributes[Attr.SERVER_ADDRESS] = place.address
        attributes[Attr.SERVER_PORT] = place.port
    add_request(attributes, request)
    return attributes


def _events(call: Call, attempt: Attempt, attributes: dict[str, Value]) -> tuple[Event, ...]:
    if attempt.first_token_s is None:
        return ()
    attributes[Attr.FIRST_CHUNK_S] = attempt.first_token_s - attempt.started_s
    return (Event(Happened.FIRST_CHUNK, unix_ns(call, attempt.first_token_s)),)


def _add_answer(attributes: dict[str, Value], call: Call, settlement: Settlement) -> None:
    attempt = settlement.attempt
    if settlement.outcome != OK:
        failure = attempt.failure
        status = failure.status if failure is not None else None
        attributes[Attr.ERROR_TYPE] = str(status) if status is not None else settlement.outcome
        if status is not None:
            attributes[Attr.HTTP_STATUS] = status
    if attempt.tally is not None:
        _add_tally(attributes, attempt.tally)
        if Attr.FINISH_REASONS not in attributes and _broke_off(call, attempt):
            attributes[Attr.FINISH_REASONS] = (ENDED_EARLY,)
    if (had_us := gpu_us(attempt)) is not None:
        attributes[Attr.GPU_S] = had_us / MICRO


def _broke_off(call: Call, attempt: Attempt) -> bool:
    has_begun = attempt.first_token_s is not None or (attempt.tally is not None and bool(attempt.tally.text))
    return call.request.stream and has_begun and (attempt.failure is not None or attempt.cancelled)


def _add_tally(attributes: dict[str, Value], tally: Tally) -> None:
    if tally.id:
        attributes[Attr.RESPONSE_ID] = printable(tally.id)
    if tally.model:
        attributes[Attr.RESPONSE_MODEL] = printable(tally.model)
    if tally.finish_reasons:
        attributes[Attr.FINISH_REASONS] = tuple([printable(reason) for reason in tally.finish_reasons[:_REASONS_MAX]])
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
