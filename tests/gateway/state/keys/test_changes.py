from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.state.database import Database
from gateway.state.keys.announcements import LocalAnnouncements
from gateway.state.keys.changes import ChangeLog
from gateway.state.keys.tables import current_revision

if TYPE_CHECKING:
    from pathlib import Path


async def revision_of(log: ChangeLog) -> int:
    async with log.read() as connection:
        return await current_revision(connection)


async def test_each_change_has_the_next_revision_in_the_order_of_their_ends(database: Database) -> None:
    """A change that began first and ends last is not passed by another: a reader would miss it."""
    log = ChangeLog(database, LocalAnnouncements())
    ended: list[int] = []

    async def change(wait_s: float) -> None:
        async with log.change() as (_, revision):
            await asyncio.sleep(wait_s)
            ended.append(revision)

    await asyncio.gather(change(0.05), change(0.0), change(0.02))
    assert ended == [1, 2, 3]
    assert await revision_of(log) == 3


async def test_a_change_that_fails_leaves_nothing_and_tells_nobody(database: Database) -> None:
    announcements = LocalAnnouncements()
    told: list[None] = []
    await announcements.start(lambda: told.append(None))
    log = ChangeLog(database, announcements)

    async def fail() -> None:
        async with log.change():
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert await revision_of(log) == 0
    assert told == []
    async with log.note():
        pass
    assert told == []
    async with log.change():
        assert told == [], "it does not stand yet"
    assert told == [None]


async def test_the_first_use_makes_the_tables(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    assert await revision_of(ChangeLog(database, LocalAnnouncements())) == 0
    await database.close()
