"""Every question that the boards ask, as whoever proves them needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboards.boards import BOARDS
from dashboards.building.filters import filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.building.values import Show, Source


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel, its filters written out and its variables not. `empty`: why it may have no data."""

    board: str
    panel: str
    number: int
    expr: str
    source: Source
    instant: bool
    show: Show
    empty: str | None


def queries() -> Iterator[PanelQuery]:
    """All queries of all panels, board by board."""
    for board in BOARDS:
        for panel in board.panels():
            for number, query in enumerate(panel.queries):
                expr = filled(query.expr, board.variables)
                yield PanelQuery(
                    board.uid, panel.title, number, expr, query.source, query.instant, panel.show, query.empty
                )
