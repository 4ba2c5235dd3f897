"""Keeps the keys in memory as the store has them: at once where a change is announced, else within a quarter minute.

The one task looks at most a few times a second, whatever callers present. It also carries back when keys were used,
once a minute and together. A database that cannot be reached leaves the keys as they were known; the log says so once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import StartError
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.keys.view import StoredKeys
    from gateway.state.keys.announcements import Announcements
    from gateway.state.keys.records import Changes

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 15.0
LOOK_GAP_S: Final = 0.2
NOTE_EVERY_S: Final = 60.0


class Feed(Protocol):
    """Where changes come from, and where use is noted."""

    async def changes(self, since: int | None, at_most: int) -> Changes | None:
        """What is newer than a revision; None where nothing is. Raises `LedgerError`."""

    async def note_use(self, used: Mapping[str, int]) -> None:
        """Raises `LedgerError`."""


class KeySync:
    """One per process. `start` it before the first call is taken."""

    def __init__(
        self,
        stored: StoredKeys,
        feed: Feed,
        announcements: Announcements,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] | None = None,
    ) -> None:
        self._stored = stored
        self._feed = feed
        self._announcements = announcements
        self._wait = wait or wait_for
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False
        self._noted_s = time.monotonic()

    async def start(self, *, may_be_late: bool) -> None:
        """Load what the store has, and follow it. Raises `StartError` where it cannot be read, unless it `may_be_late`:
        then it is followed from when it can, and keys are required until it says otherwise.
        """
        try:
            await self.look()
        except LedgerError as error:
            if not may_be_late:
                raise StartError(f"the stored keys cannot be read: {error}") from error
            log.warning("stored keys are refused until they can be read: %s", error)
            self._is_lost = True
        self._stored.on_miss = self._news.set
        await self._announcements.start(self._news.set)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop, and note what was used last."""
        await self._announcements.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._note()

    async def look(self) -> None:
        """Take over what is new. Raises `LedgerError`."""
        async with self._looking:
            stored = self._stored
            # One more than fits, so that it shows. What was left out once is asked for again when there is news.
            changes = await self._feed.changes(stored.revision, stored.keys_max + 1)
            if changes is not None and stored.is_full and not changes.whole:
                changes = await self._feed.changes(None, stored.keys_max + 1)
            if changes is None:
                return
            # Many keys take a while, and time zones and what compiles limits lie in files.
            stored.take_built(changes, await asyncio.to_thread(stored.built, changes))

    async def _follow(self) -> None:
        while True:
            await self._wait(self._news, LOOK_EVERY_S)
            self._news.clear()
            try:
                await self.look()
            except LedgerError as error:
                if not self._is_lost:
                    log.warning("stored keys stay as they were last known: %s", error)
                self._is_lost = True
            except Exception:
                log.exception("stored keys stay as they were last known")
            else:
                self._is_lost = False
            if time.monotonic() - self._noted_s >= NOTE_EVERY_S:
                await self._note()
            await asyncio.sleep(LOOK_GAP_S)

    async def _note(self) -> None:
        self._noted_s = time.monotonic()
        used, self._stored.used = self._stored.used, {}
        if not used:
            return
        try:
            await self._feed.note_use({key_id: int(used_s * 1000) for key_id, used_s in used.items()})
        except LedgerError as error:
            log.warning("when keys were last used was not noted: %s", error)


async def wait_for(news: asyncio.Event, timeout_s: float) -> None:
    """Until there is news, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await news.wait()
    except TimeoutError:
        return
