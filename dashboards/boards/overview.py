"""Is the service well, and if not, is it us, the provider or the callers? What somebody on call opens first."""

from __future__ import annotations

from typing import Final

from dashboards.boards import overview_now, overview_process, overview_speed
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Variable

BOARD: Final = Board(
    uid="pointsman-overview",
    title="Pointsman / Overview",
    about="Is the service well, what changed, and is it us or the provider? For whoever is on call.",
    rows=(*overview_now.ROWS, *overview_speed.ROWS, *overview_process.ROWS),
    variables=(
        Variable("route", "route", "pointsman_requests_total", "Public models, by the route that serves them."),
    ),
    notes=CHANGES,
    tags=("sre",),
)
