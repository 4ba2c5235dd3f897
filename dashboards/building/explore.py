"""Links into Grafana's Explore, whose address holds JSON: quoted, but for the variables that Grafana fills in."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from dashboards.building.values import Link, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = re.compile(r"\$\{[^}]+\}")


def trace_link(field: str) -> Link:
    """Opens the trace whose id stands in a table's column of that title."""
    query = {"queryType": "traceql", "query": f"${{__data.fields.{field}}}"}
    return Link("Open the trace", _explored(Source.TEMPO, query))


def line_link(field: str) -> Link:
    """Opens all log lines with the id that stands in a table's column of that title."""
    query = {"expr": f'{{service="pointsman"}} |= "${{__data.fields.{field}}}"', "queryType": "range"}
    return Link("All log lines of this request", _explored(Source.LOKI, query))


def _explored(source: Source, query: Mapping[str, str]) -> str:
    datasource = f"${{{source.variable}}}"
    pane = {
        "datasource": datasource,
        "queries": [{"refId": "A", "datasource": {"type": source.value, "uid": datasource}, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return f"/explore?schemaVersion=1&panes={_quoted(json.dumps({'p': pane}, separators=(',', ':')))}"


def _quoted(text: str) -> str:
    parts = _VARIABLE.split(text)
    names = [*_VARIABLE.findall(text), ""]
    return "".join(quote(part, safe="") + name for part, name in zip(parts, names, strict=True))
