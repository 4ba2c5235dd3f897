"""From values to Grafana's JSON: filters, layout, tables, links, and the traps of the SDK."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.boards import BOARDS
from dashboards.building import promql
from dashboards.building.explore import line_link, trace_link
from dashboards.building.filters import filled
from dashboards.building.grafana import as_json
from dashboards.building.values import Board, Box, Column, Panel, Query, Row, Show, Source, State, Variable, board_link
from dashboards.queries import queries

TEAM = Variable("team", "team", "pointsman_team_requests_total", "Teams.")
ROUTE = Variable("route", "route", "pointsman_requests_total", "Routes.")
PLACE = 'job=~"$job",instance=~"$instance"'
PANEL = Panel(Show.GRAPH, "Requests", "Requests.", "reqps", (Query("sum(up{*})", "up"),))


def made(*panels: Panel, folded: bool = False) -> dict[str, Any]:
    return as_json(Board("pointsman-test", "Test", "A test.", (Row("Row", panels, folded=folded),), (ROUTE,)))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("up{*}", f"up{{{PLACE}}}"),
        ('up{*,a="b"}', f'up{{{PLACE},a="b"}}'),
        ("pointsman_requests_total{**}", f'pointsman_requests_total{{{PLACE},route=~"$route"}}'),
        ("pointsman_team_requests_total{**}", f'pointsman_team_requests_total{{{PLACE},team=~"$team"}}'),
        ("pointsman_overhead_seconds_bucket{**}", f'pointsman_overhead_seconds_bucket{{{PLACE},route=~"$route"}}'),
        ("pointsman_unheard_of{**}", f"pointsman_unheard_of{{{PLACE}}}"),
        ("vllm:num_requests_running{**}", "vllm:num_requests_running{}"),
        ("2 * x", "2 * x"),
    ],
)
def test_filters_name_only_labels_that_the_metric_has(text: str, written: str) -> None:
    assert filled(text, (TEAM, ROUTE)) == written


def test_shapes_of_promql_know_their_traps() -> None:
    assert promql.rate("x", "a") == "sum by (a) (rate(x[$__rate_interval]))"
    assert (
        promql.quantile(0.9, "h", "m", "")
        == "histogram_quantile(0.9, sum by (le, m) (rate(h_bucket[$__rate_interval])))"
    )
    assert promql.part("a", "b") == "(a or 0 * b) / (b > 0)"


def test_panels_lie_from_left_to_right_and_keep_their_ids() -> None:
    wide = replace(PANEL, title="Wide", width=16)
    told = made(PANEL, PANEL, wide, PANEL)["panels"]
    assert [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in told] == [
        (0, 0),
        (0, 1),
        (8, 1),
        (0, 9),
        (16, 9),
    ]
    assert [panel["id"] for panel in told] == [1, 2, 3, 4, 5]


def test_a_folded_row_holds_its_panels() -> None:
    (row,) = made(PANEL, folded=True)["panels"]
    assert (row["type"], row["collapsed"], [panel["title"] for panel in row["panels"]]) == ("row", True, ["Requests"])


def test_a_row_that_grows_moves_no_other_rows_ids() -> None:
    board = Board("pointsman-test", "Test", "A test.", (Row("A", (PANEL,)), Row("B", (PANEL,))))
    longer = replace(board, rows=(Row("A", (PANEL, PANEL)), Row("B", (PANEL,))))
    assert as_json(board)["panels"][-1]["id"] == as_json(longer)["panels"][-1]["id"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_traps_of_the_sdk_are_met(board: Board) -> None:
    told = as_json(board)
    assert '"auto_count"' not in json.dumps(told)
    assert all("auto" not in variable for variable in told["templating"]["list"])


def test_columns_of_one_query_and_of_several_go_by_different_names() -> None:
    columns = (Column("route", "Route"), Column("Value", "Requests", unit="short"))
    table = Panel(
        Show.TABLE, "Routes", "Routes.", "short", (Query("sum by (route) (up{*})", instant=True),), columns=columns
    )
    merge, organize = made(table)["panels"][1]["transformations"]
    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {"route": "Route", "Value": "Requests"}
    assert organize["options"]["indexByName"] == {"route": 0, "Value": 1}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_tables_name_the_columns_that_their_queries_bring(board: Board) -> None:
    """Grafana calls a lone query's numbers `Value`, and with others `Value #A`."""
    for panel in board.panels():
        if panel.show is Show.TABLE and panel.columns and panel.queries[0].source is Source.PROMETHEUS:
            values = [column.name for column in panel.columns if column.name.startswith("Value")]
            several = [f"Value #{'ABCDEFGH'[index]}" for index in range(len(panel.queries))]
            assert set(values) <= set(several if len(panel.queries) > 1 else ["Value"]), panel.title


def test_states_are_written_as_words() -> None:
    panel = replace(PANEL, show=Show.STATES, states=(State(1, "up", "green"), State(0, "down", "red")))
    (mapping,) = made(panel)["panels"][1]["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"]["0"]["text"] == "down"


def test_a_link_to_a_trace_is_one_that_explore_reads() -> None:
    for link, source in ((trace_link("Trace"), Source.TEMPO), (line_link("Request"), Source.LOKI)):
        (told,) = parse_qs(urlsplit(link.url).query)["panes"]
        query = json.loads(told)["p"]["queries"][0]
        assert query["datasource"] == {"type": source.value, "uid": f"${{{source.value}}}"}
        assert "${__data.fields." in json.dumps(query)
        assert "${__from}" in link.url


def test_a_link_to_a_board_keeps_time_and_gateways() -> None:
    assert board_link("pointsman-cost", "Cost", "var-team=x").url == (
        "/d/pointsman-cost?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&var-team=x"
    )


def test_a_text_can_be_typed() -> None:
    board = replace(BOARDS[0], boxes=(Box("text", "Find", "Any text."),))
    (box,) = [one for one in as_json(board)["templating"]["list"] if one["type"] == "textbox"]
    assert (box["name"], box["current"]["value"]) == ("text", "")


def test_every_query_is_told_with_its_filters_written_out() -> None:
    told = list(queries())
    assert {query.board for query in told} == {board.uid for board in BOARDS}
    assert not [query.expr for query in told if "{*" in query.expr]
    assert len(told) > 250
