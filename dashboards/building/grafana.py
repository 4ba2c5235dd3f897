"""A board as the JSON that Grafana 10 to 13 read: the classic model, schemaVersion 42.

Three traps of Foundation SDK 0.0.21 are met here: legends are off unless asked for (`panel_options`), panels come
without an `id`, and variables carry keys of intervals, which Grafana's own types refuse.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

from dashboards.building.choices import links, moments, variables
from dashboards.building.fields import field_config, field_links
from dashboards.building.panel_options import made
from dashboards.building.tables import transformations
from dashboards.building.targets import target
from dashboards.building.values import Show, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.building.values import Board, Panel, Row

COLUMNS: Final = 24
IDS_A_ROW: Final = 100
_OF_INTERVALS: Final = ("auto", "auto_count", "auto_min")
Json = dict[str, Any]


def written(board: Board) -> str:
    """The text of the board's file; the same for the same board."""
    return json.dumps(as_json(board), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_json(board: Board) -> Json:
    """The board as Grafana's provisioning reads it."""
    model = dashboard.Dashboard(
        uid=board.uid,
        title=board.title,
        description=board.about,
        tags=["pointsman", *board.tags],
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime(from_val=board.since, to="now"),
        timepicker=dashboard.TimePickerConfig(refresh_intervals=["10s", "30s", "1m", "5m", "15m", "1h"]),
        refresh=board.refresh,
        templating=dashboard.DashboardDashboardTemplating(variables(board)),
        annotations=dashboard.AnnotationContainer(moments(board)),
        links=links(board),
    )
    told = _plain(model)
    for variable in told["templating"]["list"]:
        for key in _OF_INTERVALS:
            variable.pop(key, None)
    told["panels"] = list(_laid_out(board))
    return told


def _plain(model: object) -> Json:
    """What the SDK would write, as Python reads it."""
    told: Json = json.loads(json.dumps(model, cls=JSONEncoder))
    return told


def _laid_out(board: Board) -> Iterator[Json]:
    """Rows below each other. A panel's id comes of its row's, so that others keep theirs when one comes between."""
    top = 0
    for number, row in enumerate(board.rows):
        heading = dashboard.RowPanel(
            title=row.title,
            collapsed=row.folded,
            id_val=number * IDS_A_ROW + 1,
            grid_pos=dashboard.GridPos(h=1, w=COLUMNS, x=0, y=top),
            panels=[],
        )
        placed, top = _placed(board, row, number, top + 1)
        told = _plain(heading)
        told["panels"] = placed if row.folded else []
        yield told
        if not row.folded:
            yield from placed


def _placed(board: Board, row: Row, number: int, top: int) -> tuple[list[Json], int]:
    """The row's panels from left to right, a new line where one does not fit; and where the next row begins."""
    placed: list[Json] = []
    left = tallest = 0
    for index, panel in enumerate(row.panels):
        if left + panel.width > COLUMNS:
            top, left, tallest = top + tallest, 0, 0
        told = _panel(board, panel)
        told["id"] = number * IDS_A_ROW + 2 + index
        told["gridPos"] = {"h": panel.height, "w": panel.width, "x": left, "y": top}
        left, tallest = left + panel.width, max(tallest, panel.height)
        placed.append(told)
    return placed, top + tallest


def _panel(board: Board, panel: Panel) -> Json:
    model = made(panel)
    model.title, model.description = panel.title, panel.about
    if panel.show is Show.TEXT:
        return _plain(model)
    source = panel.queries[0].source
    model.datasource = common.DataSourceRef(type_val=source.value, uid=f"${{{source.variable}}}")
    model.targets = [target(board, panel, index) for index in range(len(panel.queries))]
    model.transformations = transformations(panel)
    model.field_config = field_config(panel, model.field_config)
    if panel.show is not Show.TABLE and source is Source.PROMETHEUS:
        model.max_data_points = 500
    told = _plain(model)
    if panel.links:
        told["fieldConfig"]["defaults"]["links"] = field_links(panel.links)
    told.pop("repeatDirection", None)  # without `repeat` it says nothing
    told["options"].pop("footer", None)  # of tables: Grafana 13 keeps it elsewhere
    return told
