"""The store's keys for `key_sync`. A file is asked its revision first: without keys, nothing needs to be imported."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from gateway.state.keys.records import Changes, Org
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.keys.sync import Feed

BUSY_TIMEOUT_S = 5.0


class KeySource:
    """A feed that is opened when there is something in it. `path`: of a SQLite ledger, None where it is elsewhere."""

    def __init__(self, path: Path | None, opened: Callable[[], Feed]) -> None:
        self._path = path
        self._opened = opened
        self._feed: Feed | None = None

    async def changes(self, since: int | None, at_most: int) -> Changes | None:
        if self._path is not None:
            revision = await asyncio.to_thread(revision_in_file, self._path)
            if since == revision:
                return None
            if revision == 0:
                return Changes(0, whole=True, had_keys=False, keys=[], orgs=[Org(name="default")])
        return await (await self._open()).changes(since, at_most)

    async def note_use(self, used: Mapping[str, int]) -> None:
        await (await self._open()).note_use(used)

    async def _open(self) -> Feed:
        if self._feed is None:
            self._feed = await asyncio.to_thread(self._opened)  # the first one imports SQLAlchemy
        return self._feed


def revision_in_file(path: Path) -> int:
    """The revision of the keys in a SQLite ledger; 0 where nothing was ever changed. Blocks. Raises `LedgerError`."""
    if not path.exists():
        return 0
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'key_changes'").fetchone()
            if known is None:
                return 0
            return int(connection.execute("SELECT revision FROM key_changes").fetchone()[0])
    except (OSError, sqlite3.Error, TypeError) as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error}") from error
