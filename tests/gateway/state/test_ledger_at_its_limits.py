"""What a ledger does with rows too old to be kept, and on a disk that is full."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import gateway.state.ledger.writer as writer_module
from gateway.state.ledger.ledger import Ledger
from tests.gateway.state.ledgers import Outage, as_intent, leave_behind, read, rows, started

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.state.ledger.schema import LedgerRow

pytestmark = pytest.mark.usefixtures("at_once")


def aged(rows: Sequence[LedgerRow], days: float) -> list[LedgerRow]:
    return [row._replace(started_at_ms=round((time.time() - days * 86_400) * 1000)) for row in rows]


def test_rows_older_than_the_retention_go_while_others_are_written(path: Path) -> None:
    old, young = aged(rows(1200), 3.0), aged(rows(20), 1.0)
    ledger = started(path)
    ledger.append(old)
    ledger.close()
    ledger = Ledger(f"sqlite:///{path}", retention_s=2 * 86_400.0)
    ledger.start()
    for row in young:
        ledger.append([row])
    while len(read(path)) > len(young):
        ledger.append(young[:1])
    ledger.close()
    assert sorted(read(path)) == sorted(young)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sum(attempts) FROM usage_hourly").fetchone() == (1220,)


def test_a_row_that_was_deleted_is_not_counted_again_when_a_journal_has_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, young = aged(rows(3), 2.01), aged(rows(2), 1.0)
    ledger = started(path)
    ledger.append(old)
    ledger.close()
    leave_behind(path, [as_intent(row) for row in old + young], old)
    for _ in range(2):
        ledger = Ledger(f"sqlite:///{path}", retention_s=2 * 86_400.0)
        ledger.start()
        while len(read(path)) > len(young):
            ledger.append(young[:0])
        ledger.close()
        leave_behind(path, [], old)
    assert sorted(read(path)) == sorted(as_intent(row) for row in young)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sum(attempts) FROM usage_hourly").fetchone() == (5,)
    assert "3 rows in the journal" in caplog.text


def test_rows_that_cannot_be_written_at_the_end_wait_in_the_journal(
    path: Path, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = started(path)
    written = rows(7)
    ledger.append(written)
    with caplog.at_level(logging.ERROR):
        ledger.close()
    assert "7 ledger rows wait in the journal" in caplog.text
    outage.is_on = False
    started(path).close()
    assert sorted(read(path)) == sorted(written)


def test_a_full_disk_stops_billable_traffic_while_the_database_takes_nothing_either(
    path: Path, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage.is_on = False
    ledger = started(path)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger._journal, "_write", full)
    ledger.append(rows(6))
    while ledger.pending:
        ledger.append([])
    assert ledger.takes_billable
    outage.is_on = True
    ledger.append(rows(6))
    while not outage.refused:
        ledger.append([])
    while ledger.takes_billable:
        ledger.append([])
    assert ledger.last_error is not None
    outage.is_on = False
    while not ledger.takes_billable:
        ledger.append([])
    ledger.close()
    assert len(read(path)) == 12


def test_a_full_disk_stops_billable_traffic_while_the_database_is_far_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GATHER_S", 60.0)
    ledger = started(path)
    ledger._backlog._most = 10

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger._journal, "_write", full)
    ledger.append(rows(9))
    assert ledger.takes_billable
    ledger.append(rows(1))
    assert not ledger.takes_billable
    ledger.close()
    assert len(read(path)) == 10
