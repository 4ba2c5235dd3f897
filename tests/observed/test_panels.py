"""Every query of every panel, asked of a Prometheus that watched real gateways: data, or a known lack of it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest

from dashboards.boards import BOARDS
from dashboards.building.grafana import as_json
from dashboards.building.values import JOB_AND_INSTANCE, Source
from dashboards.queries import queries
from tests.observed.asking import answered, has_data, written_out

if TYPE_CHECKING:
    from dashboards.building.values import Board
    from dashboards.queries import PanelQuery
    from tests.observed.prometheus_server import Series
    from tests.observed.scene import Observed

ASKED = [query for query in queries() if query.source is Source.PROMETHEUS]
NOTES = [(board, note) for board in BOARDS for note in board.notes]
CHOICES = [(board, variable.name) for board in BOARDS for variable in board.variables]
LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")
QUIET: dict[tuple[str, str, int], str] = {
    ("pointsman-overview", "Metrics beyond their cap", 0): "no metric has so many series",
    ("pointsman-cost", "Against the day before", 0): "the run is no day long",
    ("pointsman-cost", "Grew most since the day before", 0): "the run is no day long",
    ("pointsman-cache", "Could not be asked", 0): "the cache lies in the process",
    ("pointsman-cache", "Labels", 1): "no route has a judge",
    ("pointsman-local", "Guesses that were right", 0): "the engine is told not to guess",
}
"""What this traffic gives nothing to say to. A query that is not in here has data, one that is has none."""


def name_of(query: PanelQuery) -> str:
    return f"{query.board}: {query.panel} #{query.number}"


def span_of(seen: Observed) -> tuple[float, float]:
    return seen.start_s, seen.end_s


def asked(seen: Observed, query: PanelQuery, chosen: dict[str, str] | None = None) -> list[Series]:
    text = written_out(query.expr, seen.end_s - seen.start_s, chosen)
    return answered(seen.prometheus, text, span_of(seen), instant=query.instant)


@pytest.mark.parametrize("query", ASKED, ids=name_of)
def test_a_panel_has_data_or_says_why_not(seen: Observed, query: PanelQuery) -> None:
    found = asked(seen, query)
    key = (query.board, query.panel, query.number)
    infinite = [series.labels for series in found for _, value in series.points if math.isinf(value)]
    assert not infinite, f"{name_of(query)}: divides by nothing\n{query.expr}"
    if key in QUIET:
        assert not has_data(found), f"{name_of(query)} is listed as quiet ({QUIET[key]}), and has data"
        assert query.empty is not None, f"{name_of(query)} may be empty, and the board does not say why"
    else:
        assert has_data(found), f"{name_of(query)}: no data\n{query.expr}"


def test_what_is_listed_as_quiet_is_on_a_board() -> None:
    assert QUIET.keys() <= {(query.board, query.panel, query.number) for query in ASKED}


@pytest.mark.parametrize("query", ASKED, ids=name_of)
def test_a_panel_follows_each_choice_of_its_board(seen: Observed, query: PanelQuery) -> None:
    """For every variable that a query names there is a value with data, unless there is none without a choice."""
    board = next(board for board in BOARDS if board.uid == query.board)
    if not has_data(asked(seen, query)):
        pytest.skip("there is no data without a choice")
    for name in ("job", "instance", *(variable.name for variable in board.variables)):
        if f"${name}" not in query.expr:
            continue
        values = values_of(seen, board, name)
        assert any(has_data(asked(seen, query, {name: value})) for value in values), (
            f"{name_of(query)}: no data for any ${name} of {values}\n{query.expr}"
        )


def values_of(seen: Observed, board: Board, name: str) -> list[str]:
    """The choices that the board offers."""
    if name in ("job", "instance"):
        return sorted({series.labels[name] for series in seen.prometheus.instant("pointsman_build_info", seen.end_s)})
    return offered(seen, board, name)


def offered(seen: Observed, board: Board, name: str) -> list[str]:
    """What Grafana finds for the variable as the board's JSON defines it."""
    (variable,) = (one for one in as_json(board)["templating"]["list"] if one["name"] == name)
    text = variable["query"]["query"]
    found = LABEL_VALUES.fullmatch(text)
    assert found is not None, text
    series = seen.prometheus.instant(written_out(found["series"], 60), seen.end_s)
    return sorted({one.labels[found["label"]] for one in series if found["label"] in one.labels})


@pytest.mark.parametrize(("board", "name"), CHOICES, ids=[f"{board.uid}: {name}" for board, name in CHOICES])
def test_a_choice_offers_something(seen: Observed, board: Board, name: str) -> None:
    assert offered(seen, board, name), f"{board.uid}: nothing to choose for ${name}"


@pytest.mark.parametrize("index", range(len(NOTES)), ids=[f"{board.uid}: {note.name}" for board, note in NOTES])
def test_moments_can_be_asked_for(seen: Observed, index: int) -> None:
    """The policy changed and a worker died; a gateway's start is before the time shown."""
    board, note = NOTES[index]
    text = written_out(note.expr.replace("{*}", f"{{{JOB_AND_INSTANCE}}}"), 60).replace("offset 1m", "offset 5s")
    found = seen.prometheus.ranged(text, seen.start_s + 10, seen.end_s, 1)
    assert has_data(found) is (note.name != "Versions"), board.uid
