from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from gateway.state.database import Database
from gateway.state.ledger.rollups import COMPONENTS, MEASURES
from gateway.state.ledger.schema import LedgerError, LedgerRow
from gateway.state.ledger.sql import append
from gateway.state.migrating import NEW_LEDGER, newest
from scripts.make_new_ledger import new_ledger_sql
from tests.conftest import ROOT
from tests.gateway.state.ledger.test_sql import measure
from tests.gateway.state.ledger_rows import a_row, asked, written
from tests.gateway.state.old_ledger import write_old

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {"alembic_version", "attempts", "usage_hourly", "charges"}


async def revision_of(database: Database) -> list[tuple[str]]:
    return await asked(database, "SELECT version_num FROM alembic_version")


async def test_an_empty_database_gets_every_table(database: Database) -> None:
    for table in TABLES:
        await asked(database, f"SELECT * FROM {table}")  # noqa: S608 - our words
    assert await revision_of(database) == [(newest(),)]


async def test_the_columns_are_the_rows_fields_in_order(database: Database) -> None:
    async with database.read() as connection:
        result = await connection.exec_driver_sql("SELECT * FROM attempts")
        assert tuple(result.keys()) == LedgerRow._fields


async def test_again_changes_nothing(database: Database) -> None:
    await append(database, [a_row()])
    await database.migrate()
    assert await written(database) == [a_row()]


async def test_alembic_is_not_heard_unless_it_warns(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fresh = Database(database_url)
        await fresh.migrate()
        await fresh.close()
        logging.getLogger("alembic.runtime.migration").warning("look here")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("alembic")] == ["look here"]


def test_the_import_of_alembic_is_not_heard_either(tmp_path: Path) -> None:
    write_old(tmp_path / "ledger.db")
    program = (
        "import asyncio, logging; logging.basicConfig(level=logging.INFO); "
        "from gateway.state.database import Database; "
        f"asyncio.run(Database('sqlite:///{tmp_path}/ledger.db').migrate())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


async def test_nodes_that_start_together_do_not_collide(database_url: str) -> None:
    nodes = [Database(database_url) for _ in range(6)]
    await asyncio.gather(*(node.migrate() for node in nodes))
    assert await revision_of(nodes[0]) == [(newest(),)]
    for node in nodes:
        await node.close()


def test_processes_that_start_together_do_not_collide(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from gateway.state.database import Database; "
        "asyncio.run(Database(f'sqlite:///{sys.argv[1]}').migrate())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "ledger.db")]
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in started] == [(b"", 0)] * 4


async def test_a_ledger_of_the_first_release_is_taken_over_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    rows = write_old(path)
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    assert sorted(await written(database)) == sorted(rows)
    assert await summed(database) == measure(rows)[:OLD]
    assert await append(database, [rows[0], a_row("req_new")]) == 1
    assert await summed(database) == measure([*rows, a_row("req_new")])[:OLD]
    await database.close()


OLD = len(MEASURES) - len(COMPONENTS)
"""How many sums there were before they knew of components."""


async def summed(database: Database) -> list[int]:
    names = ", ".join(f"sum({name})" for name in MEASURES[:OLD])
    ((*sums,),) = await asked(database, f"SELECT {names} FROM usage_hourly")  # noqa: S608 - our words
    return sums


async def test_a_takeover_that_fails_leaves_the_old_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    write_old(path)
    before = dump(path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("alembic.command.upgrade", fail)
    with pytest.raises(LedgerError, match="disk full"):
        await Database(f"sqlite:///{path}").migrate()
    assert dump(path) == before


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def test_a_ledger_of_a_newer_pointsman_is_refused_and_left_alone(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=rf"schema version 9999 and this Pointsman knows {newest()}: a newer"):
        await database.migrate()
    assert await revision_of(database) == [("9999",)]


async def test_an_old_ledger_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    write_old(tmp_path / "ledger.db", version=99)
    with pytest.raises(LedgerError, match="schema version 99"):
        await Database(f"sqlite:///{tmp_path}/ledger.db").migrate()


async def test_the_first_release_refuses_what_was_taken_over(tmp_path: Path) -> None:
    """It asks `schema_version` alone, and knows 1."""
    path = tmp_path / "ledger.db"
    write_old(path)
    await Database(f"sqlite:///{path}").migrate()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (2,)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (id INTEGER)"],
        ["CREATE TABLE alembic_version (version_num VARCHAR(32))", "INSERT INTO alembic_version VALUES ('ab12cd34')"],
    ],
)
async def test_a_database_that_is_no_ledger_is_refused_and_left_alone(database_url: str, statements: list[str]) -> None:
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection, connection:
            for statement in statements:
                connection.execute(statement)
    database = Database(database_url)
    if not database.is_sqlite:
        async with database.begin() as begun:
            for statement in statements:
                await begun.execute(text(statement))
    with pytest.raises(LedgerError, match="is a database, but not a Pointsman ledger"):
        await database.migrate()
    await database.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("Dear diary, this is no database. " * 100)
    with pytest.raises(LedgerError, match="not a database"):
        asyncio.run(Database(f"sqlite:///{tmp_path}/ledger.db").migrate())


def test_a_ledger_that_is_new_or_up_to_date_costs_a_start_no_import(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from gateway.state.database import Database; "
        f"asyncio.run(Database('sqlite:///{tmp_path}/ledger.db').migrate()); "
        "print(*sorted({'alembic', 'sqlalchemy', 'aiosqlite', 'asyncpg'} & sys.modules.keys()))"
    )
    told = [
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told == ["\n", "\n"]


def test_a_new_ledger_is_what_all_migrations_together_make() -> None:
    """Otherwise: scripts/make_new_ledger.py."""
    assert NEW_LEDGER.read_text() == new_ledger_sql()


def test_revisions_are_numbered_and_follow_each_other() -> None:
    from alembic.config import Config  # noqa: PLC0415 - as the gateway does
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(ROOT / "gateway" / "state" / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]
    assert revisions[0] == newest()
