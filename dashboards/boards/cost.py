"""What is spent, by whom and on what, what a token costs, and whether the bill is right: for whoever pays."""

from __future__ import annotations

from typing import Final

from dashboards.boards import cost_spent, cost_trusted
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Variable

BOARD: Final = Board(
    uid="pointsman-cost",
    title="Pointsman / Cost and chargeback",
    about="What is spent, by whom and on what, what a token costs, what is saved, and whether to trust it.",
    rows=(*cost_spent.ROWS, *cost_trusted.ROWS),
    variables=(
        Variable("provider", "provider", "pointsman_upstream_attempts_total", "Companies and servers."),
        Variable("model", "model", "pointsman_upstream_attempts_total", "Models, as providers name them."),
        Variable("team", "team", "pointsman_team_requests_total", "Teams; `none` are keys without one."),
    ),
    notes=CHANGES,
    since="now-24h",
    refresh="1m",
    tags=("cost",),
)
