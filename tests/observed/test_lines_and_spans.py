"""What the boards ask of Loki and Tempo, asked of the lines and spans that they would have been sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from dashboards.building.values import Source
from dashboards.queries import queries
from tests.observed.asking import has_data, written_out
from tests.observed.kept_spans import chosen
from tests.observed.lines import selected, summed

if TYPE_CHECKING:
    from dashboards.queries import PanelQuery
    from tests.observed.scene import Observed

OF_LINES = [query for query in queries() if query.source is Source.LOKI]
OF_SPANS = [query for query in queries() if query.source is Source.TEMPO]
FIELDS = re.compile(r'(\w+)="([\w.\[\]]+)"')


def name_of(query: PanelQuery) -> str:
    return f"{query.panel} #{query.number}"


def text_of(query: PanelQuery) -> str:
    return written_out(query.expr.replace('|= "$text"', ""), 60).replace("[2s]", "[$__auto]")


@pytest.mark.parametrize("query", OF_LINES, ids=name_of)
def test_lines_have_what_a_panel_asks_of_them(seen: Observed, query: PanelQuery) -> None:
    text = text_of(query)
    if "_over_time" in text:
        assert has_data(summed(seen.lines, text, (seen.start_s, seen.end_s), 5.0)), text
    else:
        assert selected(seen.lines, text), text


@pytest.mark.parametrize("query", OF_LINES, ids=name_of)
def test_each_field_that_is_taken_is_in_some_line(seen: Observed, query: PanelQuery) -> None:
    stage = re.search(r"\| json ((?:\w+=\"[^\"]*\"(?:, )?)+)", query.expr)
    for name, path in FIELDS.findall(stage[1] if stage else ""):
        text = f'{{event="request.completed"}} | json {name}="{path}" | {name}!=""'
        assert selected(seen.lines, text), f"{path} is in no line"


@pytest.mark.parametrize("query", OF_SPANS, ids=name_of)
def test_spans_have_what_a_panel_asks_of_them(seen: Observed, query: PanelQuery) -> None:
    assert chosen(seen.collector.requests, written_out(query.expr, 60)), query.expr


def test_a_line_of_each_request_names_a_trace_that_was_kept(seen: Observed) -> None:
    named = {line["trace_id"] for line in seen.lines if line.get("event") == "request.completed"}
    kept = {span.trace_id.hex() for span in seen.collector.spans}
    assert len(named) > 100
    assert named <= kept


def test_lines_cost_what_the_ledger_says(seen: Observed) -> None:
    completed = [line for line in seen.lines if line.get("event") in ("request.completed", "cache.call.completed")]
    told = sum((line.get("cost") or {}).get("total_nano_usd") or 0 for line in completed)
    assert told == sum(row["cost_nanousd"] or 0 for row in seen.ledger) > 0
