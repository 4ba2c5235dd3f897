from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from gateway.state.database import Database
from gateway.state.ledger.schema import LedgerRow
from gateway.state.migrating import MIGRATIONS
from tests.gateway.state.ledger_rows import a_row, written

if TYPE_CHECKING:
    from pathlib import Path


def as_it_was(path: Path, row: LedgerRow) -> None:
    """A ledger of the release before, with an attempt in it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0004")
    engine.dispose()
    with closing(sqlite3.connect(path)) as ledger, ledger:
        names = LedgerRow._fields[: LedgerRow._fields.index("engine_ms")]
        values = [getattr(row, name) for name in names]
        ledger.execute(f"INSERT INTO attempts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608 - names of our own


async def test_an_attempt_of_before_stays_and_had_no_time_that_anybody_knows_of(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db", a_row())
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    assert await written(database) == [a_row()]
    assert a_row().engine_ms is None
    await database.close()
