"""Brings a database to the layout that this Pointsman knows, by the alembic revisions in `gateway/state/migrations/`.

Every start asks, so a database that is up to date costs no import of alembic, and a file none of SQLAlchemy; nor does a
new file, which gets at once what all revisions together would make of it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.database import BUSY_TIMEOUT_S, DatabaseUnavailable, create_file
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from gateway.state.database import Database

MIGRATIONS: Final = Path(__file__).parent / "migrations"
NEW_LEDGER: Final = MIGRATIONS / "new_ledger.sql"
FIRST: Final = "0001"
LOCK: Final = 0x706F696E74736D6E
"""PostgreSQL's advisory lock of whoever migrates: "pointsmn"."""


class Found(NamedTuple):
    """What a database is: its tables, the revision that alembic noted, and the version before there was alembic."""

    tables: frozenset[str]
    revision: str | None = None
    old_version: int | None = None


@cache
def newest() -> str:
    """The last revision; they are numbered, and their files are named after them."""
    return max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("v[0-9]*.py"))


async def bring_up_to_date(database: Database) -> None:
    """Raises `LedgerError`."""
    if not await _is_current(database):
        # In a thread with a loop of its own: alembic reads files and computes for a while.
        await asyncio.to_thread(asyncio.run, migrate(database))


async def require_current(database: Database) -> None:
    """Leave the database as it is; raises `LedgerError` unless this Pointsman can read it."""
    if database.path is not None and not await asyncio.to_thread(database.path.is_file):
        raise LedgerError(f"there is no ledger at {database.path}")
    async with database.read() as connection:
        found = await connection.run_sync(_look)
    if not found.tables or not is_current(found, database.name):
        raise LedgerError(f"{database.name} is not a ledger of this Pointsman yet: start the gateway on it once")


async def _is_current(database: Database) -> bool:
    if database.path is not None:
        found = await asyncio.to_thread(_look_into_file, database.path)
    else:
        async with database.read() as connection:
            found = await connection.run_sync(_look)
    return is_current(found, database.name)


def is_current(found: Found, name: str) -> bool:
    """Whether there is nothing to do. Raises `LedgerError` where nothing can be done."""
    if found.revision is not None and found.revision.isdigit():
        if found.revision > newest():
            raise _newer(name, found.revision)
        return found.revision == newest()
    if found.old_version is not None and found.old_version > int(FIRST):
        raise _newer(name, found.old_version)
    if found.tables and (found.old_version is None or found.revision is not None):
        raise LedgerError(f"{name} is a database, but not a Pointsman ledger")
    return False


def _newer(name: str, version: object) -> LedgerError:
    return LedgerError(
        f"the ledger {name} has schema version {version} and this Pointsman knows {newest()}: "
        "a newer Pointsman wrote it, so use that one"
    )


def _look_into_file(path: Path) -> Found:
    try:
        create_file(path)
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            found = found_in_file(connection)
            return found if found.tables else _made_new(connection)
    except (OSError, sqlite3.Error) as error:
        is_busy = "locked" in str(error)
        raise (DatabaseUnavailable if is_busy else LedgerError)(
            f"the ledger {path} cannot be opened: {error}"
        ) from error


def _made_new(connection: sqlite3.Connection) -> Found:
    """In one transaction that no other process can share: the first does it, the others find it done."""
    connection.execute("BEGIN IMMEDIATE")
    found = found_in_file(connection)
    if not found.tables:
        for statement in NEW_LEDGER.read_text(encoding="utf-8").split(";\n"):
            connection.execute(statement)
        found = found_in_file(connection)
    connection.execute("COMMIT")
    return found


def found_in_file(connection: sqlite3.Connection) -> Found:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = frozenset(name for (name,) in names)
    revision = _first(connection, "SELECT version_num FROM alembic_version") if "alembic_version" in tables else None
    old = _first(connection, "SELECT max(version) FROM schema_version") if "schema_version" in tables else None
    return Found(tables, str(revision) if revision is not None else None, int(old) if old is not None else None)


def _first(connection: sqlite3.Connection, statement: str) -> str | int | None:
    row = connection.execute(statement).fetchone()
    return row[0] if row is not None else None


def _look(connection: Connection) -> Found:
    """As above, through SQLAlchemy: over both databases."""
    from sqlalchemy import inspect, text  # noqa: PLC0415 - imported by now

    tables = frozenset(inspect(connection).get_table_names())
    revision, old = None, None
    if "alembic_version" in tables:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if "schema_version" in tables:
        old = connection.execute(text("SELECT max(version) FROM schema_version")).scalar()
    return Found(tables, revision, old)


async def migrate(database: Database) -> None:
    """Take every step that is missing, whatever the database is. Raises `LedgerError`."""
    engine = database.engine(is_patient=True)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, database.name)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, name: str) -> None:
    """In one transaction that no other node can share: the first does it, the others find it done."""
    # Already its import tells of plugins, and what follows of each step: nothing that a gateway's log is for.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command  # noqa: PLC0415 - only where there is something to do
    from alembic.config import Config  # noqa: PLC0415 - as above

    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    found = _look(connection)
    if is_current(found, name):
        return
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    if found.revision is None and found.old_version is not None:
        command.stamp(config, FIRST)  # written before there was alembic
    command.upgrade(config, "head")
