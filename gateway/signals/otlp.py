"""Plain spans in OTLP's protobuf, posted with gzip. Needs the `otlp` extra; `span_export` imports it when asked to.

The messages are filled in directly: the SDK's own span objects and their encoder take five times as long, all of it
while the event loop waits for the interpreter's lock. A test holds what is made here to what the SDK makes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from gateway.signals.otlp_posting import deliver, resource_of
from gateway.signals.posting import Poster
from gateway.signals.span_values import Kind
from gateway.signals.telemetry import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.signals.sending import Sent
    from gateway.signals.span_values import Span, Value

_KINDS: Final = {
    Kind.SERVER: ProtoSpan.SPAN_KIND_SERVER,
    Kind.CLIENT: ProtoSpan.SPAN_KIND_CLIENT,
    Kind.INTERNAL: ProtoSpan.SPAN_KIND_INTERNAL,
}
_SAMPLED: Final = 1
_LOCAL_PARENT: Final = 0x100 | _SAMPLED
_REMOTE_PARENT: Final = 0x300 | _SAMPLED
_SPANS_AT_A_TIME: Final = 32
_PAUSE_S: Final = 0.0005


class OtlpSender:
    """One receiver's traces."""

    def __init__(self, url: str, headers: Mapping[str, str], version: str, timeout_s: float) -> None:
        self._poster = Poster(url, headers, timeout_s)
        self._resource = resource_of(version)
        self._version = version

    def send(self, spans: list[Span]) -> Sent:
        """What became of them. Blocks."""
        return deliver(self._poster, self.encode(spans).SerializeToString(), len(spans), _rejected)

    def close(self) -> None:
        self._poster.close()

    def encode(self, spans: list[Span]) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        _fill(of_resource.resource.attributes, dict(self._resource.attributes))  # type: ignore[arg-type]  # theirs
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name, of_scope.scope.version = SERVICE, self._version
        for count, span in enumerate(spans, 1):
            _fill_span(of_scope.spans.add(), span)
            if count % _SPANS_AT_A_TIME == 0:
                time.sleep(_PAUSE_S)  # the event loop wants the interpreter, too
        return request


def _fill_span(made: ProtoSpan, span: Span) -> None:
    made.trace_id, made.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    made.flags = _LOCAL_PARENT
    if span.parent_id is not None:
        made.parent_span_id = bytes.fromhex(span.parent_id)
        made.flags = _REMOTE_PARENT if span.kind is Kind.SERVER else _LOCAL_PARENT
    made.name, made.kind = span.name, _KINDS[span.kind]
    made.start_time_unix_nano, made.end_time_unix_nano = span.start_ns, span.end_ns
    _fill(made.attributes, span.attributes)
    for event in span.events:
        told = made.events.add(name=event.name, time_unix_nano=event.at_ns)
        if event.attributes:
            _fill(told.attributes, event.attributes)
    for link in span.links:
        made.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id), flags=_REMOTE_PARENT)
    made.status.SetInParent()  # unset is said, too
    if span.error is not None:
        made.status.code, made.status.message = Status.STATUS_CODE_ERROR, span.error


def _fill(attributes: Any, values: Mapping[str, Value]) -> None:  # noqa: ANN401 - protobuf's own has no stubs
    add = attributes.add
    for key, value in values.items():
        told, kind = add(key=key).value, type(value)
        if kind is str:
            told.string_value = value
        elif kind is bool:
            told.bool_value = value
        elif kind is int:
            told.int_value = value
        elif kind is float:
            told.double_value = value
        elif isinstance(value, tuple):
            told.array_value.SetInParent()
            for item in value:
                if isinstance(item, str):
                    told.array_value.values.add(string_value=item)
                else:
                    told.array_value.values.add(double_value=item)
        else:
            told.string_value = str(value)  # a str of a kind of its own, such as an enum's


def _rejected(body: bytes) -> int:
    return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
