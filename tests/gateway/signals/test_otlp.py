from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SdkLink
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace import Status as SdkStatus

from gateway.records.settlement import settle
from gateway.signals.conventions import Attr
from gateway.signals.otlp import OtlpSender
from gateway.signals.sending import Sent
from gateway.signals.span_values import Event, Kind, Link, Span
from gateway.signals.spans import spans_of
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import attempt, call
from tests.gateway.otlp_receiver import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.sdk.resources import Resource


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


def values(attributes: list[KeyValue]) -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in attributes}


def test_a_collector_gets_the_spans_as_we_meant_them(receiver: OtlpReceiver) -> None:
    sender = OtlpSender(f"{receiver.endpoint}/v1/traces", {"x-token": "t"}, "0.1.0", timeout_s=5)
    refused = attempt(failure=Failure(FailureKind.STATUS, "overloaded", status=529))
    finished = call(refused, attempt(Usage(100, 10), number=2, finish=("stop",), first_token_s=1000.05), stream=True)
    spans = spans_of(settle(finished))
    assert sender.send(spans) == Sent()
    sender.close()
    assert receiver.paths == ["/v1/traces"]
    assert receiver.headers[0]["x-token"] == "t"
    server, first, second = receiver.spans
    assert [server.kind, first.kind, second.kind] == [
        ProtoSpan.SPAN_KIND_SERVER,
        ProtoSpan.SPAN_KIND_CLIENT,
        ProtoSpan.SPAN_KIND_CLIENT,
    ]
    assert server.trace_id.hex() == finished.trace.trace_id
    assert server.span_id.hex() == finished.trace.span_id
    assert server.parent_span_id == b""
    assert second.parent_span_id == server.span_id
    assert (second.start_time_unix_nano, second.end_time_unix_nano) == (spans[2].start_ns, spans[2].end_ns)
    assert (first.status.code, first.status.message) == (Status.STATUS_CODE_ERROR, "overloaded")
    assert second.status.code == Status.STATUS_CODE_UNSET
    assert second.events[0].name == "pointsman.first_chunk"
    shown = values(list(second.attributes))
    assert (shown[Attr.INPUT_TOKENS], shown[Attr.COST_TOTAL], shown[Attr.ESTIMATED]) == (100, 0.00035, False)
    resource = values(list(receiver.requests[0].resource_spans[0].resource.attributes))
    assert (resource["service.name"], resource["service.version"]) == ("pointsman", "0.1.0")


def test_a_collector_that_refuses_is_told_of(receiver: OtlpReceiver) -> None:
    receiver.status = 400
    sender = OtlpSender(f"{receiver.endpoint}/v1/traces", {}, "0.1.0", timeout_s=5)
    spans = spans_of(settle(call(status=401, error_code="invalid_api_key")))
    assert sender.send(spans) == Sent(refused=1, why="status 400")
    sender.close()


def as_the_sdk_has_it(span: Span, resource: Resource) -> ReadableSpan:
    trace_id, sampled = int(span.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
    parent = None
    if span.parent_id is not None:
        is_remote = span.kind is Kind.SERVER
        parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=is_remote, trace_flags=sampled)
    links = [SpanContext(int(one.trace_id, 16), int(one.span_id, 16), is_remote=True) for one in span.links]
    return ReadableSpan(
        span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=sampled),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=[SdkEvent(one.name, one.attributes, one.at_ns) for one in span.events],
        links=[SdkLink(context) for context in links],
        kind=SpanKind[span.kind.name],
        status=SdkStatus(StatusCode.ERROR, span.error) if span.error is not None else SdkStatus(StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope("pointsman", "0.1.0"),
    )


IDS = st.tuples(st.integers(1, 2**128 - 1).map("{:032x}".format), st.integers(1, 2**64 - 1).map("{:016x}".format))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=3).map(tuple),
)
ATTRIBUTES = st.dictionaries(TEXT.filter(bool), VALUES, max_size=5)
TIMES = st.integers(0, 2**62)


@st.composite
def any_span(draw: st.DrawFn) -> Span:
    (trace_id, span_id), parent = draw(IDS), draw(st.none() | IDS)
    return Span(
        draw(TEXT.filter(bool)),
        draw(st.sampled_from(Kind)),
        trace_id,
        span_id,
        None if parent is None else parent[1],
        draw(TIMES),
        draw(TIMES),
        draw(ATTRIBUTES),
        draw(st.none() | TEXT.filter(bool)),
        tuple(Event(*one) for one in draw(st.lists(st.tuples(TEXT.filter(bool), TIMES, ATTRIBUTES), max_size=2))),
        tuple(Link(*one) for one in draw(st.lists(IDS, max_size=2))),
    )


@given(st.lists(any_span(), min_size=1, max_size=3))
def test_what_is_encoded_is_what_the_sdk_makes_of_the_same_spans(spans: list[Span]) -> None:
    """But for the sampled flag, which W3C's flags on spans have and the SDK leaves out."""
    sender = OtlpSender("http://127.0.0.1:1/v1/traces", {}, "0.1.0", timeout_s=5)
    ours, theirs = sender.encode(spans), encode_spans([as_the_sdk_has_it(one, sender._resource) for one in spans])
    for request in (ours, theirs):
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.flags &= ~1
            for link in span.links:
                link.flags &= ~1
    assert str(ours) == str(theirs)
