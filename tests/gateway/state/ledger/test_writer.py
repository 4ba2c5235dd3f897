from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

import gateway.state.ledger.writer as writer_module
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.database import Database, DatabaseUnavailable
from gateway.state.journal.backlog import Backlog
from gateway.state.journal.journal import Journal
from gateway.state.journal.slots import claim
from gateway.state.ledger import sql as ledger_sql
from gateway.state.ledger.schema import LedgerError, LedgerRow
from gateway.state.ledger.writer import LedgerWriter
from policies.usage import Usage
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.state.ledger.prices import PriceRow

ROW: LedgerRow = ledger_rows(settle(answered(Usage(3, 4))))[0]


class Fake(Database):
    """A database in memory. It opens after `refusals` tries and fails every batch that `poison` says."""

    def __init__(self) -> None:
        super().__init__("sqlite:////nowhere/at/all.db")
        self.refusals = 0
        self.error: LedgerError = DatabaseUnavailable("not yet")
        self.batches: list[list[LedgerRow]] = []
        self.failures = 0
        self.is_closed = False

    async def migrate(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise self.error

    async def close(self) -> None:
        self.is_closed = True


class Bench(NamedTuple):
    database: Fake
    backlog: Backlog
    journal: Journal
    writer: LedgerWriter

    def put(self, rows: Sequence[LedgerRow]) -> None:
        self.backlog.put(rows, self.journal.add(rows))
        self.writer.wake()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    async def append(database: Database, rows: Sequence[LedgerRow], _prices: Sequence[PriceRow]) -> int:
        assert isinstance(database, Fake)
        if database.failures:
            database.failures -= 1
            raise RuntimeError("even what nobody foresaw")
        database.batches.append(list(rows))
        return len(rows)

    monkeypatch.setattr(ledger_sql, "append", append)
    monkeypatch.setattr(writer_module, "GATHER_S", 0.001)
    monkeypatch.setattr(writer_module, "FIRST_RETRY_S", 0.001)
    slot = claim(tmp_path)
    journal = Journal(slot)
    journal.start()
    backlog, database = Backlog(), Fake()
    yield Bench(database, backlog, journal, LedgerWriter(database, backlog, journal, slot))
    journal.close()
    slot.release()


def rows(count: int) -> list[LedgerRow]:
    return [ROW._replace(request_id=f"req_{number}") for number in range(count)]


def test_it_waits_a_moment_for_a_database_that_is_not_there_yet(bench: Bench) -> None:
    bench.database.refusals = 3
    bench.writer.start()
    bench.writer.close(5)
    assert bench.database.refusals == 0
    assert bench.database.is_closed


def test_it_gives_up_where_waiting_cannot_help(bench: Bench) -> None:
    bench.database.refusals = 3
    bench.database.error = LedgerError("a newer Pointsman wrote it")
    with pytest.raises(LedgerError, match="newer"):
        bench.writer.start()
    assert bench.database.refusals == 2
    assert bench.database.is_closed


def test_many_small_appends_become_few_commits(bench: Bench) -> None:
    written = rows(500)
    for row in written:
        bench.put([row])
    bench.writer.start()
    bench.writer.close(5)
    assert [row for batch in bench.database.batches for row in batch] == written
    assert len(bench.database.batches) < 5
    assert bench.writer.written == 500


def test_whatever_fails_is_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.writer.start()
    bench.database.failures = 3
    bench.put(rows(4))
    while bench.writer.written < 4:
        bench.writer.wake()
    bench.writer.close(5)
    assert bench.writer.write_failures == 3
    assert bench.writer.last_error is None
    assert bench.database.batches == [rows(4)]
    assert len(caplog.records) == 1


def test_at_the_end_it_tries_once_more_and_no_longer(bench: Bench) -> None:
    bench.writer.start()
    bench.database.failures = 1_000_000
    bench.put(rows(4))
    bench.writer.close(5)
    assert bench.writer.written == 0
    assert bench.database.is_closed
    bench.writer.wake()  # nobody is there any more, and that is no error
    bench.writer.close(5)


def test_rows_that_the_journal_lost_are_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.backlog._most = 0
    written = rows(3)
    bench.put(written)
    path = bench.journal._slot.path_of(1)
    path.write_bytes(path.read_bytes()[:-1])
    bench.writer.start()
    bench.writer.close(5)
    assert bench.database.batches == [written[:2]]
    assert bench.writer.written == 3
    assert bench.writer.write_failures == 1
    assert "1 ledger rows cannot be read back" in caplog.text


def test_each_write_is_told_with_all_that_is_written_by_then(bench: Bench) -> None:
    told: list[tuple[int, int]] = []
    times_ns: list[int] = []

    def committed(rows: int, written: int, took_ns: tuple[int, int]) -> None:
        told.append((rows, written))
        times_ns.extend(took_ns)

    bench.writer.committed = committed
    bench.put([ROW, ROW])
    bench.writer.start()
    bench.writer.close(within_s=5)
    assert told == [(2, 2)]
    assert times_ns == sorted(times_ns)
