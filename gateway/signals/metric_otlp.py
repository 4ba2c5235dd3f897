"""Metrics in OTLP's protobuf, as they were copied for a scrape: sums since the process began, gauges, and histograms.

Those that OpenTelemetry has a name for are told under it as well, by what was asked for, which its names demand. Needs
the `otlp` extra; `metric_export` imports it when asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from gateway.signals.conventions import Attr, Semconv, metric_name, provider_name
from gateway.signals.metrics import HistogramValue, as_scraped
from gateway.signals.otlp_posting import deliver, resource_of
from gateway.signals.telemetry import OPERATION, SERVICE, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.signals.metrics import FamilySnapshot, Labels
    from gateway.signals.posting import Poster
    from gateway.signals.sending import Sent
    from gateway.signals.telemetry import Family

_UNITS: Final = {"seconds": "s", "bytes": "By", "usd": "{USD}", "ratio": "1", "tokens": "{token}"}
_TYPE: Final = "type"
_GENAI_LABELS: Final = {
    "provider": Attr.PROVIDER,
    "model": Attr.REQUEST_MODEL,
    "deployment": Attr.DEPLOYMENT,
    OPERATION: Attr.OPERATION,
}

Pairs = list[tuple[str, str]]


class OtlpMetrics:
    """One receiver's metrics. `since_ns` is when counting began."""

    def __init__(self, poster: Poster, version: str, semconv: Semconv, since_ns: int) -> None:
        self._poster = poster
        self._version = version
        self._semconv = semconv
        self._since_ns = since_ns
        self._resource = resource_of(version)

    def send(self, snapshots: list[FamilySnapshot], at_ns: int) -> Sent:
        """What became of them. Blocks."""
        points = sum(len(one.values) for one in snapshots)
        return deliver(self._poster, self.encode(snapshots, at_ns).SerializeToString(), points, _rejected)

    def close(self) -> None:
        self._poster.close()

    def encode(self, snapshots: Iterable[FamilySnapshot], at_ns: int) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        for key, value in self._resource.attributes.items():
            of_resource.resource.attributes.add(key=key).value.string_value = str(value)
        of_scope = of_resource.scope_metrics.add()
        of_scope.scope.name, of_scope.scope.version = SERVICE, self._version
        written = _Written(of_scope.metrics, (self._since_ns, at_ns), self._semconv)
        for snapshot in snapshots:
            written.add(snapshot)
        return request


class _Written:
    """Metrics by name, each once, with the points of all label sets."""

    def __init__(self, metrics: Any, span_ns: tuple[int, int], semconv: Semconv) -> None:  # noqa: ANN401 - no stubs
        self._metrics = metrics
        self._span_ns = span_ns
        self._semconv = semconv
        self._points: dict[str, Any] = {}

    def add(self, snapshot: FamilySnapshot) -> None:
        family = snapshot.family
        for labels, value in as_scraped(snapshot).values:
            pairs = [(name, text) for name, text in zip(family.labels, labels, strict=True) if text]
            self._point(family.name, family, value, pairs)
        for labels, value in snapshot.values:
            of_type = labels[family.labels.index(_TYPE)] if _TYPE in family.labels else ""
            named = metric_name(family.name, of_type, self._semconv)
            if named is not None:
                self._point(named.name, family, value, [*_genai(family, labels), *named.attributes])

    def _point(self, name: str, family: Family, value: float | HistogramValue, pairs: Pairs) -> None:
        points = self._points.get(name)
        if points is None:
            points = self._points[name] = self._begin(name, family)
        point = points.add(start_time_unix_nano=self._span_ns[0], time_unix_nano=self._span_ns[1])
        for key, text in pairs:
            point.attributes.add(key=key).value.string_value = text
        if isinstance(value, HistogramValue):
            _fill(point, family, value, self._span_ns[1])
        elif family.scale == 1 and isinstance(value, int):
            point.as_int = int(value)
        else:
            point.as_double = value / family.scale

    def _begin(self, name: str, family: Family) -> Any:  # noqa: ANN401 - protobuf's own has no stubs
        made = self._metrics.add(name=name, description=family.help, unit=_unit(family))
        if family.kind is Kind.GAUGE:
            return made.gauge.data_points
        kind = made.histogram if family.kind is Kind.HISTOGRAM else made.sum
        kind.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        if family.kind is Kind.COUNTER:
            kind.is_monotonic = True
        return kind.data_points


def _fill(point: Any, family: Family, value: HistogramValue, at_ns: int) -> None:  # noqa: ANN401 - as above
    point.bucket_counts.extend(value.counts)
    point.explicit_bounds.extend(family.buckets)
    point.count, point.sum = sum(value.counts), value.sum
    for trace_id, seen in value.exemplars.values():
        point.exemplars.add(trace_id=bytes.fromhex(trace_id), time_unix_nano=at_ns, as_double=seen)


def _genai(family: Family, labels: Labels) -> Pairs:
    found = [
        (_GENAI_LABELS[name], text)
        for name, text in zip(family.kept_labels, labels, strict=True)
        if name in _GENAI_LABELS
    ]
    return [(key, provider_name(text) if key == Attr.PROVIDER else text) for key, text in found]


def _unit(family: Family) -> str:
    words = family.name.removesuffix("_total").split("_")
    return next((_UNITS[word] for word in reversed(words) if word in _UNITS), "1")


def _rejected(body: bytes) -> int:
    return int(ExportMetricsServiceResponse.FromString(body).partial_success.rejected_data_points)
