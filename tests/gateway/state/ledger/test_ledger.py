from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

import gateway.state.database as database_module
import gateway.state.ledger.ledger as ledger_module
import gateway.state.ledger.writer as writer_module
from gateway.state.ledger.ledger import Ledger, LedgerError
from tests.gateway.state.ledgers import Outage, as_intent, leave_behind, read, rows, started
from tests.postgres_server import postgres_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("at_once")


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


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "var" / "ledger.db"
    ledger = started(path)
    ledger.append(rows(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    journal = path.with_name("ledger.db.journal")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    found = [file for file in journal.rglob("*") if file.is_file()]
    assert found
    assert {stat.S_IMODE(file.stat().st_mode) for file in found} == {0o600}
    ledger.close()


def test_a_second_start_goes_on_in_the_same_file(path: Path) -> None:
    for _ in range(2):
        ledger = started(path)
        ledger.append(rows(2))
        ledger.close()
    assert len(read(path)) == 4


def test_what_a_killed_process_left_is_written_at_the_next_start(path: Path) -> None:
    over, under_way = rows(3), rows(2)
    leave_behind(path, [as_intent(row) for row in over + under_way], over)
    ledger = started(path)
    ledger.close()
    assert sorted(read(path)) == sorted(over + [as_intent(row) for row in under_way])
    assert not list(path.parent.rglob("*.segment"))


def test_outcomes_that_were_committed_before_the_end_are_not_written_twice(path: Path) -> None:
    over = rows(3)
    ledger = started(path)
    ledger.append(over)
    ledger.close()
    leave_behind(path, [as_intent(row) for row in over], over[:1])
    started(path).close()
    assert sorted(read(path)) == sorted(over)


async def test_a_living_process_takes_over_what_a_dead_one_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LOOK_EVERY_S", 0.01)
    ledger = await asyncio.to_thread(started, path)
    left = rows(2)
    await asyncio.to_thread(leave_behind, path, left, [])
    ledger.append(rows(1))
    while ledger.unknown < 2:
        await ledger.spent("acme|m:acme", 0)  # ends once something was written
        ledger.append(rows(1))
    await asyncio.to_thread(ledger.close)
    assert set(left) <= set(read(path))


def test_two_processes_beside_each_other_keep_apart(path: Path) -> None:
    one, other = started(path), started(path)
    one.append(rows(5))
    other.append(rows(6))
    one.close()
    other.close()
    assert len(read(path)) == 11


async def test_what_was_spent_includes_what_was_handed_over_before(path: Path) -> None:
    ledger = await asyncio.to_thread(started, path)
    ledger.append([row._replace(charges='[["acme|m:acme",86400,7]]') for row in rows(3)])
    assert await ledger.spent("acme|m:acme", 86400) == 21
    assert await ledger.spent("acme|m:acme", 0) == 0
    assert await ledger.spent_of([("acme|m:acme", 0), ("acme|m:acme", 86400)]) == [0, 21]
    await asyncio.to_thread(ledger.close)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.spent("acme|m:acme", 86400)


async def test_what_was_spent_is_not_guessed_while_rows_wait(
    path: Path, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SPENT_WITHIN_S", 0.01)
    ledger = await asyncio.to_thread(started, path)
    ledger.append(rows(1))
    with pytest.raises(LedgerError, match="rows are waiting"):
        await ledger.spent("acme|m:acme", 0)
    outage.is_on = False
    await asyncio.to_thread(ledger.close)


async def test_a_database_that_went_away_gets_every_row_once_when_it_is_back(path: Path, outage: Outage) -> None:
    ledger = await asyncio.to_thread(started, path)
    written = rows(50)
    ledger.append(written)
    while ledger.write_failures < 2:
        ledger.append(rows(0))
        with pytest.raises(LedgerError):
            await _soon(ledger)
    assert ledger.pending == 50
    assert ledger.lag_s > 0
    assert ledger.takes_billable
    assert ledger.last_error is not None
    assert "away" in ledger.last_error
    outage.is_on = False
    await ledger.spent("acme|m:acme", 0)
    assert ledger.pending == 0
    assert ledger.last_error is None
    assert ledger.lag_s == 0.0
    await asyncio.to_thread(ledger.close)
    assert sorted(read(path)) == sorted(written)


async def _soon(ledger: Ledger) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "SPENT_WITHIN_S", 0.01)
        return await ledger.spent("acme|m:acme", 0)


async def test_what_does_not_fit_into_memory_waits_in_the_journal(path: Path, outage: Outage) -> None:
    ledger = await asyncio.to_thread(started, path)
    ledger._backlog._most = 10
    written = rows(300)
    for start in range(0, 300, 3):
        ledger.intend(as_intent(written[start]))
        ledger.append(written[start : start + 3])
    assert ledger._backlog.rows_in_memory < 20
    assert ledger.takes_billable
    outage.is_on = False
    await ledger.spent("acme|m:acme", 0)
    await asyncio.to_thread(ledger.close)
    assert sorted(read(path)) == sorted(written)


def test_marks_of_waiting_rows_are_few_and_the_oldest_counts(
    path: Path, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MARK_EVERY_S", 1_000.0)
    ledger = started(path)
    for row in rows(400):
        ledger.intend(as_intent(row))
        ledger.append([row])
    assert ledger.lag_s > 0
    assert [count for count, _ in ledger._waiting_since] == [400]
    assert ledger.open_intents == 0
    assert ledger.journal_bytes > 400
    outage.is_on = False
    ledger.close()
    assert ledger.lag_s == 0.0


def test_one_impossible_value_does_not_keep_the_rest_off_the_disk(path: Path) -> None:
    good = rows(3)
    ledger = started(path)
    ledger.intend(good[1]._replace(model_requested="\ud800"))
    ledger.append([good[0], good[1]._replace(input_tokens=2**80), good[2]._replace(model_requested="\ud800")])
    ledger.append(rows(2))
    ledger.close()
    assert len(read(path)) == 5
    assert good[0] in read(path)


def test_a_ledger_of_a_newer_pointsman_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"schema version 9999 and this Pointsman knows"):
        started(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("dear diary, today nothing happened at all, and it went on and on. " * 20)
    with pytest.raises(LedgerError, match="cannot be opened"):
        started(text)
    foreign = tmp_path / "other.db"
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE invoices (id)")
    with pytest.raises(LedgerError, match="not a Pointsman ledger"):
        started(foreign)


def test_a_journal_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"journal .* cannot be written"):
        Ledger(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "file" / "journal").start()


def test_a_postgresql_that_does_not_answer_is_refused_after_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "OPEN_WITHIN_S", 0.05)
    ledger = Ledger("postgresql://pointsman@127.0.0.1:9/pointsman", tmp_path / "journal")
    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.start()
    assert not ledger.write_failures


async def test_a_postgresql_that_is_stopped_and_started_gets_every_row_once(tmp_path: Path) -> None:
    server = postgres_server()
    url = server.fresh_url()
    ledger = Ledger(url, tmp_path / "journal")
    await asyncio.to_thread(ledger.start)
    ledger._backlog._most = 50
    written = rows(600)
    for start in range(0, 600, 20):
        if start in (100, 400):
            await asyncio.to_thread(server.stop)
        ledger.append(written[start : start + 20])
        if start in (300, 500):
            assert ledger.pending
            server.start()  # it dies with the thread that starts it, so none of the loop's
        await asyncio.sleep(0.005)
    while ledger.pending:
        with suppress(LedgerError):
            await ledger.spent("acme|m:acme", 0)
    await asyncio.to_thread(ledger.close)
    name = url.partition("@/")[2].partition("?")[0]
    found = server.sql("SELECT count(*), sum(output_tokens) FROM attempts", name)
    assert found.strip() == f"600|{600 * 4}"
    assert server.sql("SELECT sum(output_tokens) FROM usage_hourly", name).strip() == str(600 * 4)
    assert not list(tmp_path.rglob("*.segment"))  # noqa: ASYNC240 - a test may


def test_rows_wait_while_another_process_locks_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.01)
    ledger = started(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        ledger.append(rows(5))
        while ledger.last_error is None:
            ledger.append([])
        assert "locked" in ledger.last_error
        assert ledger.pending == 5
        blocker.execute("COMMIT")
    ledger.close()
    assert len(read(path)) == 5


@pytest.mark.parametrize("url", ["mysql://db/x", "sqlite://x", "sqlite:///", "", "/tmp/x.db"])  # noqa: S108 - not opened
def test_only_sqlite_files_and_postgresql_can_be_named(url: str) -> None:
    with pytest.raises(LedgerError, match="sqlite:///FILE"):
        Ledger(url)


def test_postgresql_needs_a_folder_for_the_journal() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.journal"):
        Ledger("postgresql://db/x")
