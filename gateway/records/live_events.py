"""The latest calls as their log lines tell them, for who watches now: kept only while somebody does.

A watcher asks again and again for what came after a cursor, and waits in the request until something does. So nobody
who watches slowly or leaves without a word holds anything here, and what a lost connection swallowed is asked for anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEPT_MAX: Final = 2_000
WATCHED_FOR_S: Final = 60.0
"""For how long after a question events are kept for the next."""


class Page(NamedTuple):
    """Events, oldest first; the cursor for those to come; how many went by unseen since the cursor before."""

    events: list[msgspec.Raw]
    cursor: str
    missed: int


class LiveEvents:
    """`is_watched` is what the recorder looks at before it does anything for this. `epoch` tells one process's cursors
    from those of the one before it.
    """

    def __init__(self, epoch: str, clock: Callable[[], float], kept_max: int = KEPT_MAX) -> None:
        self.is_watched = False
        self._epoch = epoch
        self._clock = clock
        self._lines: deque[bytes] = deque(maxlen=kept_max)
        self._end = 0  # the number of the line to come
        self._until_s = 0.0
        self._came: asyncio.Event | None = None

    def add(self, lines: Sequence[bytes]) -> None:
        """Lines of JSON, each of one call. Belongs to the recorder."""
        if self._clock() > self._until_s:
            self.is_watched = False
            self._lines.clear()
            return
        self._lines.extend(lines)
        self._end += len(lines)
        if self._came is not None:
            self._came.set()
            self._came = None

    async def after(self, cursor: str | None, is_wanted: Callable[[bytes], bool], most: int, wait_s: float) -> Page:
        """What is wanted of what came after `cursor`, at most `most` of it; where that is nothing yet, once something
        comes, within `wait_s`. Without a cursor: nothing, and the cursor of now.
        """
        self._watch(wait_s)
        at = self._end if cursor is None else self._at(cursor)
        missed = 0
        deadline_s = self._clock() + wait_s
        while True:
            first = self._end - len(self._lines)
            missed, at = missed + max(0, first - at), max(first, at)
            found: list[msgspec.Raw] = []
            while at < self._end and len(found) < most:
                line = self._lines[at - first]
                at += 1
                if is_wanted(line):
                    found.append(msgspec.Raw(line))
            left_s = deadline_s - self._clock()
            if found or cursor is None or left_s <= 0:
                return Page(found, f"{self._epoch}-{at}", missed)
            await self._next(left_s)

    async def _next(self, within_s: float) -> None:
        came = self._came = self._came or asyncio.Event()
        try:
            async with asyncio.timeout(within_s):
                await came.wait()
        except TimeoutError:
            pass

    def _watch(self, wait_s: float) -> None:
        self._until_s = self._clock() + wait_s + WATCHED_FOR_S
        self.is_watched = True

    def _at(self, cursor: str) -> int:
        """Where a cursor stands; one of a process before this one at the first line of this."""
        epoch, _, number = cursor.rpartition("-")
        return min(int(number), self._end) if epoch == self._epoch and number.isdecimal() else 0
