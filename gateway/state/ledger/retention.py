"""Lets go of attempts that are older than the policy keeps them; what they add up to stays.

A batch is small and a transaction of its own, so that the writer's rows never wait long for it. What a row added to the
sums outlives it, so a row that comes out of a journal after its deletion must not be written, and counted, again: near
its end nobody can tell whether it was, and a journal's rows of that age are left out.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.database import Database
    from gateway.state.ledger.schema import LedgerRow

log = logging.getLogger(__name__)

ROWS_AT_ONCE: Final = 500
EVERY_S: Final = 3600.0
MARGIN_S: Final = 3600.0
"""By how much clocks of nodes may differ, with the time that one write takes."""
_STATEMENTS: Final = {
    column: f"DELETE FROM attempts WHERE {column} IN "  # noqa: S608 - our words
    f"(SELECT {column} FROM attempts WHERE started_at_ms < :before ORDER BY started_at_ms LIMIT {ROWS_AT_ONCE})"
    for column in ("rowid", "ctid")
}


class Retention:
    """`keep_s` None keeps rows for ever. `clock` tells seconds since the epoch."""

    def __init__(self, database: Database, keep_s: float | None, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._keep_s = keep_s
        self._clock = clock
        self._before_ms: int | None = None
        self._next_s = 0.0

    @property
    def is_on(self) -> bool:
        return self._keep_s is not None

    async def expire_some(self) -> bool:
        """Delete a batch, where a round is due or under way; whether to go on. Never raises `LedgerError`."""
        if self._keep_s is None:
            return False
        if self._before_ms is None:
            if time.monotonic() < self._next_s:
                return False
            self._before_ms = self._ms_ago(self._keep_s)
            self._next_s = time.monotonic() + EVERY_S
        is_more = False
        try:
            is_more = await expire(self._database, self._before_ms)
        except LedgerError as error:
            log.warning("old rows of the ledger could not be deleted, which is tried again in an hour: %s", error)
        if not is_more:
            self._before_ms = None
        return is_more

    def young(self, rows: Sequence[LedgerRow]) -> Sequence[LedgerRow]:
        """Those that nobody can have deleted yet."""
        if self._keep_s is None:
            return rows
        since_ms = self._ms_ago(self._keep_s - MARGIN_S)
        return [row for row in rows if row.started_at_ms >= since_ms]

    def _ms_ago(self, seconds: float) -> int:
        return int((self._clock() - seconds) * 1000)


async def expire(database: Database, before_ms: int) -> bool:
    """Delete one batch of attempts that began before; whether there may be more. Raises `LedgerError`."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    statement = text(_STATEMENTS["rowid" if database.is_sqlite else "ctid"])
    async with database.begin() as connection:
        deleted = await connection.execute(statement, {"before": before_ms})
        return deleted.rowcount >= ROWS_AT_ONCE
