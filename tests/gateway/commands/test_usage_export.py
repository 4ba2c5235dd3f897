from __future__ import annotations

import asyncio
import csv
import stat
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gateway.commands.usage_export as module
from gateway import extras
from gateway.__main__ import main
from gateway.commands.csv_cells import cell_of
from gateway.commands.usage_export import export
from gateway.commands.usage_focus import FOCUS_COLUMNS
from gateway.state.ledger.reports import Span
from gateway.state.ledger.schema import LedgerRow
from gateway.state.ledger.sql import append
from tests.databases import database, database_url
from tests.gateway.state.ledger_rows import NOON_MS, a_row, unpriced

if TYPE_CHECKING:
    from gateway.state.database import Database

__all__ = ["database", "database_url"]

EVER = Span()


@pytest.fixture
async def ledger(database: Database) -> str:
    rows = [a_row(f"req_{number}")._replace(started_at_ms=NOON_MS + number // 3) for number in range(25)]
    await append(database, [*rows, unpriced(a_row("req_x"))._replace(started_at_ms=NOON_MS + 86_400_000, user="=1+1")])
    return database.url


def until_day(day: str | None) -> Span:
    return EVER if day is None else Span(0, int(datetime.fromisoformat(f"{day}T00:00Z").timestamp() * 1000))


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written_to(path: Path, ledger: str, form: str = "csv", until: str | None = None) -> list[dict[str, str]]:
    assert export(ledger, form, path, until_day(until)) == 0
    return lines_of(path)


def test_every_attempt_is_a_line_in_order_and_each_once(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a batch ends among attempts of one millisecond."""
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 4)
    lines = written_to(tmp_path / "out.csv", ledger)
    assert list(lines[0]) == list(LedgerRow._fields)
    assert {line["request_id"] for line in lines} == {*(f"req_{number}" for number in range(25)), "req_x"}
    assert len(lines) == 26
    starts = [int(line["started_at_ms"]) for line in lines]
    assert starts == sorted(starts)
    assert lines[0]["cost_nanousd"] == "350"
    assert lines[-1]["cost_nanousd"] == ""


def test_it_goes_to_standard_output_alone_where_asked(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(ledger, None, Path("-"), EVER) == 0
    assert [line["request_id"] for line in csv.DictReader(capsys.readouterr().out.splitlines())][-1] == "req_x"
    assert not Path("-").exists()


def test_a_folder_that_is_not_there_is_named_as_it_was_asked_for(
    ledger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "absent" / "out.csv"
    assert export(ledger, "csv", out, EVER) == 2
    assert capsys.readouterr().err == f"pointsman usage export: {out}: No such file or directory\n"


def test_a_span_bounds_what_is_exported(ledger: str, tmp_path: Path) -> None:
    assert len(written_to(tmp_path / "out.csv", ledger, until="2026-11-23")) == 25


def test_a_spreadsheet_has_nothing_to_act_upon(ledger: str, tmp_path: Path) -> None:
    assert written_to(tmp_path / "out.csv", ledger)[-1]["user"] == "'=1+1"


async def test_rare_columns_come_through(database: Database, tmp_path: Path) -> None:
    rare: dict[str, Any] = {
        "request_nanousd": 7,
        "tool_nanousd": 8,
        "upstream_nanousd": 6,
        "service": "flex",
        "gpu_us": 9,
    }
    await append(database, [a_row()._replace(**rare, usage_details='{"searches":2}')])
    (line,) = await asyncio.to_thread(written_to, tmp_path / "out.csv", database.url)
    assert {name: line[name] for name in rare} == {name: str(value) for name, value in rare.items()}
    assert line["usage_details"] == '{"searches":2}'


def test_a_file_is_complete_or_not_there_and_its_owners_alone(
    ledger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("kept")
    assert export(f"sqlite:///{tmp_path}/none.db", "csv", out, EVER) == 2
    assert "there is no ledger at" in capsys.readouterr().err
    assert out.read_text() == "kept"
    written_to(out, ledger)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} <= {"out.csv", "ledger.db", "ledger.db-wal", "ledger.db-shm"}


def test_a_folder_that_is_not_there_is_told(ledger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(ledger, "csv", tmp_path / "no" / "out.csv", EVER) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_command_line_names_what_to_export(ledger: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out.csv")
    assert main(["usage", "--ledger", ledger, "export", "--out", out, "--format", "focus"]) == 0
    assert list(lines_of(tmp_path / "out.csv")[0]) == list(FOCUS_COLUMNS)
    assert main(["usage", "export", "--ledger", ledger, "--out", out, "--until", "2026-11-23"]) == 0
    assert len(lines_of(tmp_path / "out.csv")) == 25


@pytest.mark.parametrize(("form", "name"), [("parquet", "out"), (None, "out.parquet"), ("focus", "focus.parquet")])
def test_parquet_says_the_same_as_csv(ledger: str, tmp_path: Path, form: str | None, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert export(ledger, form, tmp_path / name, until_day("2026-11-23")) == 0
    table = parquet.read_table(tmp_path / name)
    lines = written_to(tmp_path / "out.csv", ledger, form if form == "focus" else "csv", until="2026-11-23")
    told = [{column: _text(value) for column, value in row.items()} for row in table.to_pylist()]
    assert told == lines


def _text(value: object) -> str:
    return "" if value is None else str(cell_of(value))


def test_parquet_without_its_part_names_the_extra(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "PARQUET", extras.Extra("parquet", "pyarrow_is_not_here", "pyarrow"))
    assert export(ledger, "parquet", tmp_path / "out.parquet", EVER) == 2
    assert "'.[parquet]'" in capsys.readouterr().err
