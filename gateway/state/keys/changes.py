"""How the stores of keys and owners change the database: one after the other, each announced once it stands."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.state.keys.tables import next_revision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.state.database import Database
    from gateway.state.keys.announcements import Announcements


class ChangeLog:
    """The database of keys, and who is to hear of changes."""

    def __init__(self, database: Database, announcements: Announcements) -> None:
        self._database = database
        self._announcements = announcements
        self._is_migrated = False

    @asynccontextmanager
    async def change(self) -> AsyncIterator[tuple[AsyncConnection, int]]:
        """A transaction and its revision. Other changes wait for its end; where the block raises, nothing stands."""
        await self._migrate()
        async with self._database.begin() as connection:
            yield connection, await next_revision(connection)
        await self._announcements.publish()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        await self._migrate()
        async with self._database.read() as connection:
            yield connection

    @asynccontextmanager
    async def note(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for what nobody needs to hear of."""
        await self._migrate()
        async with self._database.begin() as connection:
            yield connection

    async def _migrate(self) -> None:
        if not self._is_migrated:
            await self._database.migrate()
            self._is_migrated = True
