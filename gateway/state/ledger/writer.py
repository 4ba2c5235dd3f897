"""The thread that brings rows into SQL, with an event loop of its own, so that no driver ever holds up the gateway's.

What earlier processes left in the journal comes first. A write that fails is tried again until it succeeds. While no
rows wait, and between batches where they always do, rows that are older than the policy keeps them go.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.state.database import DatabaseUnavailable
from gateway.state.journal.journal import Extent
from gateway.state.journal.replay import Replay, rows_of
from gateway.state.journal.slots import abandoned
from gateway.state.ledger import sql as ledger_sql
from gateway.state.ledger.retention import Retention
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.state.database import Database
    from gateway.state.journal.backlog import Backlog
    from gateway.state.journal.journal import Journal
    from gateway.state.journal.slots import Slot
    from gateway.state.ledger.schema import LedgerRow

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.05
LAST_RETRY_S = 5.0
OPEN_WITHIN_S = 10.0
SPENT_WITHIN_S = 3.0
STARTING_S = 0.5
GATHER_S = 0.2
LOOK_EVERY_S = 10.0
MOST_ROWS_PER_COMMIT: Final = 2_000


Committed = Callable[[int, int, tuple[int, int]], None]
"""Hears of a write: its rows, all that are written by now, and when it began and ended in Unix nanoseconds."""


def _nobody(rows: int, written: int, took_ns: tuple[int, int]) -> None:
    """Hears of it."""


class LedgerWriter:
    """`written` of the rows put into the backlog are in SQL; `last_error` says what keeps the others waiting.

    `replayed` rows were found in the journals of earlier processes, `unknown` of them without an outcome;
    `damaged_bytes` of those journals could not be read.
    """

    def __init__(
        self, database: Database, backlog: Backlog, journal: Journal, slot: Slot, retention: Retention | None = None
    ) -> None:
        self.written = 0
        self.replayed = 0
        self.unknown = 0
        self.damaged_bytes = 0
        self.write_failures = 0
        self.last_error: str | None = None
        self.committed: Committed = _nobody
        self._database = database
        self._backlog = backlog
        self._journal = journal
        self._slot = slot
        self._retention = retention or Retention(database, None)
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._end = asyncio.Event()
        self._progress = asyncio.Event()
        self._is_awake = False
        self._is_replayed = False
        self._is_closing = False
        self._look_at_s = 0.0
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Open the database. Raises `LedgerError`. Blocks."""
        self._thread.start()
        try:
            self._opened.result()
        except LedgerError:
            self._thread.join()
            raise

    def wake(self) -> None:
        """Say that there is something to write."""
        if not self._is_awake:
            self._is_awake = True
            with suppress(RuntimeError):  # the loop is closed, and what comes now is for the next start to find
                self._loop.call_soon_threadsafe(self._wake.set)

    def close(self, within_s: float) -> None:
        """Write what is left, trying once more where writing fails. Blocks."""
        self._is_closing = True
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hurry)
        self._thread.join(within_s)

    def spent_of(self, accounts: Sequence[tuple[str, float]], handed_over: int) -> Future[list[int]]:
        """What accounts were charged in these windows, once the first `handed_over` rows are in SQL.

        Fails with a `LedgerError`.
        """
        return asyncio.run_coroutine_threadsafe(self._spent_of(accounts, handed_over), self._loop)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    def _hurry(self) -> None:
        self._end.set()
        self._wake.set()

    async def _main(self) -> None:
        try:
            await self._open()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the start must hear of it
            self._opened.set_exception(error)
        else:
            self._opened.set_result(None)
            await self._take_over(self._slot, self._journal.left_behind)
            self._is_replayed = True
            self._tell_progress()
            if self._retention.is_on:  # SQLAlchemy's import shall not compete with a gateway that is still starting
                await self._pause(STARTING_S)
            await self._write_all()
        finally:
            await self._database.close()

    async def _open(self) -> None:
        """A database that is not there yet gets a moment."""
        until_s = time.monotonic() + OPEN_WITHIN_S
        while True:
            try:
                return await self._database.migrate()
            except DatabaseUnavailable:
                if time.monotonic() >= until_s:
                    raise
            await asyncio.sleep(FIRST_RETRY_S)

    async def _write_all(self) -> None:
        while True:
            await self._until_there_is_work()
            self._wake.clear()
            self._is_awake = False
            batch = self._backlog.take(MOST_ROWS_PER_COMMIT)
            if batch is None:
                if self._is_closing:
                    return
                continue
            began_ns, rows = time.time_ns(), batch.rows if isinstance(batch, Extent) else len(batch)
            if not await self._write_until_done(batch):
                return
            self.written += rows
            self._journal.committed(self.written)
            self.committed(rows, self.written, (began_ns, time.time_ns()))
            self._tell_progress()
            self._wake.set()  # there may be more

    async def _until_there_is_work(self) -> None:
        """Rows gather for a moment first: each commit costs the gateway's loop the interpreter's lock a few times."""
        if time.monotonic() >= self._look_at_s:
            await self._take_over_abandoned()
            self._look_at_s = time.monotonic() + LOOK_EVERY_S
        await self._let_go_of_old()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._wake.wait()
        if self._backlog.rows_in_memory < MOST_ROWS_PER_COMMIT:
            await self._pause(GATHER_S)

    async def _let_go_of_old(self) -> None:
        """A batch of them, and more as long as no rows come."""
        is_more = True
        while is_more and self.last_error is None and not self._is_closing:
            is_more = await self._retention.expire_some() and not self._wake.is_set()

    async def _pause(self, seconds: float) -> None:
        """Shorter where the ledger closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()

    async def _write_until_done(self, batch: Sequence[LedgerRow] | Extent, *, is_replayed: bool = False) -> bool:
        """False where the ledger closes and cannot be written."""
        wait_s = FIRST_RETRY_S
        while True:
            was_closing = self._is_closing
            try:
                rows = await self._read_back(batch) if isinstance(batch, Extent) else batch
                # At each try anew: they may have waited for long.
                prices = self._backlog.prices.waiting
                await ledger_sql.append(self._database, self._retention.young(rows) if is_replayed else rows, prices)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rows are still to be written
                self._note_failure(error)
                if was_closing:
                    return False
                await self._pause(wait_s)
                wait_s = min(wait_s * 2, LAST_RETRY_S)
            else:
                self.last_error = None
                self._backlog.prices.written(prices)
                return True

    async def _read_back(self, extent: Extent) -> list[LedgerRow]:
        rows = await asyncio.to_thread(rows_of, self._slot, extent)
        if lost := extent.rows - len(rows):
            self.write_failures += lost
            log.error("%d ledger rows cannot be read back from the journal %s", lost, self._slot.folder)
        return rows

    def _note_failure(self, error: Exception) -> None:
        self.write_failures += 1
        if self.last_error is None:
            log.error("the ledger cannot be written, rows wait: %s", error)
        self.last_error = str(error)

    def _tell_progress(self) -> None:
        self._progress.set()  # wakes who waits now
        self._progress.clear()

    async def _take_over_abandoned(self) -> None:
        for slot in await asyncio.to_thread(abandoned, self._slot.folder.parent):
            await self._take_over(slot, [path for _, path in slot.segments()])
            slot.release()

    async def _take_over(self, slot: Slot, segments: Sequence[Path]) -> None:
        """Write what a dead process left behind; what cannot be written stays for whoever comes next."""
        replay = Replay(segments)
        rows, too_old = replay.rows(), 0
        while some := await asyncio.to_thread(list, islice(rows, MOST_ROWS_PER_COMMIT)):
            if not await self._write_until_done(some, is_replayed=True):
                return
            too_old += len(some) - len(self._retention.young(some))
        replay.discard()
        if too_old:
            log.warning(
                "%d rows in the journal %s are older than the ledger keeps rows, and are left out: "
                "they may have been written and deleted before",
                too_old,
                slot.folder,
            )
        self.replayed += replay.outcomes + replay.unknown
        self.unknown += replay.unknown
        self.damaged_bytes += replay.damaged_bytes
        if replay.outcomes or replay.unknown:
            log.warning(
                "the journal %s was left by a process that ended early: %d rows, and %d attempts without an outcome",
                slot.folder,
                replay.outcomes,
                replay.unknown,
            )

    async def _spent_of(self, accounts: Sequence[tuple[str, float]], handed_over: int) -> list[int]:
        try:
            async with asyncio.timeout(SPENT_WITHIN_S):
                while self.written < handed_over or not self._is_replayed:
                    await self._progress.wait()
        except TimeoutError as error:
            raise DatabaseUnavailable("the ledger does not know yet what was spent: rows are waiting") from error
        if len(accounts) == 1:
            return [await ledger_sql.spent(self._database, *accounts[0])]
        return await ledger_sql.spent_of(self._database, accounts)
