"""The snapshot's file: whose it is, whether it is one, and what it is replaced by where it is not.

A SQLite file in WAL mode, which a process that is killed leaves whole. It is made under another name and has its own
again when it is complete, so that one which is there says what it is. Nothing in it is believed: its schema is ours to
the letter, or it is set aside.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from gateway.state.locking import locked

APPLICATION_ID: Final = 0x504D_4143  # PMAC
VERSION: Final = 1
SLOTS_MAX: Final = 64
PAGE_BYTES: Final = 8192
"""A usual entry with its vector takes a third of it."""
COMPANIONS: Final = ("", "-wal", "-shm")
_MAGIC: Final = b"SQLite format 3\x00"
_SCHEMA: Final = (
    (
        "CREATE TABLE answers (id TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at_s REAL NOT NULL,"
        " entry BLOB NOT NULL, hits INTEGER NOT NULL, good INTEGER NOT NULL, bad INTEGER NOT NULL)"
    ),
    "CREATE TABLE learnt (name TEXT PRIMARY KEY, state BLOB NOT NULL)",
)


class DamagedFile(Exception):  # noqa: N818 - it says what is wrong
    """Not a snapshot of this version, whatever else it is."""


class Held:
    """A file that this process alone uses until `release`."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def release(self) -> None:
        os.close(self._lock_fd)

    def open(self) -> sqlite3.Connection:
        """Made where it is absent. Raises `DamagedFile`, and `sqlite3.Error` or `OSError` for a disk that fails."""
        if not self.path.exists():
            self._make()
        with suppress(OSError):
            self.path.chmod(0o600)
        connection = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            _check(connection)
        except sqlite3.Error as error:
            connection.close()
            if is_damage(error):
                raise DamagedFile(str(error)) from error
            raise
        except DamagedFile:
            connection.close()
            raise
        return connection

    def set_aside(self) -> Path:
        """Under its new name, in place of what was set aside before. Raises `OSError`."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for end in COMPANIONS:
            source, target = Path(f"{self.path}{end}"), Path(f"{aside}{end}")
            target.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                source.replace(target)
        return aside

    def delete(self) -> None:
        """Raises `OSError`."""
        for end in COMPANIONS:
            Path(f"{self.path}{end}").unlink(missing_ok=True)

    def _make(self) -> None:
        for end in COMPANIONS[1:]:  # of a file that is not there any more: they are nothing without it
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        new = self.path.with_name(f"{self.path.name}.new")
        for end in COMPANIONS:
            Path(f"{new}{end}").unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            for statement in (
                f"PRAGMA page_size={PAGE_BYTES}",
                *_SCHEMA,
                f"PRAGMA application_id={APPLICATION_ID}",
                f"PRAGMA user_version={VERSION}",
            ):
                connection.execute(statement)
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        new.replace(self.path)


def claim(path: Path) -> Held | None:
    """The first of `path`, `path.1`, ... that no living process holds; None where all are held. Raises `StartError` for
    what the operator must mend.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(SLOTS_MAX):
            held = _hold(path if number == 0 else path.with_name(f"{path.name}.{number}"))
            if held is not None:
                return held
    except OSError as error:
        raise StartError(f"the cache's file {path} cannot be used: {error}") from error
    return None


def is_damage(error: sqlite3.Error | DamagedFile) -> bool:
    """Whether the file is at fault, not the disk that it lies on, nor who else has it open."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return True
    return code & 0xFF not in {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT,
    }  # fmt: skip


def _hold(path: Path) -> Held | None:
    _check_kind(path)
    fd = locked(path.with_name(f"{path.name}.lock"))
    return None if fd is None else Held(path, fd)


def _check_kind(path: Path) -> None:
    """Somebody else's database is not taken, let alone set aside: it may be in use."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise StartError(f"the cache's file {path} is no file: name another")
    with path.open("rb") as file:
        head = file.read(100)
    if head.startswith(_MAGIC) and head[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise StartError(f"the cache's file {path} is another application's database: name another")


def _check(connection: sqlite3.Connection) -> None:
    for pragma in (
        "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "synchronous=NORMAL", "secure_delete=FAST",
        "journal_size_limit=16777216",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}").fetchall()
    found = connection.execute("PRAGMA application_id").fetchone(), connection.execute("PRAGMA user_version").fetchone()
    if found != ((APPLICATION_ID,), (VERSION,)):
        raise DamagedFile("it is of another version")
    schema = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in schema) != sorted(_SCHEMA):
        raise DamagedFile("its schema is not ours")
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise DamagedFile("it cannot be written ahead")
