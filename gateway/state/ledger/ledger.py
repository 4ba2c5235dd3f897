"""The ledger: one row per attempt, the billing truth. The event loop writes a journal, a thread brings it into SQL.

What is about to be sent is in the journal before it is sent, and what came of it before SQL hears of it: a killed
gateway loses neither, and the next to start writes it. Every row is written once, however often that is tried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.state.database import Database
from gateway.state.journal.backlog import Backlog
from gateway.state.journal.journal import MOST_BYTES, Journal
from gateway.state.journal.slots import Slot, claim
from gateway.state.ledger.retention import Retention
from gateway.state.ledger.schema import LedgerError as LedgerError  # noqa: PLC0414 - callers import it from here
from gateway.state.ledger.writer import LedgerWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.state.ledger.schema import LedgerRow
    from gateway.state.ledger.writer import Committed
    from policies.tariffs import Price

log = logging.getLogger(__name__)

CLOSE_WITHIN_S = 10.0
MARK_EVERY_S = 0.1


class Ledger:
    """Appends rows. `pending` rows are not in SQL yet; `last_error` says what keeps them waiting."""

    def __init__(
        self,
        url: str,
        journal: Path | None = None,
        journal_max_bytes: int = MOST_BYTES,
        retention_s: float | None = None,
    ) -> None:
        """`journal` is the folder of the write-ahead journal; beside the ledger's file where none is named. Rows are
        kept for `retention_s`, or for ever.

        Raises `LedgerError` for a URL of no known form.
        """
        self._database = Database(url)
        self._folder = journal if journal is not None else _beside(self._database.path)
        self._journal_max_bytes = journal_max_bytes
        self._retention = Retention(self._database, retention_s)
        self._backlog = Backlog()
        self._handed_over = 0
        self._waiting_since: deque[tuple[int, float]] = deque()
        self._slot: Slot
        self._journal: Journal
        self._writer: LedgerWriter | None = None
        self._is_closed = False

    @property
    def pending(self) -> int:
        return self._handed_over - (self._writer.written if self._writer is not None else 0)

    @property
    def handed_over(self) -> int:
        """Rows that the ledger has been given."""
        return self._handed_over

    def watch(self, committed: Committed) -> None:
        """Call `committed` after each write, in the writer's thread. Once it is started."""
        if self._writer is not None:
            self._writer.committed = committed

    @property
    def lag_s(self) -> float:
        """Age of the oldest row that is not in SQL."""
        waiting, written = self._waiting_since, self._handed_over - self.pending
        while waiting and waiting[0][0] <= written:
            waiting.popleft()
        return time.monotonic() - waiting[0][1] if waiting else 0.0

    @property
    def last_error(self) -> str | None:
        if self._writer is None:
            return None
        return self._writer.last_error or self._journal.last_error

    @property
    def write_failures(self) -> int:
        """Writes that failed, to the journal and to SQL, and rows that could not be read back."""
        return self._writer.write_failures + self._journal.failures if self._writer is not None else 0

    @property
    def unknown(self) -> int:
        """Attempts of dead processes that no outcome was found for: they stand in the ledger as estimates."""
        return self._writer.unknown if self._writer is not None else 0

    @property
    def damaged_bytes(self) -> int:
        """Bytes of journals that could not be read back at the start, and are kept beside them."""
        return self._writer.damaged_bytes if self._writer is not None else 0

    @property
    def open_intents(self) -> int:
        """Attempts that were written down and whose outcome has not come yet."""
        return self._journal.open_intents if self._writer is not None else 0

    @property
    def journal_bytes(self) -> int:
        return self._journal.bytes_on_disk if self._writer is not None else 0

    @property
    def takes_billable(self) -> bool:
        """False when what an attempt costs might be lost: the journal takes nothing, and neither does the database."""
        is_behind = self._backlog.is_full or (self._writer is not None and self._writer.last_error is not None)
        return self._journal.takes or not is_behind

    def start(self) -> None:
        """Open journal and database, creating what is not there, and start the writer. Raises `LedgerError`. Blocks."""
        try:
            self._slot = claim(self._folder)
            self._journal = Journal(self._slot, self._journal_max_bytes)
            self._journal.start()
        except OSError as error:
            raise LedgerError(f"the journal {self._folder} cannot be written: {error}") from error
        self._writer = LedgerWriter(self._database, self._backlog, self._journal, self._slot, self._retention)
        try:
            self._writer.start()
        except LedgerError:
            self._writer = None
            self._let_go()
            raise

    def intend(self, row: LedgerRow) -> None:
        """Write down what is about to be sent: the row as it is to stand if no outcome ever comes."""
        self._journal.intend(row)

    def note_price(self, price: Price) -> None:
        """Keep what `price` is made of beside the rows that name it. Called with each that anything may cost."""
        self._backlog.prices.note(price)

    def append(self, rows: Sequence[LedgerRow]) -> None:
        """Hand rows over; returns at once."""
        if rows and self._writer is not None:
            self._handed_over += len(rows)
            self._backlog.put(rows, self._journal.add(rows))
            self._mark()
            self._writer.wake()

    def _mark(self) -> None:
        """Note when these rows came, about: a few marks a second are enough, however long the database is away."""
        self.lag_s  # noqa: B018 - drops the marks of what is written by now
        waiting, now_s = self._waiting_since, time.monotonic()
        if waiting and now_s - waiting[-1][1] < MARK_EVERY_S:
            waiting[-1] = (self._handed_over, waiting[-1][1])
        else:
            waiting.append((self._handed_over, now_s))

    async def spent(self, account: str, window_start_s: float) -> int:
        """What an account, named "tenant|account", was charged in a window. Raises `LedgerError`."""
        (amount,) = await self.spent_of([(account, window_start_s)])
        return amount

    async def spent_of(self, accounts: Sequence[tuple[str, float]]) -> list[int]:
        """As `spent`, of many accounts and their windows at once. Raises `LedgerError`."""
        if self._writer is None or self._is_closed:
            raise LedgerError("the ledger is not open")
        return await asyncio.wrap_future(self._writer.spent_of(accounts, self._handed_over))

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Write what is left, trying once more where writing fails. Blocks; call it from a thread."""
        if self._writer is None or self._is_closed:
            return
        self._is_closed = True
        self._writer.close(within_s)
        if self.pending:
            where = "wait in the journal" if self._journal.takes else "could not be written before the end"
            log.error("%d ledger rows %s: %s", self.pending, where, self.last_error)
        self._let_go()

    def _let_go(self) -> None:
        self._journal.close()
        self._slot.release()


def _beside(file: Path | None) -> Path:
    if file is None:
        raise LedgerError("a ledger in PostgreSQL needs a folder for its journal: ledger.journal")
    return file.with_name(f"{file.name}.journal")
