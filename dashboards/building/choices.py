"""What stands above a board's panels: choices of datasource, job and instance, links to its fellows; and the moments
that are marked on every graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.models import common, dashboard

from dashboards.building.filters import filled
from dashboards.building.values import JOB_AND_INSTANCE, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboards.building.values import Board, Box, Note, Variable

_ALL: Final = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
_NAMES: Final = {Source.PROMETHEUS: "Prometheus", Source.LOKI: "Loki", Source.TEMPO: "Tempo"}
_ANYWHERE: Final = "pointsman_build_info"


def variables(board: Board) -> list[dashboard.VariableModel]:
    chosen = [_of_label(variable) for variable in board.variables]
    return [*_datasources(board), *_instances(), *chosen, *(_box(box) for box in board.boxes)]


def _box(box: Box) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.TEXTBOX,
        name=box.name,
        label=box.title,
        description=box.about,
        query="",
        current=dashboard.VariableOption(selected=True, text="", value=""),
        options=[dashboard.VariableOption(selected=True, text="", value="")],
        hide=dashboard.VariableHide.DONT_HIDE,
    )


def _datasources(board: Board) -> Iterator[dashboard.VariableModel]:
    for source in board.sources:
        yield dashboard.VariableModel(
            type_val=dashboard.VariableType.DATASOURCE,
            name=source.variable,
            label=_NAMES[source],
            query=source.value,
            description=f"Which {_NAMES[source]} to ask.",
            hide=dashboard.VariableHide.DONT_HIDE,
            options=[],
            refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        )


def _instances() -> list[dashboard.VariableModel]:
    return [
        _query("job", "Job", f"label_values({_ANYWHERE}, job)", "Gateways, by the job that scrapes them."),
        _query("instance", "Instance", f'label_values({_ANYWHERE}{{job=~"$job"}}, instance)', "Single gateways."),
    ]


def _of_label(variable: Variable) -> dashboard.VariableModel:
    named = JOB_AND_INSTANCE
    series = variable.series
    if "|" in series:
        named, series = f'__name__=~"{series}",{named}', ""
    found = f"label_values({series}{{{named}}}, {variable.label})"
    return _query(variable.name, variable.name.capitalize(), found, variable.about)


def _query(name: str, label: str, text: str, about: str) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=about,
        query={"query": text, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1},
        datasource=_prometheus(),
        multi=True,
        include_all=True,
        all_value=".*",
        current=_ALL,
        options=[],
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        hide=dashboard.VariableHide.DONT_HIDE,
    )


def moments(board: Board) -> list[dashboard.AnnotationQuery]:
    return [_annotation(board, note) for note in board.notes]


def _annotation(board: Board, note: Note) -> dashboard.AnnotationQuery:
    expr = filled(note.expr, board.variables)
    return dashboard.AnnotationQuery(
        name=note.name,
        datasource=_prometheus(),
        enable=True,
        icon_color=note.colour,
        expr=expr,
        step="60s",
        title_format=note.title,
        text_format=note.text,
        tag_keys="instance",
    )


def links(board: Board) -> list[dashboard.DashboardLink]:
    """A menu of all boards of Pointsman, which keeps the time and what is chosen."""
    return [
        dashboard.DashboardLink(
            title="Pointsman",
            type_val=dashboard.DashboardLinkType.DASHBOARDS,
            icon="external link",
            tooltip=f"The other boards, beside {board.title}",
            tags=["pointsman"],
            as_dropdown=False,
            include_vars=True,
            keep_time=True,
        )
    ]


def _prometheus() -> common.DataSourceRef:
    return common.DataSourceRef(type_val="prometheus", uid="${datasource}")
