"""A board's query as Grafana would send it over a run: its variables filled, over the time shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.observed.prometheus_server import Prometheus, Series

RATE_INTERVAL_S = 15
STEP_S = 2
ANYTHING = ".*"
VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::\w+)?\}|\$(?P<plain>\w+)")


def written_out(
    expr: str, span_s: float, chosen: Mapping[str, str] | None = None, *, rate_interval_s: int = RATE_INTERVAL_S
) -> str:
    """`expr` without variables: `chosen` ones as chosen, every other as All."""
    known = {
        "__rate_interval": f"{rate_interval_s}s",
        "__interval": f"{STEP_S}s",
        "__auto": f"{STEP_S}s",
        "__range": f"{round(span_s)}s",
        "__range_s": f"{round(span_s)}",
        "__interval_ms": f"{STEP_S * 1000}",
        "__range_ms": f"{round(span_s * 1000)}",
    }

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["plain"]
        if name.startswith("__"):
            return known[name]
        return re.escape(chosen[name]) if chosen and name in chosen else ANYTHING

    return VARIABLE.sub(value, expr).replace("\\", "\\\\")


def answered(server: Prometheus, expr: str, span: tuple[float, float], *, instant: bool) -> list[Series]:
    """The answer to a query that is written out: at the end of the span, or over all of it."""
    if instant:
        return server.instant(expr, span[1])
    return server.ranged(expr, span[0], span[1], STEP_S)


def has_data(found: list[Series]) -> bool:
    return any(series.finite for series in found)
