"""What a panel's queries answer, as Grafana would hand it to the panel: named series, or rows of a table.

A board's JSON is read as it stands in `dashboards/json/`; nothing here knows how it was made.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.observed.prometheus_server import Series

Json = dict[str, Any]
_LABEL: Final = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


class Asks(Protocol):
    """Whoever answers queries for the time shown."""

    def __call__(self, expr: str, *, instant: bool) -> list[Series]: ...


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
        for series in ask(target["expr"], instant=bool(target.get("instant"))):
            times, values = [time for time, _ in series.points], [value for _, value in series.points]
            found.append(Frame(_name(target, series.labels), series.labels, times, values))
    return [frame for frame in found if frame.finite]


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
    match calc:
        case "mean":
            return sum(known) / len(known)
        case "max":
            return max(known)
        case "min":
            return min(known)
        case "sum":
            return sum(known)
        case "first" | "firstNotNull":
            return known[0]
        case "delta" | "diff":
            return known[-1] - known[0]
        case _:
            return known[-1]


def rows_of(panel: Json, ask: Asks) -> list[dict[str, Any]]:
    """The rows of a table: the answers of all queries, merged by what labels they share, one column for each query."""
    targets = panel.get("targets", ())
    rows: list[dict[str, Any]] = []
    for target in targets:
        column = "Value" if len(targets) == 1 else f"Value #{target['refId']}"
        for series in ask(target["expr"], instant=bool(target.get("instant", True))):
            if not series.finite:
                continue
            labels = {name: value for name, value in series.labels.items() if name != "__name__"}
            same = [row for row in rows if column not in row and _agree(row, labels)]
            for row in same:
                row.update(labels, **{column: series.last})
            if not same:
                rows.append({**labels, column: series.last, "Time": series.points[-1][0]})
    return rows


def _agree(row: dict[str, Any], labels: dict[str, str]) -> bool:
    shared = row.keys() & labels.keys()
    return bool(shared) and all(row[name] == labels[name] for name in shared)
