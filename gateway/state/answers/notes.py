"""What became of entries, on its way to where they are: many hits of one entry make one write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.state.answers.store import Entry

WAIT_S: Final = 0.5
WAITING_MAX: Final = 10_000
"""Entries whose counts wait; beyond that they are written at once."""

Counts = tuple[int, int, int]


class Notes:
    """`write` gets the counts of one owner's entries, by id: hits, good, bad."""

    def __init__(self, write: Callable[[str, Mapping[str, Counts]], None], wait_s: float = WAIT_S) -> None:
        self._write = write
        self._wait_s = wait_s
        self._waiting: dict[str, dict[str, Counts]] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry, counts: Counts) -> None:
        of_owner = self._waiting.setdefault(entry.owner, {})
        before = of_owner.get(entry.id)
        if before is None:
            self._count += 1
            of_owner[entry.id] = counts
        else:
            of_owner[entry.id] = (before[0] + counts[0], before[1] + counts[1], before[2] + counts[2])
        if self._count >= WAITING_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self.flush)

    def flush(self) -> None:
        """Writes all of it now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._count = self._waiting, {}, 0
        for owner, counts in waiting.items():
            self._write(owner, counts)
