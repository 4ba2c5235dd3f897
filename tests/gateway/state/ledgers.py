"""Ledgers over SQLite files for tests: started, away, read back, and left behind by a process that was killed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gateway.state.ledger.writer as writer_module
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.database import Database, DatabaseUnavailable
from gateway.state.journal.journal import Journal
from gateway.state.journal.slots import claim
from gateway.state.ledger import sql as ledger_sql
from gateway.state.ledger.ledger import Ledger
from gateway.state.ledger.schema import LedgerRow
from policies.usage import Usage
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.state.ledger.prices import PriceRow


def rows(count: int) -> list[LedgerRow]:
    return [row for _ in range(count) for row in ledger_rows(settle(answered(Usage(3, 4))))]


def as_intent(row: LedgerRow) -> LedgerRow:
    return row._replace(outcome="unknown", estimated=1, status=0, output_tokens=99)


def read(path: Path) -> list[LedgerRow]:
    with closing(sqlite3.connect(path)) as connection:
        return [LedgerRow(*row) for row in connection.execute("SELECT * FROM attempts ORDER BY request_id, attempt")]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without rows, made once: to make one takes a third of a second."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    started(path).close()
    return path


@pytest.fixture
def path(tmp_path: Path, empty: Path) -> Path:
    return Path(shutil.copy(empty, tmp_path / "ledger.db"))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    monkeypatch.setattr(writer_module, "GATHER_S", 0.001)
    monkeypatch.setattr(writer_module, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(writer_module, "LAST_RETRY_S", 0.01)


def started(path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.start()
    return ledger


class Outage:
    """A database that is away: set `is_on` to let it come back. `refused` counts what it did not take."""

    def __init__(self) -> None:
        self.is_on = True
        self.refused = 0
        self.append = ledger_sql.append

    async def __call__(self, database: Database, rows: Sequence[LedgerRow], prices: Sequence[PriceRow]) -> int:
        if self.is_on:
            self.refused += 1
            raise DatabaseUnavailable("the server is away")
        return await self.append(database, rows, prices)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    made = Outage()
    monkeypatch.setattr(ledger_sql, "append", made)
    yield made
    made.is_on = False


def leave_behind(path: Path, intents: Sequence[LedgerRow], outcomes: Sequence[LedgerRow]) -> None:
    """What a process that was killed leaves in its journal."""
    slot = claim(path.with_name(f"{path.name}.journal"))
    journal = Journal(slot)
    journal.start()
    for row in intents:
        journal.intend(row)
    if outcomes:
        journal.add(outcomes)
    journal.close()
    slot.release()
