"""Spans asked by TraceQL, as far as the boards speak it. There is no Tempo here; these are what a collector was sent.

What is not understood is refused, never passed over.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

TERM = re.compile(r'\s*(?P<name>[\w.]+)\s*(?P<op>>=|<=|!=|=|>|<)\s*(?P<value>"[^"]*"|[\w.]+)\s*')
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LENGTH = re.compile(r"([0-9.]+)(ns|us|ms|s|m|h)")
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
STATUSES = {Status.STATUS_CODE_ERROR: "error", Status.STATUS_CODE_OK: "ok", Status.STATUS_CODE_UNSET: "unset"}


def chosen(requests: Iterable[ExportTraceServiceRequest], query: str) -> list[Span]:
    """The spans that meet each of `{ this && that }`."""
    inside = query.strip()
    if not (inside.startswith("{") and inside.endswith("}")):
        raise ValueError(f"this is not understood: {query}")
    terms = [TERM.fullmatch(term) for term in inside[1:-1].split("&&")]
    if not all(terms):
        raise ValueError(f"this is not understood: {query}")
    return [span for span, known in _all(requests) if all(term is not None and _holds(term, known) for term in terms)]


def _all(requests: Iterable[ExportTraceServiceRequest]) -> Iterator[tuple[Span, dict[str, Any]]]:
    """Every span with what is known of it, by TraceQL's names."""
    for request in requests:
        for of_resource in request.resource_spans:
            outer = {f"resource.{name}": value for name, value in _values(of_resource.resource.attributes)}
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    inner = {f"span.{name}": value for name, value in _values(span.attributes)}
                    yield span, outer | inner | _intrinsics(span)


def _intrinsics(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "status": STATUSES[span.status.code],
        "duration": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    }


def _values(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Any]]:
    for one in attributes:
        yield one.key, getattr(one.value, one.value.WhichOneof("value") or "string_value")


def _holds(term: re.Match[str], known: dict[str, Any]) -> bool:
    told = known.get(term["name"])
    return told is not None and COMPARED[term["op"]](told, _literal(term["value"], told))


def _literal(text: str, told: object) -> Any:
    if text.startswith('"'):
        return text.strip('"')
    if isinstance(told, bool):
        return text == "true"
    if length := LENGTH.fullmatch(text):
        return float(length[1]) * SECONDS[length[2]]
    return float(text) if isinstance(told, int | float) else text
