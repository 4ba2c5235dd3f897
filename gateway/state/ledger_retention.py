"""Lets go of attempts that are older than the policy keeps them; what they add up to stays.

A batch is small and a transaction of its own, so that the writer's rows never wait long for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.state.database import Database

ROWS_AT_ONCE: Final = 500
_STATEMENTS: Final = {
    column: f"DELETE FROM attempts WHERE {column} IN "  # noqa: S608 - our words
    f"(SELECT {column} FROM attempts WHERE started_at_ms < :before ORDER BY started_at_ms LIMIT {ROWS_AT_ONCE})"
    for column in ("rowid", "ctid")
}


async def expire(database: Database, before_ms: int) -> bool:
    """Delete one batch of attempts that began before; whether there may be more. Raises `LedgerError`."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    statement = text(_STATEMENTS["rowid" if database.is_sqlite else "ctid"])
    async with database.begin() as connection:
        deleted = await connection.execute(statement, {"before": before_ms})
        return deleted.rowcount >= ROWS_AT_ONCE
