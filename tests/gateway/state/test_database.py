from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from gateway.state.database import Database, DatabaseUnavailable, sqlite_path
from gateway.state.ledger.schema import LedgerError
from gateway.state.ledger.sql import append
from tests.gateway.state.ledger_rows import a_row, asked, written
from tests.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/var/ledger.db")
    await made.migrate()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///ledger.db", "ledger.db"),
        ("sqlite:////var/lib/ledger.db", "/var/lib/ledger.db"),
        ("postgresql://ada:secret@db/pointsman", None),
    ],
)
def test_a_url_names_a_file_or_a_server(url: str, path: str | None) -> None:
    assert sqlite_path(url) == (Path(path) if path is not None else None)


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "sqlite:////", "mysql://db/x", "sqlite:ledger.db", "x"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="must be sqlite:///FILE"):
        Database(url)


def test_a_password_is_never_in_a_name() -> None:
    assert Database("postgresql://ada:secret@db:5433/spend?sslmode=require").name == "postgresql://db/spend"


async def test_a_file_is_its_owners_alone_and_survives_a_power_cut(file: Database) -> None:
    await append(file, [a_row()])
    assert file.path is not None
    modes = {stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.iterdir()}
    assert modes == {0o600}
    async with file.begin() as connection:
        pragmas = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")
        ]
    assert pragmas == ["wal", 2]


async def test_reading_goes_on_beside_a_writer_and_sees_nothing_unfinished(database: Database) -> None:
    await append(database, [a_row("req_1")])
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM attempts"))
        assert len(await written(database)) == 1


async def test_reading_writes_nothing(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"read-?only"):
        async with database.read() as connection:
            await connection.execute(text("DELETE FROM attempts"))


async def test_a_locked_file_is_worth_another_try(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.database.BUSY_TIMEOUT_S", 0.05)
    assert file.path is not None
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await append(file, [a_row()])
    assert await append(file, [a_row()]) == 1


async def test_a_full_disk_is_worth_another_try_and_leaves_nothing(file: Database) -> None:
    async with file.begin() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DatabaseUnavailable, match="full"):
        await append(file, [a_row(f"req_{number}") for number in range(500)])
    assert await written(file) == []
    assert await asked(file, "SELECT * FROM usage_hourly") == []
    async with file.begin() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert await append(file, [a_row(f"req_{number}") for number in range(500)]) == 500


async def test_writers_of_one_file_wait_for_each_other(file: Database) -> None:
    other = Database(file.url)
    try:
        batches = [[a_row(f"req_{batch}_{number}") for number in range(20)] for batch in range(10)]
        taken = await asyncio.gather(*(append(one, batch) for batch in batches for one in (file, other)))
    finally:
        await other.close()
    assert sum(taken) == 200


async def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await written(database)
    await database.close()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test may look


async def test_a_killed_connection_costs_one_failure_at_most(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("there is no connection to kill")
    await append(database, [a_row("req_1")])
    with pytest.raises(DatabaseUnavailable):
        await write_while_killed(database)
    assert await append(database, [a_row("req_1"), a_row("req_2")]) == 1
    assert len(await written(database)) == 2


async def write_while_killed(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM attempts"))
        postgres_server().sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pointsman'"
        )
        await connection.execute(text("SELECT 1"))


async def test_a_server_that_is_not_there_is_worth_another_try(tmp_path: Path) -> None:
    postgres_server()  # or asyncpg may not be there either
    database = Database(f"postgresql://nobody:secret@/none?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable) as raised:
        await database.migrate()
    assert "secret" not in str(raised.value)
    await database.close()


async def test_a_server_commits_to_disk_and_waits_for_nothing_for_ever(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("settings of a server")
    async with database.begin() as connection:
        names = ("synchronous_commit", "lock_timeout", "idle_in_transaction_session_timeout")
        told = [(await connection.exec_driver_sql(f"SHOW {name}")).scalar() for name in names]
    assert told == ["on", "10s", "1min"]


async def test_a_closed_database_opens_again(database: Database) -> None:
    await append(database, [a_row("req_1")])
    await database.close()
    assert len(await written(database)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="cannot be opened"):
        asyncio.run(Database(f"sqlite:///{tmp_path}/ledger.db").migrate())
