from __future__ import annotations

from typing import TYPE_CHECKING

import gateway.state.ledger.retention as module
from gateway.state.database import Database, DatabaseUnavailable
from gateway.state.ledger.retention import MARGIN_S, ROWS_AT_ONCE, Retention, expire
from gateway.state.ledger.sql import append, spent
from tests.gateway.state.ledger_rows import DAY_S, NOON_MS, a_row, asked, written

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

DAY: float = 86_400.0
CLOCK: Callable[[], float] = lambda: NOON_MS / 1000 + DAY  # noqa: E731 - a clock that stands


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


async def test_a_round_goes_batch_by_batch_and_the_next_is_an_hour_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [a_row(f"old_{number}")._replace(started_at_ms=NOON_MS - 1) for number in range(ROWS_AT_ONCE + 1)]
    await append(database, [*old, a_row("new")])
    retention = Retention(database, DAY, CLOCK)
    assert [await retention.expire_some() for _ in range(2)] == [True, False]
    assert await written(database) == [a_row("new")]
    await append(database, old[:1])
    assert not await retention.expire_some()
    assert len(await written(database)) == 2
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    again = Retention(database, DAY, CLOCK)
    for _ in range(2):
        assert not await again.expire_some()
        assert await written(database) == [a_row("new")]
        await append(database, old[:1])


async def test_without_a_retention_everything_is_kept_and_the_database_not_asked() -> None:
    retention = Retention(Database("sqlite:////nowhere/at/all.db"), None, CLOCK)
    assert not await retention.expire_some()
    ancient = [a_row()._replace(started_at_ms=0)]
    assert retention.young(ancient) == ancient


async def test_a_database_that_is_away_is_told_and_asked_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> bool:
        raise DatabaseUnavailable("gone fishing")

    monkeypatch.setattr(module, "expire", fail)
    retention = Retention(Database("sqlite:////nowhere/at/all.db"), DAY, CLOCK)
    assert [await retention.expire_some() for _ in range(2)] == [False, False]
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["gone fishing"]


def test_rows_that_another_node_may_have_deleted_already_are_not_young() -> None:
    retention = Retention(Database("sqlite:////nowhere/at/all.db"), DAY, CLOCK)
    edge_ms = NOON_MS + round(MARGIN_S * 1000)
    rows = [a_row()._replace(started_at_ms=edge_ms + offset) for offset in (-1, 0, 1)]
    assert retention.young(rows) == rows[1:]
