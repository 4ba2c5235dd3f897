"""What a run leaves for its pictures: Prometheus's data, log lines, spans. Kept on disk, they can be drawn again."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.observed.asking import written_out
from tests.observed.kept_spans import chosen
from tests.observed.lines import selected, summed
from tests.observed.prometheus_server import prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.observed.lines import Found
    from tests.observed.prometheus_server import Prometheus, Series
    from tests.observed.scene import Observed

Json = dict[str, Any]
SCRAPED_EVERY_S: Final = 5.0
RATE_INTERVAL_S: Final = round(4 * SCRAPED_EVERY_S)  # as Grafana reckons it
POINTS: Final = 300
LOG_BARS: Final = 60
_RUN: Final = "run.json"


class Answers:
    """Answers the targets of panels over the time of the run."""

    def __init__(self, server: Prometheus, run: Json) -> None:
        self.span: tuple[float, float] = (run["start_s"], run["end_s"])
        self._server = server
        self._lines: list[Json] = run["lines"]
        self._requests = [ExportTraceServiceRequest.FromString(base64.b64decode(text)) for text in run["traces"]]

    def step_s(self, target: Json) -> float:
        """From one point of a series to the next."""
        span_s = self.span[1] - self.span[0]
        return span_s / LOG_BARS if _kind(target) == "loki" else max(1.0, span_s / POINTS)

    def series(self, target: Json) -> list[Series]:
        start_s, end_s = self.span
        if _kind(target) == "loki":
            text = self._written(target["expr"], auto="[$__auto]")
            return summed(self._lines, text, self.span, self.step_s(target))
        text = self._written(target["expr"])
        if target.get("instant"):
            return self._server.instant(text, end_s)
        return self._server.ranged(text, start_s, end_s, self.step_s(target))

    def lines(self, target: Json) -> list[Found]:
        return selected(self._lines, self._written(target["expr"]))

    def spans(self, target: Json) -> list[Span]:
        return chosen(self._requests, self._written(target["query"]))

    def _written(self, expr: str, *, auto: str | None = None) -> str:
        """With all choices at All, and nothing to find in the box for text."""
        expr = expr.replace('|= "$text"', "")
        mark = "range-of-a-bar"
        told = written_out(
            expr.replace("[$__auto]", mark) if auto else expr,
            self.span[1] - self.span[0],
            rate_interval_s=RATE_INTERVAL_S,
        )
        return told.replace(mark, auto) if auto else told


def told(seen: Observed, seconds: float) -> Json:
    """The run as it can be written down; its pictures show the traffic without what came after its end."""
    return {
        "start_s": seen.start_s,
        "end_s": seen.start_s + seconds,
        "lines": seen.lines,
        "traces": [base64.b64encode(one.SerializeToString()).decode() for one in seen.collector.requests],
    }


def keep(folder: Path, run: Json) -> None:
    (folder / _RUN).write_text(json.dumps(run))


@asynccontextmanager
async def again(folder: Path) -> AsyncIterator[Answers]:
    """What was kept in the folder, asked once more."""
    run = json.loads((folder / _RUN).read_text())
    async with prometheus(folder) as server:
        yield Answers(server, run)


def _kind(target: Json) -> str:
    return str((target.get("datasource") or {}).get("type", "prometheus"))
