from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from gateway.watching.drawing import SORTS, drawn, drawn_sight, duration, money, number, share
from gateway.watching.frame import Beside, DeploymentLine, EngineLine, Frame, LimitLine, Sight

if TYPE_CHECKING:
    from rich.console import RenderableType

HOSTILE = "red\x1b[2J\x1b]0;owned\x07\nteam[bold]"


def frame(name: str = "gpt") -> Frame:
    return Frame(
        per_s={"ok": 12.5, "timeout": 2.5, "client_error": 0.0},
        input_per_s=1234.0,
        output_per_s=99.5,
        usd_per_hour=12.3456,
        in_flight=7,
        streams=3,
        ttft_s=(0.12, 0.9),
        took_s=(1.2, 8.0),
        overhead_p99_s=0.004,
        hit_share=0.4,
        unpriced_per_s=0.5,
        denied_per_s={"key": 1.0},
        workers={"0": 1, "1": 0},
        teams={name: 1.5},
        deployments=(
            DeploymentLine(name, "open", 10.0, 0.3, 0.9, 8.0, 2.0, 12.0),
            DeploymentLine("spare", "closed", 0.0, None, None, None, 0.0, 0.5),
        ),
        engines=(EngineLine("llama", True, 4, 2, 1, 0.5, 300.0, 40.0),),
        beside=Beside((LimitLine("team", name, "cost", "month", 0.97, 86_400 * 3),), 345.6, "no token"),
    )


TITLE = "pointsman at http://127.0.0.1:8081"


def text_of(shown: Frame, sort: str = "load", columns: int = 120) -> str:
    return printed(drawn(shown, TITLE, sort, columns), columns)


def printed(view: RenderableType, columns: int = 120) -> str:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    console.print(view)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_what_matters_is_on_one_page() -> None:
    text = text_of(frame())
    for words in ("requests/s 15", "failed 16.7%", "USD/h 12.35", "today 345.60", "workers 1/2", "timeout 2.50/s"):
        assert words in text.replace("timeout 2.5/s", "timeout 2.50/s")
    for words in (
        "TTFT p50 120 ms",
        "cache hits 40.0%",
        "team cost/month",
        "97.0%",
        "72 h",
        "2/4",
        "denied by key 1/s",
    ):
        assert words in text
    assert "client_error" not in text  # nothing of it moved


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    assert max(map(len, text_of(frame("n" * 200), columns=columns).splitlines())) <= columns


def test_what_foreign_names_would_do_to_a_terminal_they_do_not() -> None:
    text = text_of(frame(HOSTILE))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]" in text  # nor is it markup to ours


@pytest.mark.parametrize(("sort", "first"), [("load", "gpt"), ("errors", "gpt"), ("cost", "gpt"), ("name", "a")])
def test_deployments_stand_in_the_order_asked_for(sort: str, first: str) -> None:
    shown = frame()
    lines = (DeploymentLine("a", "closed", 0.0, None, None, None, 0.0, 0.0), *shown.deployments)
    assert min(lines, key=SORTS[sort]).name == first


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0, 0.25, 3.14159, 42, 1234.5, 56_789)] == [
        "0",
        "0.25",
        "3.1",
        "42",
        "1234",
        "56.8k",
    ]
    assert [money(value) for value in (None, 0.0, 0.00123, 1234.5)] == ["-", "0.00", "0.0012", "1,234.50"]
    durations = [duration(value) for value in (None, 0.0004, 1.5, 900, 90_000)]
    assert durations == ["-", "0.4 ms", "1.5 s", "15 min", "25 h"]
    assert [share(value) for value in (None, 0.123)] == ["-", "12.3%"]


def test_trouble_stands_above_the_view_of_how_things_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    monkeypatch.setattr(time, "localtime", time.gmtime)
    lines = printed(drawn_sight(Sight(frame(), 74.0, f"silent {HOSTILE}", 72.4), TITLE)).splitlines()
    assert lines[0].startswith("silent red")
    assert "\x1b" not in lines[0]
    assert lines[1].strip() == "since 01:45:27 (72 s); asking on; below is how it was at 01:45:26"
    assert lines[2].strip() == TITLE
    assert any("requests/s" in line for line in lines)


def test_before_anything_was_seen_there_is_only_what_is_known() -> None:
    assert printed(drawn_sight(Sight(None), TITLE)).split() == [*TITLE.split(), "looking"]
    text = printed(drawn_sight(Sight(None, 0.0, "no answer", 3.0), TITLE))
    assert "(3 s); asking on" in text
    assert "below" not in text
    assert "looking" not in text
