"""Rows on their way from the event loop to SQL, in order: in memory, and beyond a bound in the journal only. The prices
that they name go with them.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from gateway.state.journal.journal import Extent
from gateway.state.ledger.prices import PriceBook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.ledger.schema import LedgerRow

MOST_ROWS_IN_MEMORY = 20_000
MOST_ROWS_PER_EXTENT = 2_000


class Backlog:
    """One side puts, the other takes. Rows that no journal holds are kept in memory however many they are."""

    def __init__(self, most_rows_in_memory: int = MOST_ROWS_IN_MEMORY) -> None:
        self.rows_in_memory = 0
        self.prices = PriceBook()
        self._most = most_rows_in_memory
        self._waiting: deque[Sequence[LedgerRow] | Extent] = deque()
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self.rows_in_memory >= self._most

    def put(self, rows: Sequence[LedgerRow], extent: Extent | None) -> None:
        """`extent` says where the journal has the rows, None that it has not."""
        with self._lock:
            if extent is None or not self.is_full:
                self.rows_in_memory += len(rows)
                self._waiting.append(rows)
                return
            last = self._waiting[-1] if self._waiting else None
            if isinstance(last, Extent) and last.segment == extent.segment and last.rows < MOST_ROWS_PER_EXTENT:
                self._waiting[-1] = last._replace(end=extent.end, rows=last.rows + extent.rows)
            else:
                self._waiting.append(extent)

    def take(self, most_rows: int) -> Sequence[LedgerRow] | Extent | None:
        """The oldest rows, or where they lie; about `most_rows` of those in memory together; None where none waits."""
        with self._lock:
            if not self._waiting or isinstance(self._waiting[0], Extent):
                return self._waiting.popleft() if self._waiting else None
            rows: list[LedgerRow] = []
            while self._waiting and len(rows) < most_rows:
                batch = self._waiting[0]
                if isinstance(batch, Extent):
                    break
                rows += batch
                self._waiting.popleft()
            self.rows_in_memory -= len(rows)
            return rows
