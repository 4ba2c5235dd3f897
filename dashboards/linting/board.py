"""Checks of a board as a whole: its choices, its layout, its links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dashboards.linting.findings import Finding, Json, every_panel, panels, place, variables
from dashboards.linting.promql import variables_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS: Final = 24
SCHEMA: Final = 42
ON_TIME_CHANGE: Final = 2
_BOARD_LINK: Final = re.compile(r"/d/(?P<uid>[\w-]+)\?(?P<query>.*)")
_SET: Final = re.compile(r"(?:^|&)var-(\w+)=")
_COLUMN: Final = re.compile(r"\$\{__data\.fields\.([^}]+)\}")
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


def check_board(board: Json, fellows: Mapping[str, Json]) -> Iterator[Finding]:
    """Everything that is wrong with the board itself; `fellows` are all boards by uid."""
    where = place(board)
    for rule, what in (*_head(board), *_choices(board), *_layout(board), *_notes(board)):
        yield Finding(rule, where, what)
    for panel in panels(board):
        for rule, what in _links(panel, fellows):
            yield Finding(rule, place(board, panel), what)


def _head(board: Json) -> Iterator[tuple[str, str]]:
    if board.get("editable") is not False:
        yield "uneditable-dashboard", "it can be edited, and edits of provisioned boards are lost"
    if board.get("schemaVersion") != SCHEMA:
        yield "schema-version", f"schemaVersion is {board.get('schemaVersion')}, not {SCHEMA}"
    if not re.fullmatch(r"pointsman-[a-z]+", board.get("uid", "")):
        yield "dashboard-uid", f"the uid {board.get('uid')!r} is not pointsman-something"
    if "pointsman" not in board.get("tags", ()) or not board.get("links"):
        yield "dashboard-links", "it is not tagged pointsman, or has no links to the other boards"
    if not board.get("description"):
        yield "dashboard-description", "it does not say what it is for"


def _choices(board: Json) -> Iterator[tuple[str, str]]:
    known = variables(board)
    if known.get("datasource", {}).get("type") != "datasource" or known["datasource"].get("query") != "prometheus":
        yield "template-datasource", "there is no variable `datasource` for Prometheus"
    for name in ("job", "instance"):
        if known.get(name, {}).get("type") != "query":
            yield f"template-{name}", f"there is no variable `{name}`"
    for name, variable in known.items():
        if variable["type"] == "query":
            yield from ((rule, f"${name} {what}") for rule, what in _query_variable(variable))
    used = {
        used for panel in panels(board) for target in panel.get("targets", ()) for used in variables_in(_text(target))
    }
    for name in sorted(used - known.keys()):
        yield "template-defined", f"a query uses ${name}, which is no variable"
    for name in sorted(known.keys() - used - _in_datasources(board)):
        yield "template-used", f"no query uses ${name}"


def _in_datasources(board: Json) -> set[str]:
    """Variables that say whom to ask."""
    return {name for panel in panels(board) for name in variables_in(str(panel.get("datasource", {}).get("uid", "")))}


def _query_variable(variable: Json) -> Iterator[tuple[str, str]]:
    if variable.get("datasource", {}).get("uid") != "${datasource}":
        yield "template-datasource", "does not ask ${datasource}"
    if not (variable.get("multi") and variable.get("includeAll") and variable.get("allValue") == ".*"):
        yield "template-all", "must take several values and all of them, as .*"
    if variable.get("refresh") != ON_TIME_CHANGE:
        yield "template-on-time-change-reload", "must be asked for again when the time changes"
    query = variable.get("query", {})
    if not _LABEL_VALUES.fullmatch(query.get("query", "") if isinstance(query, dict) else query):
        yield "template-label-promql", "must ask for label_values(series, label)"


def _text(target: Json) -> str:
    return str(target.get("expr") or target.get("query") or "")


def _layout(board: Json) -> Iterator[tuple[str, str]]:
    told = list(every_panel(board))
    ids = [panel.get("id") for panel in told]
    if None in ids or len(set(ids)) != len(ids):
        yield "panel-ids", "panels have no id, or share one"
    for shown in (board.get("panels", ()), *(panel.get("panels", ()) for panel in told)):
        yield from _overlaps(list(shown))


def _overlaps(told: list[Json]) -> Iterator[tuple[str, str]]:
    taken: dict[tuple[int, int], str] = {}
    for panel in told:
        box = panel["gridPos"]
        if box["x"] + box["w"] > COLUMNS:
            yield "panel-grid", f"{panel.get('title')} is wider than the board"
        for cell in (
            (x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])
        ):
            other = taken.setdefault(cell, str(panel.get("title")))
            if other != str(panel.get("title")):
                yield "panel-grid", f"{panel.get('title')} lies over {other}"
                break


def _notes(board: Json) -> Iterator[tuple[str, str]]:
    notes: list[Any] = board.get("annotations", {}).get("list", [])
    if not any("config_info" in note.get("expr", "") for note in notes):
        yield "dashboard-annotations", "it does not mark changes of the policy"


def _links(panel: Json, fellows: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for url, columns in _urls(panel):
        for column in _COLUMN.findall(url):
            if column not in columns:
                yield "panel-links", f"a link takes the column {column!r}, which is not there"
        found = _BOARD_LINK.fullmatch(url)
        if found is None:
            if url.startswith("/d/"):
                yield "panel-links", f"{url} keeps neither time nor variables"
            continue
        if found["uid"] not in fellows:
            yield "panel-links", f"there is no board {found['uid']}"
            continue
        for name in set(_SET.findall(found["query"])) - variables(fellows[found["uid"]]).keys():
            yield "panel-links", f"the board {found['uid']} has no variable {name}"


def _urls(panel: Json) -> Iterator[tuple[str, set[str]]]:
    """Links of a panel, each with the table's columns that it may name."""
    config = panel.get("fieldConfig", {})
    columns = {
        title
        for step in panel.get("transformations") or ()
        for title in step.get("options", {}).get("renameByName", {}).values()
    }
    for link in config.get("defaults", {}).get("links") or ():
        yield link["url"], columns
    for override in config.get("overrides", ()):
        for prop in override["properties"]:
            if prop["id"] == "links":
                yield from ((link["url"], columns) for link in prop["value"])
