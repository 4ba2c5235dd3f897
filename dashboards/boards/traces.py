"""Single requests: what each did, took and cost, and the trace of any of them in one click."""

from __future__ import annotations

from typing import Final

from dashboards.boards import traces_requests, traces_trends
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Box, Source, Variable

BOARD: Final = Board(
    uid="pointsman-traces",
    title="Pointsman / Traces and logs",
    about="Single requests: what each did, took and cost, and the trace of any of them in one click.",
    rows=(*traces_trends.ROWS, *traces_requests.ROWS),
    variables=(
        Variable("route", "route", "pointsman_requests_total", "Public models, by the route that serves them."),
        Variable("deployment", "deployment", "pointsman_upstream_attempts_total", "What was called."),
        Variable("team", "team", "pointsman_team_requests_total", "Teams; requests without one show under all."),
        Variable("outcome", "outcome", "pointsman_requests_total", "How requests ended."),
    ),
    boxes=(Box("text", "Find", "A request id that a caller quotes, a trace id, or any other text of the line."),),
    sources=(Source.PROMETHEUS, Source.LOKI, Source.TEMPO),
    notes=CHANGES,
    since="now-1h",
    tags=("traces",),
)
