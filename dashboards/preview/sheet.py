"""A whole board as one picture, in the layout of its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dashboards.preview.canvas import Box, Canvas
from dashboards.preview.looks import FAINT, TEXT
from dashboards.preview.panels import draw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dashboards.preview.panels import Show

Json = dict[str, Any]
COLUMNS: Final = 24
WIDTH_PX: Final = 1600
EDGE_PX: Final = 12
HEAD_PX: Final = 58
CELL_PX: Final = 30
GAP_PX: Final = 8
SAYS: Final = "preview drawn with matplotlib from a test run's Prometheus; not a picture of Grafana"


def draw_board(board: Json, show: Show, file: Path, rows: int | None = None) -> list[str]:
    """Writes the picture, of so many rows if not of all; the titles of panels that had no data."""
    panels = list(_first(_unfolded(board["panels"]), rows))
    cells = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    canvas = Canvas(WIDTH_PX, HEAD_PX + cells * (CELL_PX + GAP_PX) + EDGE_PX)
    canvas.text(EDGE_PX + 4, 22, f"Pointsman  /  {board['title'].removeprefix('Pointsman / ')}", px=19, at="left bold")
    canvas.text(EDGE_PX + 4, 44, canvas.fitted(board.get("description", ""), 12, WIDTH_PX * 0.62), px=12, colour=FAINT)
    canvas.text(WIDTH_PX - EDGE_PX, 22, SAYS, px=12, colour="#ff9830", at="right")
    empty = []
    for panel in panels:
        box = _box(panel["gridPos"])
        if panel["type"] == "row":
            canvas.text(box.x + 2, box.y + CELL_PX / 2, f"⌄  {panel['title']}", px=15, colour=TEXT, at="left bold")
        elif not draw(canvas, box, panel, show):
            empty.append(panel["title"])
    canvas.save(file)
    return empty


def _unfolded(panels: list[Json]) -> Iterator[Json]:
    """All panels, those of folded rows below their heading as if somebody had opened it."""
    shift = 0
    for panel in panels:
        yield _moved(panel, shift)
        inside = panel.get("panels") or []
        if panel["type"] == "row" and inside:
            top = panel["gridPos"]["y"] + 1
            lowest = min(one["gridPos"]["y"] for one in inside)
            for one in inside:
                yield _moved(one, shift + top - lowest)
            shift += max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in inside) - lowest


def _first(panels: Iterator[Json], rows: int | None) -> Iterator[Json]:
    for panel in panels:
        if panel["type"] == "row" and rows is not None:
            if not rows:
                return
            rows -= 1
        yield panel


def _moved(panel: Json, cells: int) -> Json:
    return panel | {"gridPos": panel["gridPos"] | {"y": panel["gridPos"]["y"] + cells}}


def _box(place: Json) -> Box:
    column = (WIDTH_PX - 2 * EDGE_PX + GAP_PX) / COLUMNS
    return Box(
        EDGE_PX + place["x"] * column,
        HEAD_PX + place["y"] * (CELL_PX + GAP_PX),
        place["w"] * column - GAP_PX,
        place["h"] * (CELL_PX + GAP_PX) - GAP_PX,
    )
