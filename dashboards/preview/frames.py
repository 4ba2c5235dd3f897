"""What a panel's queries answer, as Grafana would hand it to the panel: named series, or rows of a table.

A board's JSON is read as it stands in `dashboards/json/`; nothing here knows how it was made.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from dashboards.preview.units import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.observed.lines import Found
    from tests.observed.prometheus_server import Series

Json = dict[str, Any]
_CALCULATIONS: Final[dict[str, Callable[[list[float]], float]]] = {
    "lastNotNull": lambda known: known[-1],
    "last": lambda known: known[-1],
    "mean": lambda known: sum(known) / len(known),
    "max": max,
    "min": min,
    "sum": sum,
}
_LABEL: Final = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


class Asks(Protocol):
    """Whoever answers a panel's targets for the time shown."""

    def series(self, target: Json) -> list[Series]: ...

    def step_s(self, target: Json) -> float: ...

    def lines(self, target: Json) -> list[Found]: ...

    def spans(self, target: Json) -> list[Span]: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One named series."""

    name: str
    labels: dict[str, str]
    times: list[float]
    values: list[float]

    @property
    def finite(self) -> list[float]:
        return [value for value in self.values if math.isfinite(value)]


def frames_of(panel: Json, ask: Asks) -> list[Frame]:
    """Every series of every query, named by its legend."""
    found = []
    for target in panel.get("targets", ()):
        for series in ask.series(target):
            points = list(_with_gaps(series.points, ask.step_s(target)))
            times, values = [time for time, _ in points], [value for _, value in points]
            found.append(Frame(_name(target, series.labels), series.labels, times, values))
    return [frame for frame in found if frame.finite]


def _with_gaps(points: Sequence[tuple[float, float]], step_s: float) -> Iterator[tuple[float, float]]:
    """The points, and none at all (NaN) where some are missing, so that no line bridges what nobody said."""
    before_s: float | None = None
    for time_s, value in points:
        if before_s is not None and time_s - before_s > 1.5 * step_s:
            yield before_s + step_s, math.nan
        yield time_s, value
        before_s = time_s


def _name(target: Json, labels: dict[str, str]) -> str:
    legend = target.get("legendFormat") or ""
    if legend and legend != "__auto":
        return _LABEL.sub(lambda found: labels.get(found[1], ""), legend)
    shown = {name: value for name, value in labels.items() if name != "__name__"}
    if len(shown) == 1:
        return next(iter(shown.values()))
    inside = ", ".join(f'{name}="{value}"' for name, value in sorted(shown.items()))
    return labels.get("__name__", "") + (f"{{{inside}}}" if inside else "") or "Value"


def reduced(values: Sequence[float], calc: str) -> float:
    """One number of a series, as Grafana's calculations have it."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return math.nan
    return _CALCULATIONS[calc](known)


def rows_of(panel: Json, ask: Asks) -> list[dict[str, Any]]:
    """The rows of a table: the answers of all queries, merged by what labels they share, one column for each query."""
    targets = panel.get("targets", ())
    if kind_of(panel) == "loki":
        return [_row_of_line(panel, found) for found in reversed(ask.lines(targets[0]))]
    if kind_of(panel) == "tempo":
        return [_row_of_span(span) for span in reversed(ask.spans(targets[0]))]
    rows: list[dict[str, Any]] = []
    for target in targets:
        column = "Value" if len(targets) == 1 else f"Value #{target['refId']}"
        for series in ask.series(target):
            if not series.finite:
                continue
            labels = {name: value for name, value in series.labels.items() if name != "__name__"}
            same = [row for row in rows if column not in row and _agree(row, labels)]
            for row in same:
                row.update(labels, **{column: series.last})
            if not same:
                rows.append({**labels, column: series.last, "Time": series.points[-1][0]})
    return rows


def kind_of(panel: Json) -> str:
    """Of which kind the panel's datasource is."""
    return str((panel.get("datasource") or {}).get("type", "prometheus"))


def _row_of_line(panel: Json, found: Found) -> Json:
    """What a query took from a line; texts become numbers where the panel converts them."""
    row: Json = dict(found.labels)
    for step in panel.get("transformations") or ():
        for conversion in step["options"].get("conversions", ()):
            name = conversion["targetField"]
            if conversion["destinationType"] == "number" and row.get(name):
                row[name] = float(row[name])
    return row


def _row_of_span(span: Span) -> Json:
    """As Grafana shows what Tempo found."""
    began = datetime.fromtimestamp(span.start_time_unix_nano / 1e9, UTC)
    took_s = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    return {
        "Trace ID": span.trace_id.hex()[:16],
        "Start time": f"{began:%H:%M:%S}",
        "Name": span.name,
        "Duration": written(took_s, "s"),
    }


def _agree(row: dict[str, Any], labels: dict[str, str]) -> bool:
    shared = row.keys() & labels.keys()
    return bool(shared) and all(row[name] == labels[name] for name in shared)
