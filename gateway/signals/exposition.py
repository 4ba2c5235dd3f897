"""The text of a scrape: Prometheus 0.0.4, or OpenMetrics with exemplars where the scraper asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.signals.merged_metrics import to_wire
from gateway.signals.metrics import FamilySnapshot, HistogramValue
from gateway.signals.telemetry import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.signals.metrics import Registry

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
SNAPSHOT_PATH: Final = "/metrics/snapshot"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Scrapes:
    """Answers scrapes from one registry. Those that come while one is being rendered get that one's text."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for an Accept header."""
        content_type = OPENMETRICS if "application/openmetrics-text" in accept.lower() else PROMETHEUS
        task = self._running.get(content_type)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(render, self._registry.snapshot(), content_type))
            self._running[content_type] = task
            task.add_done_callback(lambda _: self._running.pop(content_type))
        return content_type, await asyncio.shield(task)

    def snapshot(self) -> bytes:
        """The numbers as a supervisor reads them."""
        return to_wire(self._registry.snapshot())


def render(snapshots: Iterable[FamilySnapshot], content_type: str = PROMETHEUS) -> bytes:
    """The exposition text of `snapshots`."""
    is_openmetrics = content_type == OPENMETRICS
    lines: list[str] = []
    for snapshot in snapshots:
        lines += _family(snapshot, is_openmetrics=is_openmetrics)
    if is_openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _family(snapshot: FamilySnapshot, *, is_openmetrics: bool) -> Iterator[str]:
    family = snapshot.family
    # OpenMetrics names a counter's family without its suffix, Prometheus with it.
    title = family.name.removesuffix("_total") if is_openmetrics and family.kind is Kind.COUNTER else family.name
    yield f"# HELP {title} {family.help}"
    yield f"# TYPE {title} {family.kind.value}"
    for labels, value in snapshot.values:
        pairs = [f'{name}="{_escape(text)}"' for name, text in zip(family.labels, labels, strict=True)]
        if isinstance(value, HistogramValue):
            yield from _histogram(family, pairs, value, with_exemplars=is_openmetrics)
        else:
            yield f"{family.name}{_braces(pairs)} {_number(value, family.scale)}"


def _histogram(family: Family, pairs: list[str], value: HistogramValue, *, with_exemplars: bool) -> Iterator[str]:
    reached = 0
    bounds = (*map(_bound, family.buckets), "+Inf")
    for index, (bound, count) in enumerate(zip(bounds, value.counts, strict=True)):
        reached += count
        le = f'le="{bound}"'
        exemplar = value.exemplars.get(index) if with_exemplars else None
        tail = f' # {{trace_id="{exemplar[0]}"}} {exemplar[1]!r}' if exemplar else ""
        yield f"{family.name}_bucket{_braces([*pairs, le])} {reached}{tail}"
    yield f"{family.name}_sum{_braces(pairs)} {value.sum!r}"
    yield f"{family.name}_count{_braces(pairs)} {reached}"


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _bound(bound: float) -> str:
    return repr(float(bound))


def _number(value: float, scale: int) -> str:
    """The value in its exposed unit. Scaled integers are written out digit by digit: no rounding on the way out."""
    if scale == 1:
        return repr(+value)  # the plus makes a number of a bool
    whole, part = divmod(int(value), scale)
    return f"{whole}.{part:0{len(str(scale)) - 1}d}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def series_count(snapshots: Iterable[FamilySnapshot]) -> int:
    """How many time series a scrape of `snapshots` yields: the number to keep under the budget."""
    return sum(_per_child(snapshot.family) * len(snapshot.values) for snapshot in snapshots)


def _per_child(family: Family) -> int:
    return len(family.buckets) + 3 if family.kind is Kind.HISTOGRAM else 1
