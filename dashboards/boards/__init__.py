"""The boards, in the order in which somebody on call opens them."""

from __future__ import annotations

from typing import Final

from dashboards.boards import cache, cost, limits, local, models, overview, traces

BOARDS: Final = (
    overview.BOARD,
    cost.BOARD,
    models.BOARD,
    cache.BOARD,
    limits.BOARD,
    local.BOARD,
    traces.BOARD,
)
