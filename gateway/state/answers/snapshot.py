"""What keeps the answers of a process for its next one: a file that is written behind, within a second.

A thread writes what has changed, the latest of each entry, in one transaction; a process that is killed loses at most
what changed since. Entries are read in slices while the gateway serves. A file that is damaged is set aside and made
anew of what is in memory; a disk that fails is tried again, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from gateway.errors import StartError
from gateway.state.answers.snapshot_file import DamagedFile, claim, is_damage
from gateway.state.answers.snapshot_rows import LAST, Loaded, Rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.sealing import Sealing
    from gateway.state.answers.snapshot_file import Held
    from gateway.state.answers.snapshot_rows import Change
    from gateway.state.answers.store import Entry, Record

Waiting = asyncio.Future[None]

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
RETRY_S: Final = 1.0
WRITTEN_WITHIN_S: Final = 2.0
BATCH: Final = 1_000
UNWRITTEN_MAX: Final = 200_000


class Snapshot:
    """One process's file at `path`, or beside it where another process has that. It belongs to the event loop; what it
    hands to its thread is the changes.
    """

    def __init__(
        self,
        path: Path,
        sealing: Sealing | None = None,
        clock: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
    ) -> None:
        self.failures = 0
        self.last_error: str | None = None
        self._path = path
        self._sealing = sealing
        self._clock = clock
        self._every_s = every_s
        self._held: Held | None = None
        self._rows: Rows | None = None
        self._changes: dict[str, Change] = {}
        self._learnt: dict[str, bytes] = {}
        self._waiting: list[Waiting] = []
        self._is_closing = self._is_damaged = self._is_behind = False
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def unwritten(self) -> int:
        return len(self._changes) + len(self._learnt)

    async def start(self, refill: Callable[[], None]) -> dict[str, bytes]:
        """What was learnt. `refill` keeps and remembers all that there is, should the file have to be made anew. Raises
        `StartError`; where other processes have all the files, it goes without.
        """
        self._refill = refill
        self._loop = asyncio.get_running_loop()
        learnt = await asyncio.to_thread(self._open)
        if self._rows is not None:
            self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
            self._thread.start()
        return learnt

    async def slices(self) -> AsyncIterator[Sequence[Loaded]]:
        """All that earlier processes left and has not expired, newest first."""
        if self._held is None or self._rows is None:
            return
        try:
            with closing(Rows(await asyncio.to_thread(self._held.open), self._sealing)) as rows:
                before = LAST
                while before and not self._is_damaged:
                    found, before = await asyncio.to_thread(rows.slice, before, self._clock())
                    yield found
                if not self._is_damaged:
                    await asyncio.to_thread(rows.expire, self._clock())
        except (sqlite3.Error, DamagedFile, OSError) as error:
            self._suspect(error)

    def keep(self, entry: Entry, record: Record, vector: Vector | None) -> None:
        self._change(entry.id, Loaded(entry, record, vector))

    def note(self, entry_id: str, record: Record) -> None:
        waiting = self._changes.get(entry_id)
        self._change(entry_id, waiting._replace(record=record) if isinstance(waiting, Loaded) else record)

    def drop(self, entry_id: str) -> None:
        self._change(entry_id, None)

    def remember(self, name: str, state: bytes) -> None:
        if self._thread is None:
            return
        with self._turn:
            self._learnt[name] = state
            self._turn.notify()

    async def written(self) -> None:
        """Returns when the file has all of it, or will not have it soon."""
        if self._thread is None:
            return
        done = self._loop.create_future()
        with self._turn:
            self._waiting.append(done)
            self._turn.notify()
        await asyncio.wait([done], timeout=WRITTEN_WITHIN_S)

    async def close(self) -> None:
        if self._thread is not None:
            with self._turn:
                self._is_closing = True
                self._turn.notify()
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._held is not None:
            self._held.release()
            self._held = None

    def _change(self, entry_id: str, change: Change) -> None:
        if self._thread is None:
            return
        with self._turn:
            self._changes[entry_id] = change
            if len(self._changes) in {1, BATCH}:
                self._turn.notify()

    def _suspect(self, error: sqlite3.Error | DamagedFile | OSError) -> None:
        """What could not be read is the file's fault or the disk's."""
        if isinstance(error, OSError) or not is_damage(error):
            log.error("the cache's file %s could not be read: %s", self._path, error)
            return
        with self._turn:
            self._is_damaged = True
            self.last_error = str(error)
            self._turn.notify()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _open(self) -> dict[str, bytes]:
        self._held = claim(self._path)
        if self._held is None:
            log.error("other processes have all files beside %s: answers are kept in memory alone", self._path)
            return {}
        try:
            try:
                self._rows = Rows(self._held.open(), self._sealing)
                return self._rows.learnt()
            except (DamagedFile, sqlite3.Error) as error:
                if not is_damage(error):
                    raise
                self._is_damaged, self.last_error = True, str(error)
                self._rows = self._made_anew()
        except (sqlite3.Error, OSError, DamagedFile) as error:
            self._close_rows()
            self._held.release()
            self._held = None
            raise StartError(f"the cache's file {self._path} cannot be used: {error}") from error
        self.last_error = None
        return {}

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(self._has_work)
                self._turn.wait_for(self._is_due, self._every_s)
                is_last = self._is_closing
                changes, self._changes = self._changes, {}
                learnt, self._learnt = self._learnt, {}
                waiting, self._waiting = self._waiting, []
            is_written = self._write(changes, learnt)
            if is_written:
                self._tell(waiting)
            else:
                self._take_back(changes, learnt, waiting)
            if is_last:
                break
            if not is_written:
                with self._turn:
                    self._turn.wait_for(lambda: self._is_closing, RETRY_S)
        self._close_rows()

    def _has_work(self) -> bool:
        return bool(self._changes or self._learnt or self._is_due() or self._is_behind)

    def _is_due(self) -> bool:
        return len(self._changes) >= BATCH or bool(self._waiting) or self._is_closing or self._is_damaged

    def _write(self, changes: dict[str, Change], learnt: dict[str, bytes]) -> bool:
        try:
            if self._rows is None or self._is_damaged or self._is_behind:
                self._rows = self._made_anew()
                self._loop.call_soon_threadsafe(self._refill)
            self._rows.write(changes, learnt)
        except (sqlite3.Error, OSError, DamagedFile) as error:
            self._is_damaged |= not isinstance(error, OSError) and is_damage(error)
            self._fail(str(error))
            return False
        if self.last_error is not None:
            log.info("the cache's file %s is written again", self._path)
            self.last_error = None
        return True

    def _made_anew(self) -> Rows:
        """An empty file; what was there is set aside, or deleted where it merely lacks what could not be written."""
        held = self._held
        if held is None:
            raise OSError("it is no longer held")
        self._close_rows()
        if self._is_damaged:
            aside = held.set_aside()
            log.error("the cache's file %s is damaged, it is now %s: %s", held.path, aside, self.last_error)
        else:
            held.delete()
        rows = Rows(held.open(), self._sealing)
        self._is_damaged = self._is_behind = False
        return rows

    def _fail(self, why: str) -> None:
        self.failures += 1
        if self.last_error is None:
            log.error("the cache's file %s is not written: %s", self._path, why)
        self.last_error = why

    def _take_back(self, changes: dict[str, Change], learnt: dict[str, bytes], waiting: list[Waiting]) -> None:
        with self._turn:
            self._changes = {**changes, **self._changes}
            self._learnt = {**learnt, **self._learnt}
            self._waiting = waiting + self._waiting
            if len(self._changes) > UNWRITTEN_MAX:
                self._changes.clear()  # what is in memory will be written anew
                self._is_behind = True

    def _tell(self, waiting: list[Waiting]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            for done in waiting:
                self._loop.call_soon_threadsafe(_finish, done)

    def _close_rows(self) -> None:
        if self._rows is not None:
            self._rows.close()
            self._rows = None


def _finish(done: Waiting) -> None:
    if not done.done():
        done.set_result(None)
