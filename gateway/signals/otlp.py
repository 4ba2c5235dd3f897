"""Plain spans as OpenTelemetry's SDK has them. Needs the `otlp` extra; `span_export` imports it when asked to."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.signals.telemetry import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.signals.spans import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpSender:
    """Encodes spans and posts them, with the exporter's own retries on a collector that is briefly away."""

    def __init__(self, url: str, headers: Mapping[str, str], version: str, timeout_s: float) -> None:
        self._exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=timeout_s)
        instance = f"{socket.gethostname()}:{os.getpid()}"
        self._resource = Resource(
            {"service.name": SERVICE, "service.version": version, "service.instance.id": instance}
        )
        self._scope = InstrumentationScope(SERVICE, version)

    def send(self, spans: list[Span]) -> bool:
        """True when the collector took them. Blocks."""
        result = self._exporter.export([self.build(span) for span in spans])
        return result is SpanExportResult.SUCCESS

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # theirs

    def build(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent: SpanContext | None = None
        if span.parent_id is not None:
            parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=span.is_server, trace_flags=_SAMPLED)
        return ReadableSpan(
            span.name,
            context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(name, timestamp=at_ns) for name, at_ns in span.events],
            kind=SpanKind.SERVER if span.is_server else SpanKind.CLIENT,
            status=Status(StatusCode.ERROR, span.error) if span.error is not None else Status(StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )
