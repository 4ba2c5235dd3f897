from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from gateway.records.settlement import settle
from gateway.signals.conventions import Attr
from gateway.signals.otlp import OtlpSender
from gateway.signals.sending import Sent
from gateway.signals.spans import spans_of
from policies.vocabulary import Failure, FailureKind, Usage
from tests.gateway.calls import attempt, call
from tests.gateway.otlp_receiver import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue


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
