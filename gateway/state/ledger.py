"""The ledger: one row per attempt in SQLite, the billing truth. A thread writes; the event loop only hands rows over.

Journal mode is WAL with `synchronous=NORMAL`: a crash of the gateway loses nothing that was committed, a power cut can
lose the last commits. A write that fails is tried again until it succeeds; rows wait in memory and none is dropped.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from gateway.state.journal import MOST_BYTES, Journal
from gateway.state.journal_slots import claim
from gateway.state.ledger_schema import CREATE, ROWS_PER_INSERT, VERSION, LedgerRow, insert_of
from gateway.state.ledger_schema import LedgerError as LedgerError  # noqa: PLC0414 - callers import it from here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.journal_slots import Slot

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 5.0
CHECKPOINT_PAGES = 4_000
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 5.0
GATHER_S = 0.2
MOST_ROWS_PER_COMMIT = 2_000
CLOSE_WITHIN_S = 10.0
MOST_ROWS_IN_MEMORY = 20_000


class Ledger:
    """Appends rows to a ledger file. `pending` rows are not on disk yet; `last_error` says what keeps them waiting."""

    def __init__(self, url: str, journal: Path | None = None, journal_max_bytes: int = MOST_BYTES) -> None:
        """`journal` is the folder of the write-ahead journal; beside the ledger's file where none is named."""
        self.path = ledger_path(url)
        self._folder = self.path.with_name(f"{self.path.name}.journal") if journal is None else journal
        self._journal_max_bytes = journal_max_bytes
        self._slot: Slot | None = None
        self._journal: Journal | None = None
        self.last_error: str | None = None
        self.write_failures = 0
        self._inserts = {2**power: insert_of(2**power) for power in range(ROWS_PER_INSERT.bit_length())}
        self._handed_over = 0
        self._written = 0
        self._queue: SimpleQueue[Sequence[LedgerRow] | None] = SimpleQueue()
        self._waiting_since: deque[tuple[int, float]] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        return self._handed_over - self._written

    @property
    def takes_billable(self) -> bool:
        """False when what an attempt costs could be lost: neither journal nor database takes more."""
        can_write = self._journal is None or self._journal.takes
        return can_write or self.pending < MOST_ROWS_IN_MEMORY

    @property
    def lag_s(self) -> float:
        """Age of the oldest row that is not on disk."""
        waiting = self._waiting_since
        while waiting and waiting[0][0] <= self._written:
            waiting.popleft()
        return time.monotonic() - waiting[0][1] if waiting else 0.0

    def start(self) -> None:
        """Open the file, creating it where there is none, and start the writer. Raises `LedgerError`."""
        open_ledger(self.path).close()
        try:
            self._slot = claim(self._folder)
            self._journal = Journal(self._slot, self._journal_max_bytes)
            self._journal.start()
        except OSError as error:
            raise LedgerError(f"the journal {self._folder} cannot be written: {error}") from error
        self._thread = threading.Thread(target=self._write_all, name="ledger", daemon=True)
        self._thread.start()

    def intend(self, row: LedgerRow) -> None:
        """Write down what is about to be sent: the row as it is to stand if no outcome ever comes."""
        if self._journal is not None:
            self._journal.intend(row)

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Hand rows over; returns at once."""
        if rows:
            if self._journal is not None:
                self._journal.add(rows)
            self._handed_over += len(rows)
            self._waiting_since.append((self._handed_over, time.monotonic()))
            self._queue.put(rows)
            self.lag_s  # noqa: B018 - drops the marks of what is written by now

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Write what is left, trying once more where writing fails. Blocks; call it from a thread."""
        if self._thread is None:
            return
        self._closing.set()
        self._queue.put(None)
        self._thread.join(within_s)
        self._thread = None
        if self._journal is not None and self._slot is not None:
            self._journal.close()
            self._slot.release()
        if self.pending:
            log.error("%d ledger rows could not be written before the end: %s", self.pending, self.last_error)

    # -- the writer's thread ----------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        connection: sqlite3.Connection | None = None
        is_last = False
        while not is_last:
            rows, is_last = self._take()
            connection = self._write_until_done(connection, rows)
        if connection is not None:
            connection.close()

    def _take(self) -> tuple[list[LedgerRow], bool]:
        """What is waiting, up to one commit's worth, and whether it is the end.

        Rows gather for a moment first: each commit costs the event loop the interpreter's lock a few times over.
        """
        rows: list[LedgerRow] = []
        batch = self._queue.get()
        self._closing.wait(GATHER_S)
        while batch is not None:
            rows += batch
            if len(rows) >= MOST_ROWS_PER_COMMIT:
                return rows, False
            try:
                batch = self._queue.get_nowait()
            except Empty:
                return rows, False
        return rows, True

    def _write_until_done(
        self, connection: sqlite3.Connection | None, rows: list[LedgerRow]
    ) -> sqlite3.Connection | None:
        wait_s = FIRST_RETRY_S
        while rows:
            was_closing = self._closing.is_set()
            try:
                connection = connection or open_ledger(self.path)
                self._insert(connection, rows)
            except (sqlite3.Error, LedgerError, OSError) as error:
                self._note_failure(connection, error)
                connection = None
                if was_closing:
                    return None
                self._closing.wait(wait_s)
                wait_s = min(wait_s * 2, LAST_RETRY_S)
            else:
                self._written += len(rows)
                if self._journal is not None:
                    self._journal.committed(self._written)
                self.last_error = None
                break
        return connection

    def _insert(self, connection: sqlite3.Connection, rows: list[LedgerRow]) -> None:
        with connection:
            try:
                self._insert_together(connection, rows)
            except (OverflowError, UnicodeError, sqlite3.DataError, sqlite3.ProgrammingError):
                # One value that SQLite cannot hold must not keep the rest off the disk for ever.
                connection.rollback()
                for row in rows:
                    self._insert_alone(connection, row)

    def _insert_together(self, connection: sqlite3.Connection, rows: list[LedgerRow]) -> None:
        """By powers of two rows a statement: each step of a statement takes the interpreter's lock from the event loop
        once, so a step per row would stall it thousands of times a second, and only a few statements are ever prepared.
        """
        done, many = 0, ROWS_PER_INSERT
        while done < len(rows):
            while many > len(rows) - done:
                many //= 2
            values = tuple(chain.from_iterable(rows[done : done + many]))
            connection.execute(self._inserts[many], values)
            done += many

    def _insert_alone(self, connection: sqlite3.Connection, row: LedgerRow) -> None:
        try:
            connection.execute(self._inserts[1], row)
        except (OverflowError, UnicodeError, sqlite3.DataError, sqlite3.ProgrammingError):
            self.write_failures += 1
            log.exception("the ledger cannot hold attempt %d of %r", row.attempt, row.request_id)

    def _note_failure(self, connection: sqlite3.Connection | None, error: Exception) -> None:
        """A fresh connection follows: the file may have been moved, or its disk come back."""
        self.write_failures += 1
        if self.last_error is None:
            log.error("the ledger %s cannot be written, rows wait in memory: %s", self.path, error)
        self.last_error = str(error)
        if connection is not None:
            connection.close()


