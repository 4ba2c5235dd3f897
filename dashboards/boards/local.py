"""Models on hardware of one's own: whether it is busy, whether it is full, and what a token really costs on it."""

from __future__ import annotations

from typing import Final

from dashboards.boards import local_engine, local_money
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Variable

BOARD: Final = Board(
    uid="pointsman-local",
    title="Pointsman / Local GPU",
    about="Models on hardware of one's own: is it busy, is it full, and what does a token really cost on it?",
    rows=(*local_money.ROWS, *local_engine.ROWS),
    variables=(
        Variable(
            "deployment",
            "deployment",
            "pointsman_local_(slots|gpu_seconds_total)",
            "Deployments on engines of one's own.",
        ),
        Variable("engine", "engine", "pointsman_local_tokens_total", "Bundled engines, by the name of their provider."),
    ),
    notes=CHANGES,
    tags=("cost", "local"),
)
