"""The database of ledger and keys: SQLite or PostgreSQL through SQLAlchemy's asyncio side, imported when needed.

SQLite: WAL, one writer at a time, and `synchronous=FULL`, because the journal forgets what is committed here: a commit
that a power cut takes back would be money lost. It costs one fsync a batch, outside the event loop.
PostgreSQL: a small pool, `synchronous_commit=on`, and time limits on all that can hang.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway import extras
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BUSY_TIMEOUT_S: Final = 5.0
CHECKPOINT_PAGES: Final = 4_000
CONNECT_S: Final = 5.0
STATEMENT_S: Final = 30.0
POOL_SIZE: Final = 4
SERVER_SETTINGS: Final = {
    "application_name": "pointsman",
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


class DatabaseUnavailable(LedgerError):  # noqa: N818 - it says what is wrong
    """The database did not do it, and nothing of the transaction stands; the same may succeed later."""


class Database:
    """One database by its URL: sqlite:///FILE, sqlite:////FILE or postgresql://...

    Belongs to the event loop that first uses it, and opens nothing before. Every method raises `LedgerError`, which is
    `DatabaseUnavailable` where trying again may help.
    """

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url)
        self.url = url
        self.name = str(self.path) if self.path is not None else _shown(url)
        self._opening = asyncio.Lock()
        self._writing: AsyncEngine | None = None
        self._reading: AsyncEngine | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    async def migrate(self) -> None:
        """Create the tables, or bring those of an older Pointsman up to date; at once where there is nothing to do.

        Any number of nodes may do so at the same time. Refuses what a newer Pointsman wrote and what is no ledger.
        """
        from gateway.state.migrating import bring_up_to_date  # noqa: PLC0415 - not needed by those who only read

        with self._translated():
            await bring_up_to_date(self)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: commits at the end of the block, leaves nothing behind where that raises."""
        with self._translated():
            async with self._opening:
                if self._writing is None:
                    self._writing = await asyncio.to_thread(self.engine)
            async with self._writing.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and writes nothing; never waits for writers."""
        with self._translated():
            async with self._opening:
                if self._reading is None:
                    self._reading = await asyncio.to_thread(self.engine, reads_only=True)
            async with self._reading.connect() as connection:
                yield connection

    async def close(self) -> None:
        for engine in (self._writing, self._reading):
            if engine is not None:
                await engine.dispose()
        self._writing = self._reading = None

    def engine(self, *, reads_only: bool = False, is_patient: bool = False) -> AsyncEngine:
        """A fresh engine, for the caller to dispose of. Blocks: the first one imports SQLAlchemy."""
        if self.path is not None:
            return _sqlite_engine(self.path, reads_only=reads_only)
        return _postgres_engine(self.url, None if is_patient else STATEMENT_S, reads_only=reads_only)

    def _translated(self) -> _Translated:
        return _Translated(self.name)


class _Translated:
    """Turns what drivers raise into `DatabaseUnavailable`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, LedgerError) and _is_of_a_driver(error):
            said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
            raise DatabaseUnavailable(f"the ledger {self._name} cannot be used: {said}") from error


def _is_of_a_driver(error: Exception) -> bool:
    """OSError includes time-outs. asyncpg's own errors reach us where connecting fails; it is an optional import."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - a driver has failed, so it is imported

    return isinstance(error, SQLAlchemyError | OSError | sqlite3.Error) or type(error).__module__.startswith("asyncpg")


def sqlite_path(url: str) -> Path | None:
    """The file of a sqlite URL, None for a PostgreSQL one. Raises `LedgerError` for all else."""
    scheme, separator, rest = url.partition(":///")
    if scheme == "sqlite" and separator and rest and rest.strip("/"):
        return Path(rest)
    if url.startswith(("postgresql://", "postgres://")):
        return None
    raise LedgerError(
        "the ledger's URL must be sqlite:///FILE, sqlite:////FILE for an absolute path, or postgresql://HOST/DATABASE"
    )


def create_file(path: Path) -> None:
    """An empty file for its owner's eyes only, where there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def _shown(url: str) -> str:
    """The URL without its password and settings."""
    parts = urlsplit(url)
    return f"postgresql://{parts.hostname or ''}{parts.path}"


def _sqlite_engine(path: Path, *, reads_only: bool) -> AsyncEngine:
    from sqlalchemy import URL, event  # noqa: PLC0415 - 0.2 s that a start should not wait for
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - as above

    url = URL.create(
        "sqlite+aiosqlite",
        database=path.absolute().as_uri(),
        query={"mode": "ro" if reads_only else "rw", "uri": "true"},
    )
    engine = create_async_engine(
        url,
        # sqlite3 leaves transactions to us; one writer, since SQLite has no use for a second.
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S},
        hide_parameters=True,  # an error's text names no key and no user
        pool_size=2 if reads_only else 1,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_S * 2,
    )
    event.listen(engine.sync_engine, "connect", _set_reading if reads_only else _set_writing)
    event.listen(engine.sync_engine, "begin", _begin_deferred if reads_only else _begin_immediate)
    return engine


def _set_reading(connection: DBAPIConnection, _record: object) -> None:
    _pragmas(connection, "query_only=ON")


def _set_writing(connection: DBAPIConnection, _record: object) -> None:
    _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={CHECKPOINT_PAGES}")


def _pragmas(connection: DBAPIConnection, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    """The right to write is taken first: a transaction that finds it taken halfway would have to start over."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgres_engine(url: str, statement_s: float | None, *, reads_only: bool) -> AsyncEngine:
    extras.require(extras.POSTGRES)
    import asyncpg  # noqa: PLC0415 - an optional part
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - 0.2 s that a start should not wait for

    settings = {**SERVER_SETTINGS, "default_transaction_read_only": "on" if reads_only else "off"}

    async def connect() -> object:
        # asyncpg reads the URL itself, with all that libpq would understand: sslmode, sslrootcert, host, options.
        return await asyncpg.connect(dsn=url, timeout=CONNECT_S, command_timeout=statement_s, server_settings=settings)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=CONNECT_S * 2,
        pool_pre_ping=True,  # a server that restarted costs nobody a failure
    )
