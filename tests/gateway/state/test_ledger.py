from __future__ import annotations

import logging
import sqlite3
import stat
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import gateway.state.ledger as ledger_module
from gateway.ledger_rows import ledger_rows
from gateway.settlement import settle
from gateway.state.ledger import Ledger, LedgerError, ledger_path, open_ledger, read_ledger
from gateway.state.ledger_schema import LedgerRow, insert_of
from policies.vocabulary import Usage
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from pathlib import Path


def rows(count: int) -> list[LedgerRow]:
    return [row for _ in range(count) for row in ledger_rows(settle(answered(Usage(3, 4))))]


def read(path: Path) -> list[LedgerRow]:
    with closing(read_ledger(path)) as connection:
        return [LedgerRow(*row) for row in connection.execute("SELECT * FROM attempts ORDER BY request_id, attempt")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "ledger.db"


def started(path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.start()
    return ledger


def test_rows_are_on_disk_after_close_and_only_once(path: Path) -> None:
    ledger = started(path)
    first, second = rows(300), rows(200)
    ledger.append(first)
    ledger.append(second)
    ledger.append(first)
    ledger.close()
    assert ledger.pending == 0
    assert ledger.lag_s == 0.0
    assert sorted(read(path)) == sorted(first + second)


def test_only_the_owner_may_read_it(path: Path) -> None:
    ledger = started(path)
    ledger.append(rows(1))
    ledger.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_start_goes_on_in_the_same_file(path: Path) -> None:
    for _ in range(2):
        ledger = started(path)
        ledger.append(rows(2))
        ledger.close()
    assert len(read(path)) == 4


def test_a_reader_sees_committed_rows_while_the_gateway_writes(path: Path) -> None:
    with closing(open_ledger(path)) as writer, closing(read_ledger(path)) as reader:
        with writer:
            writer.executemany(insert_of(1), rows(3))
        assert reader.execute("SELECT count(*) FROM attempts").fetchone() == (3,)


def test_a_ledger_of_a_newer_pointsman_is_refused_and_left_alone(path: Path) -> None:
    with closing(open_ledger(path)) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 99")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"schema version 99 and this Pointsman knows 2"):
        started(path)
    with pytest.raises(LedgerError, match="schema version 99"):
        read_ledger(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_ledger_is_refused(path: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("dear diary, today nothing happened at all, and it went on and on. " * 20)
    with pytest.raises(LedgerError, match="cannot be used"):
        started(text)
    foreign = tmp_path / "other.db"
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE invoices (id)")
    with pytest.raises(LedgerError, match="not a Pointsman ledger"):
        started(foreign)
    with pytest.raises(LedgerError, match="there is no ledger"):
        read_ledger(path)


@pytest.mark.parametrize("url", ["postgresql://db/x", "sqlite://x", "sqlite:///", "", "/tmp/x.db"])  # noqa: S108 - not opened
def test_only_sqlite_files_can_be_named(url: str) -> None:
    with pytest.raises(LedgerError, match="sqlite:///FILE"):
        ledger_path(url)


def test_relative_and_absolute_files_are_told_apart() -> None:
    assert str(ledger_path("sqlite:///pointsman.db")) == "pointsman.db"
    assert str(ledger_path("sqlite:////var/lib/pointsman.db")) == "/var/lib/pointsman.db"


def test_a_write_that_fails_is_counted_and_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "BUSY_TIMEOUT_S", 0.0)
    monkeypatch.setattr(ledger_module, "FIRST_RETRY_S", 0.001)
    has_failed = threading.Event()
    ledger = started(path)
    note = ledger._note_failure

    def note_and_tell(connection: sqlite3.Connection | None, error: Exception) -> None:
        note(connection, error)
        has_failed.set()

    monkeypatch.setattr(ledger, "_note_failure", note_and_tell)
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        ledger.append(rows(5))
        assert has_failed.wait(5)
        assert ledger.pending == 5
        assert ledger.lag_s > 0
        assert ledger.write_failures >= 1
        assert ledger.last_error is not None
        assert "locked" in ledger.last_error
        blocker.execute("COMMIT")
    ledger.close()
    assert ledger.pending == 0
    assert ledger.last_error is None
    assert len(read(path)) == 5


def test_what_cannot_be_written_at_the_end_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "BUSY_TIMEOUT_S", 0.0)
    ledger = started(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        ledger.append(rows(7))
        with caplog.at_level(logging.ERROR):
            ledger.close()
    assert "7 ledger rows could not be written" in caplog.text
    assert ledger.pending == 7


def test_one_impossible_value_does_not_keep_the_rest_off_the_disk(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = rows(3)
    ledger = started(path)
    ledger.append([good[0], good[1]._replace(input_tokens=2**80), good[2]._replace(model_requested="\ud800")])
    ledger.append(rows(2))
    ledger.close()
    assert len(read(path)) == 3
    assert ledger.write_failures == 2
    assert good[1].request_id in caplog.text
