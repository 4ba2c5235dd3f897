"""Checks of single panels: what they say, in which unit, of whom, and by which queries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dashboards.linting import logql, promql, traceql
from dashboards.linting.findings import Finding, Json, panels, place, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_DESCRIPTION: Final = 25
WITH_LEGEND: Final = frozenset({"timeseries", "piechart", "bargauge", "state-timeline"})
_NAMED: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SOURCES: Final = {"prometheus": "datasource", "loki": "loki", "tempo": "tempo"}


def check_panels(board: Json) -> Iterator[Finding]:
    """Everything that is wrong with the board's panels."""
    for panel in panels(board):
        found = (*_said(panel), *_source(board, panel), *_unit(panel), *_legend(panel), *_queries(panel))
        yield from (Finding(rule, place(board, panel), what) for rule, what in found)


def _said(panel: Json) -> Iterator[tuple[str, str]]:
    if not panel.get("title"):
        yield "panel-title-description", "it has no title"
    about = panel.get("description", "")
    if len(about) < LEAST_DESCRIPTION or not about.endswith((".", "`")):
        yield "panel-title-description", "its description says too little, or is no sentence"


def _source(board: Json, panel: Json) -> Iterator[tuple[str, str]]:
    if panel["type"] == "text":
        return
    for asked in (panel, *panel.get("targets", ())):
        told = asked.get("datasource") or {}
        name = _SOURCES.get(told.get("type", ""))
        if name is None or told.get("uid") != f"${{{name}}}" or name not in variables(board):
            yield "panel-datasource", f"it asks {told or 'nobody'}, not a datasource variable"


def _unit(panel: Json) -> Iterator[tuple[str, str]]:
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    if panel["type"] != "text" and not unit:
        yield "panel-units", "its numbers have no unit"
    if panel["type"] == "table" and panel.get("transformations"):
        yield from _columns(panel)


def _columns(panel: Json) -> Iterator[tuple[str, str]]:
    with_unit = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "unit"
    }
    for step in panel["transformations"]:
        for name, title in step["options"].get("renameByName", {}).items():
            if name.startswith("Value") and title not in with_unit:
                yield "panel-units", f"the numbers of column {title} have no unit"


def _legend(panel: Json) -> Iterator[tuple[str, str]]:
    if panel["type"] not in WITH_LEGEND:
        return
    if panel["type"] != "bargauge" and panel["options"].get("legend", {}).get("showLegend") is not True:
        yield "panel-legend", "its legend is hidden"
    for target in panel.get("targets", ()):
        legend = target.get("legendFormat", "")
        if not legend or legend == "__auto":
            yield "target-legend", f"query {target.get('refId')} has no legend"


def _queries(panel: Json) -> Iterator[tuple[str, str]]:
    targets = panel.get("targets") or []
    if panel["type"] != "text" and not targets:
        yield "panel-no-targets", "it asks for nothing"
    names = [target.get("refId") for target in targets]
    if len(set(names)) != len(names) or None in names:
        yield "target-ref-id", "queries have no name, or share one"
    for target in targets:
        yield from _query(target, panel["type"])


def _query(target: Json, kind: str) -> Iterator[tuple[str, str]]:
    asked = (target.get("datasource") or {}).get("type")
    if asked == "prometheus":
        yield from promql.problems(target["expr"], in_board=True)
        yield from _names(target)
        yield from _instant(target, kind)
    elif asked == "loki":
        yield from logql.problems(target["expr"])
    elif asked == "tempo":
        yield from traceql.problems(target["query"])


def _names(target: Json) -> Iterator[tuple[str, str]]:
    """A legend can name only labels that the answer has."""
    named = set(_NAMED.findall(target.get("legendFormat") or ""))
    try:
        told = promql.labels_out(promql.parsed(target["expr"]))
    except ValueError:
        return  # said already
    for label in sorted(named - told):
        yield "target-legend", f"the legend names {label}, which the answer does not have"


def _instant(target: Json, kind: str) -> Iterator[tuple[str, str]]:
    """What grew over the whole time shown is one number: asked for at each point of a graph it is another one."""
    if "$__range" in target["expr"] and not target.get("instant"):
        yield "target-instant", "it uses $__range, so it should be asked once"
    if kind == "table" and target.get("format") != "table":
        yield "target-format", "a table's query should answer as a table"
