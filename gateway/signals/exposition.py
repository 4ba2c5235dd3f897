"""The text of a scrape: Prometheus 0.0.4, or OpenMetrics with exemplars where the scraper asks for it.

What stands before a number is written once and kept, which is nearly all of a scrape: the thread that renders holds the
interpreter, and so the event loop, for a tenth of the time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.signals.metrics import FamilySnapshot, HistogramValue, as_scraped
from gateway.signals.telemetry import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.signals.metrics import Labels

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Beginnings = tuple[str, ...]
FORGOTTEN_ABOVE: Final = 1_000
LINES_AT_ONCE: Final = 1_500
NEW_COSTS: Final = 5
"""A line that is written for the first time takes as long as so many others."""
REST_S: Final = 0.0002


class Numbers(Protocol):
    """What can be scraped: a registry, or several workers' numbers."""

    def copied(self) -> list[FamilySnapshot]:
        """Numbers at this moment. Belongs to the event loop."""

    def finished(self, copied: list[FamilySnapshot]) -> list[FamilySnapshot]:
        """All of them, each family once, by name. Belongs to a thread."""


class Scrapes:
    """Answers scrapes of one set of numbers. Those that come while one is being rendered get that one's text."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._running: dict[str, asyncio.Task[bytes]] = {}
        self._renderer = Renderer(rest=_rest)

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for an Accept header."""
        content_type = OPENMETRICS if "application/openmetrics-text" in accept.lower() else PROMETHEUS
        task = self._running.get(content_type)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(self._render, self._numbers.copied(), content_type))
            self._running[content_type] = task
            task.add_done_callback(lambda _: self._running.pop(content_type))
        return content_type, await asyncio.shield(task)

    def _render(self, copied: list[FamilySnapshot], content_type: str) -> bytes:
        return self._renderer.text(self._numbers.finished(copied), content_type)


def _rest() -> None:
    time.sleep(REST_S)


def _no_rest() -> None:
    """Where nobody waits for the interpreter."""


class Renderer:
    """Writes expositions. It may be used by two threads at once. `rest` is called after every fraction of a millisecond
    of work: whoever holds the interpreter for five of them is asked for it only then.
    """

    def __init__(self, rest: Callable[[], None] = _no_rest) -> None:
        self._known: dict[tuple[str, Labels], Beginnings] = {}
        self._rest = rest

    def text(self, snapshots: Iterable[FamilySnapshot], content_type: str = PROMETHEUS) -> bytes:
        """The exposition text of `snapshots`."""
        is_openmetrics = content_type == OPENMETRICS
        lines: list[str] = []
        children = 0
        for snapshot in map(as_scraped, snapshots):
            children += len(snapshot.values)
            self._write(snapshot, lines, is_openmetrics=is_openmetrics)
        if is_openmetrics:
            lines.append("# EOF")
        if len(self._known) > 2 * children + FORGOTTEN_ABOVE:  # most of it is of series that are gone
            self._known = {}
        lines.append("")
        return "\n".join(lines).encode()

    def _write(self, snapshot: FamilySnapshot, lines: list[str], *, is_openmetrics: bool) -> None:
        family = snapshot.family
        # OpenMetrics names a counter's family without its suffix, Prometheus with it.
        title = family.name.removesuffix("_total") if is_openmetrics and family.kind is Kind.COUNTER else family.name
        lines += (f"# HELP {title} {family.help}", f"# TYPE {title} {family.kind.value}")
        name, known, scale = family.name, self._known, family.scale
        rests_at = len(lines) + LINES_AT_ONCE
        for labels, value in snapshot.values:
            before = known.get((name, labels))
            if before is None:
                before = known[name, labels] = _beginnings(family, labels)
                rests_at -= NEW_COSTS * family.series_each
            if len(lines) >= rests_at:
                self._rest()
                rests_at = len(lines) + LINES_AT_ONCE
            if isinstance(value, HistogramValue):
                _write_histogram(before, value, lines, with_exemplars=is_openmetrics)
            else:
                # The plus makes a number of a bool.
                lines.append(before[0] + (repr(+value) if scale == 1 else _scaled(value, scale)))


def render(snapshots: Iterable[FamilySnapshot], content_type: str = PROMETHEUS) -> bytes:
    """The exposition text of `snapshots`, for once."""
    return Renderer().text(snapshots, content_type)


def _write_histogram(before: Beginnings, value: HistogramValue, lines: list[str], *, with_exemplars: bool) -> None:
    reached = 0
    exemplars = value.exemplars if with_exemplars else {}
    for index, count in enumerate(value.counts):
        reached += count
        exemplar = exemplars.get(index) if exemplars else None
        tail = f' # {{trace_id="{exemplar[0]}"}} {exemplar[1]!r}' if exemplar else ""
        lines.append(f"{before[index]}{reached}{tail}")
    lines += (f"{before[-2]}{value.sum!r}", f"{before[-1]}{reached}")


def _beginnings(family: Family, labels: Labels) -> Beginnings:
    """All that stands before the numbers of one child: a line's worth for each of its series."""
    pairs = [f'{name}="{_escape(text)}"' for name, text in zip(family.labels, labels, strict=True)]
    if family.kind is not Kind.HISTOGRAM:
        return (f"{family.name}{_braces(pairs)} ",)
    bounds = (*(repr(float(bound)) for bound in family.buckets), "+Inf")
    le = [_braces([*pairs, f'le="{bound}"']) for bound in bounds]
    ends = (f"{family.name}_sum{_braces(pairs)} ", f"{family.name}_count{_braces(pairs)} ")
    return (*(f"{family.name}_bucket{braces} " for braces in le), *ends)


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _scaled(value: float, scale: int) -> str:
    """Scaled integers are written out digit by digit: no rounding on the way out."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(int(value), scale)
    return f"{sign}{whole}.{part:0{len(str(scale)) - 1}d}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def series_count(snapshots: Iterable[FamilySnapshot]) -> int:
    """How many time series a scrape of `snapshots` yields: the number to keep under the budget."""
    return sum(snapshot.family.series_each * len(as_scraped(snapshot).values) for snapshot in snapshots)
