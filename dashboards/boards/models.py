"""Which provider, deployment or credential fails or is slow, and where its calls go meanwhile."""

from __future__ import annotations

from typing import Final

from dashboards.boards import models_health, models_speed
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Variable

BOARD: Final = Board(
    uid="pointsman-models",
    title="Pointsman / Models and providers",
    about="Which provider, deployment or credential fails or is slow, and where its calls go meanwhile.",
    rows=(*models_health.ROWS, *models_speed.ROWS),
    variables=(
        Variable("provider", "provider", "pointsman_upstream_attempts_total", "Companies and servers."),
        Variable("model", "model", "pointsman_upstream_attempts_total", "Models, as providers name them."),
        Variable("deployment", "deployment", "pointsman_upstream_attempts_total", "What is called."),
    ),
    notes=CHANGES,
    tags=("sre", "providers"),
)
