"""What the cache answers and saves, and whether its error budget holds."""

from __future__ import annotations

from typing import Final

from dashboards.boards import cache_answers, cache_right
from dashboards.boards.moments import CHANGES
from dashboards.building.values import Board, Variable

BOARD: Final = Board(
    uid="pointsman-cache",
    title="Pointsman / Cache",
    about="What the cache answers and saves, why it does not answer, and whether its answers are right.",
    rows=(*cache_answers.ROWS, *cache_right.ROWS),
    variables=(Variable("route", "route", "pointsman_cache_requests_total", "Routes that have a cache."),),
    notes=CHANGES,
    tags=("cost",),
)
