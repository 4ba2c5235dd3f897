"""Queries as Grafana's datasources read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import common, loki, prometheus, tempo

from dashboards.building.filters import filled
from dashboards.building.values import Show, Source

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog import variants

    from dashboards.building.values import Board, Panel, Query

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_LINES: Final = 500
_MOST_TRACES: Final = 50


def ref_id(index: int) -> str:
    """The name of a panel's query, by which its table's columns go."""
    return _LETTERS[index]


def target(board: Board, panel: Panel, index: int) -> variants.Dataquery:
    """The panel's query of that number, with its filters written out."""
    query = panel.queries[index]
    expr, name = filled(query.expr, board.variables), ref_id(index)
    datasource = common.DataSourceRef(type_val=query.source.value, uid=f"${{{query.source.variable}}}")
    if query.source is Source.PROMETHEUS:
        return _prometheus(panel, query, prometheus.Dataquery(expr=expr, ref_id=name, datasource=datasource))
    if query.source is Source.LOKI:
        instant = query.instant
        return loki.Dataquery(
            expr=expr,
            ref_id=name,
            datasource=datasource,
            legend_format=query.legend or None,
            query_type="instant" if instant else "range",
            max_lines=_MOST_LINES if panel.show in {Show.LOGS, Show.TABLE} else None,
        )
    return tempo.Dataquery(
        query=expr,
        ref_id=name,
        datasource=datasource,
        query_type="traceql",
        limit=_MOST_TRACES,
        table_type=tempo.SearchTableType.TRACES,
    )


def _prometheus(panel: Panel, query: Query, made: prometheus.Dataquery) -> prometheus.Dataquery:
    made.editor_mode = prometheus.QueryEditorMode.CODE
    made.instant, made.range_val = query.instant, not query.instant
    made.exemplar = query.exemplars
    made.legend_format = query.legend or None
    made.format_val = {
        Show.TABLE: prometheus.PromQueryFormat.TABLE,
        Show.HEATMAP: prometheus.PromQueryFormat.HEATMAP,
    }.get(panel.show, prometheus.PromQueryFormat.TIME_SERIES)
    return made
