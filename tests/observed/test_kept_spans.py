"""TraceQL over spans: what it finds, and that nothing unknown is passed over."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.observed.kept_spans import chosen


@pytest.fixture(scope="module")
def requests() -> list[ExportTraceServiceRequest]:
    """A server's span that failed and took two seconds, and a client's that cost something."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "pointsman"
    spans = of_resource.scope_spans.add().spans
    failed = spans.add(name="POST /v1", kind=Span.SPAN_KIND_SERVER, end_time_unix_nano=2_000_000_000)
    failed.status.code = Status.STATUS_CODE_ERROR
    failed.attributes.add(key="moved").value.bool_value = True
    spans.add(name="chat", kind=Span.SPAN_KIND_CLIENT).attributes.add(key="cost").value.double_value = 0.5
    return [request]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('{ resource.service.name = "pointsman" }', ["POST /v1", "chat"]),
        ('{ resource.service.name = "other" }', []),
        ("{ kind = server && status = error }", ["POST /v1"]),
        ("{ duration >= 2s }", ["POST /v1"]),
        ("{ duration > 2000ms }", []),
        ("{ span.moved = true }", ["POST /v1"]),
        ("{ span.cost >= 0.5 && kind != server }", ["chat"]),
        ("{ span.cost > 0.5 }", []),
    ],
)
def test_spans_are_found(requests: list[ExportTraceServiceRequest], query: str, names: list[str]) -> None:
    assert [span.name for span in chosen(requests, query)] == names


@pytest.mark.parametrize("query", ["kind = server", "{ kind = server || status = error }", "{ kind =~ server }"])
def test_what_is_not_understood_is_refused(requests: list[ExportTraceServiceRequest], query: str) -> None:
    with pytest.raises(ValueError, match="understood"):
        chosen(requests, query)
