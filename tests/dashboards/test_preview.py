"""Pictures of boards: numbers in Grafana's words, gaps as gaps, every board drawn, and what is in the tree is small."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from dashboards.preview.frames import frames_of, reduced, rows_of
from dashboards.preview.looks import mapped, properties_of, series_colour, threshold_colour
from dashboards.preview.panels import Show
from dashboards.preview.sheet import CELL_PX, GAP_PX, HEAD_PX, WIDTH_PX, draw_board
from dashboards.preview.units import written
from tests.observed.lines import selected
from tests.observed.prometheus_server import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.observed.lines import Found

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "dashboards" / "json").glob("*.json"))
PICTURES = ROOT / "dashboards" / "preview"
MOST_BYTES = 400 * 1024
LINE = {
    "ts": "2026-11-22T12:00:05Z",
    "service": "pointsman",
    "event": "request.completed",
    "level": "info",
    "team": "a",
}


class Told:
    """Answers every target with the same series, or with none."""

    def __init__(self, *series: Series) -> None:
        self._series = series

    def series(self, target: dict[str, Any]) -> list[Series]:
        del target
        return list(self._series)

    def step_s(self, target: dict[str, Any]) -> float:
        del target
        return 1.0

    def lines(self, target: dict[str, Any]) -> list[Found]:
        del target
        return selected([LINE], '{event="request.completed"} | json team="team"') if self._series else []

    def spans(self, target: dict[str, Any]) -> list[Span]:
        del target
        return []


def a_panel(*legends: str, **more: Any) -> dict[str, Any]:
    targets = [{"refId": "ABC"[index], "expr": "x", "legendFormat": legend} for index, legend in enumerate(legends)]
    return {"type": "table", "targets": targets} | more


def points(*values: float) -> list[tuple[float, float]]:
    return [(float(at), value) for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "told"),
    [
        (0.0123, "percentunit", None, "1.23%"),
        (0.99512, "percentunit", 3, "99.512%"),
        (0.00029, "currencyUSD", None, "$0.00029"),
        (12_345.0, "currencyUSD", 0, "$12K"),
        (-0.229, "currencyUSD", None, "-$0.229"),
        (0.0108, "s", None, "10.8 ms"),
        (0.00061, "s", None, "610 µs"),
        (90.0, "s", None, "1.5 mins"),
        (10_881.0, "ms", 0, "11 s"),
        (94.0, "ms", 0, "94 ms"),
        (6.13, "reqps", None, "6.13 req/s"),
        (147_800.0, "short", None, "148 K"),
        (3 * 2**20, "bytes", None, "3 MiB"),
        (5.0, "suffix: tok", None, "5 tok"),
        (4_000_000.0, "dtdurations", None, "46 days, 7 hours"),
        (0.0, "none", None, "0"),
        (math.inf, "s", None, "∞"),
    ],
)
def test_numbers_are_written_as_grafana_writes_them(value: float, unit: str, decimals: int | None, told: str) -> None:
    assert written(value, unit, decimals) == told


def test_what_nobody_said_is_a_gap() -> None:
    series = Series({"route": "a", "model": "m"}, [(0.0, 1.0), (1.0, 2.0), (5.0, 3.0)])
    (frame,) = frames_of(a_panel("{{route}} of {{ model }}{{none}}"), Told(series))
    assert frame.name == "a of m"
    assert frame.times == [0.0, 1.0, 2.0, 5.0]
    assert [frame.values[0], frame.values[1], frame.values[3]] == frame.finite == [1.0, 2.0, 3.0]
    assert math.isnan(frame.values[2])


def test_a_series_without_a_number_is_none() -> None:
    assert frames_of(a_panel(""), Told(Series({}, points(math.nan, math.inf)))) == []


@pytest.mark.parametrize(
    ("calc", "number"), [("lastNotNull", 2.0), ("mean", 2.0), ("max", 3.0), ("min", 1.0), ("sum", 6.0)]
)
def test_a_series_becomes_one_number(calc: str, number: float) -> None:
    assert reduced([1.0, 3.0, 2.0, math.nan], calc) == number


def test_columns_of_several_queries_meet_in_a_row() -> None:
    (row,) = rows_of(a_panel("", ""), Told(Series({"team": "a"}, [(9.0, 4.0)])))
    assert row == {"team": "a", "Time": 9.0, "Value #A": 4.0, "Value #B": 4.0}


def test_colours_are_what_the_panel_says() -> None:
    steps: list[dict[str, Any]] = [{"value": None, "color": "green"}, {"value": 0.5, "color": "red"}]
    assert [threshold_colour(steps, value) for value in (0.0, 0.5)] == ["#73bf69", "#f2495c"]
    field = {"mappings": [{"type": "value", "options": {"2": {"text": "open", "color": "red"}}}]}
    assert mapped(field, 2.0) == ("open", "#f2495c")
    assert mapped(field, 1.0) is None
    fixed = {"id": "color", "value": {"mode": "fixed", "fixedColor": "purple"}}
    panel = {
        "fieldConfig": {"overrides": [{"matcher": {"id": "byRegexp", "options": "/^gate.*$/"}, "properties": [fixed]}]}
    }
    assert series_colour(panel, "gateway", 0) == "#b877d9"
    assert properties_of(panel, "provider") == {}


@pytest.mark.parametrize("told", [True, False], ids=["with data", "without"])
@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_every_board_is_drawn_in_its_layout(tmp_path: Path, file: Path, told: bool) -> None:  # noqa: FBT001 - a parameter
    board = json.loads(file.read_text())
    labels = {"route": "a", "model": "m", "le": "0.5", "deployment": "d", "instance": "i"}
    found = [Series(labels, points(1.0, 2.0, 0.5)), Series(labels | {"le": "+Inf"}, points(2.0, 3.0, 1.0))]
    show = Show((0.0, 60.0), Told(*found) if told else Told())
    empty = draw_board(board, show, tmp_path / "board.png")
    drawn = [panel for panel in _all(board["panels"]) if panel["type"] not in ("row", "text")]
    if not told:
        assert sorted(empty) == sorted(panel["title"] for panel in drawn)
    with Image.open(tmp_path / "board.png") as picture:
        lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        assert picture.width == WIDTH_PX
        assert picture.height >= HEAD_PX + lowest * (CELL_PX + GAP_PX)


def _all(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for panel in panels for one in (panel, *(panel.get("panels") or ()))]


@pytest.mark.parametrize("name", [*(file.stem for file in BOARDS), "pointsman-overview-first-look"])
def test_the_picture_of_a_board_is_in_the_tree_and_small(name: str) -> None:
    assert (PICTURES / f"{name}.png").stat().st_size < MOST_BYTES


def test_there_are_no_pictures_of_boards_that_are_gone() -> None:
    assert {file.stem for file in PICTURES.glob("*.png")} == {
        *(file.stem for file in BOARDS), "pointsman-overview-first-look"
    }  # fmt: skip