def ledger_path(url: str) -> Path:
    """The file of `sqlite:///relative.db` or `sqlite:////absolute.db`. Raises `LedgerError`."""
    scheme, separator, rest = url.partition(":///")
    if scheme != "sqlite" or not separator or not rest:
        raise LedgerError("the ledger's URL must be sqlite:///FILE, or sqlite:////FILE for an absolute path")
    return Path(rest)


def open_ledger(path: Path) -> sqlite3.Connection:
    """A connection to the ledger at `path`, which is created, for its owner's eyes only, where there is none."""
    try:
        _create_file(path)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level="IMMEDIATE")
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"the ledger {path} cannot be opened: {error}") from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        _prepare(connection, path)
    except (LedgerError, sqlite3.Error) as error:
        connection.close()
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"the ledger {path} cannot be used: {error}") from error
    return connection


def read_ledger(path: Path) -> sqlite3.Connection:
    """A read-only connection to an existing ledger; a running gateway does not notice. Raises `LedgerError`."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        version = schema_version(connection)
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error}") from error
    if version is None or version > VERSION:
        connection.close()
        raise _unknown_version(path, version)
    return connection


def schema_version(connection: sqlite3.Connection) -> int | None:
    """The version that wrote this ledger; None for a file that is no ledger yet."""
    names = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
    if connection.execute(names).fetchone() is None:
        return None
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(row[0])


def _create_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in an empty file; leave a ledger of this version alone; refuse everything else."""
    if schema_version(connection) == VERSION:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        version = schema_version(connection)  # another process may have been first
        if version == VERSION:
            return
        has_tables = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
        if version is not None or has_tables:
            raise _unknown_version(path, version)
        for statement in CREATE:
            connection.execute(statement)


def _unknown_version(path: Path, version: int | None) -> LedgerError:
    if version is None:
        return LedgerError(f"{path} is a database, but not a Pointsman ledger")
    return LedgerError(
        f"the ledger {path} has schema version {version} and this Pointsman knows {VERSION}: "
        "a newer Pointsman wrote it, so use that one"
    )
