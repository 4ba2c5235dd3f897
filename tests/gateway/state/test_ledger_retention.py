from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.state.ledger_retention import ROWS_AT_ONCE, expire
from gateway.state.ledger_sql import append, spent
from tests.gateway.state.ledger_rows import DAY_S, NOON_MS, a_row, asked, written

if TYPE_CHECKING:
    from gateway.state.database import Database


async def test_old_attempts_go_batch_by_batch_and_their_sums_stay(database: Database) -> None:
    old = [a_row(f"old_{number}")._replace(started_at_ms=NOON_MS - 1) for number in range(ROWS_AT_ONCE + 1)]
    await append(database, [*old, a_row("new")])
    sums = await asked(database, "SELECT * FROM usage_hourly ORDER BY hour_s")
    assert await expire(database, NOON_MS)
    assert len(await written(database)) == 2
    assert not await expire(database, NOON_MS)
    assert await written(database) == [a_row("new")]
    assert await asked(database, "SELECT * FROM usage_hourly ORDER BY hour_s") == sums
    assert await spent(database, "acme|budget:ci", DAY_S) == 350 * (ROWS_AT_ONCE + 2)


async def test_nothing_old_is_nothing_done(database: Database) -> None:
    await append(database, [a_row()])
    assert not await expire(database, NOON_MS)
    assert await written(database) == [a_row()]
