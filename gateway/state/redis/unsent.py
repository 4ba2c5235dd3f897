"""What could not be told to Redis yet, in order: settlements survive an outage, up to a number and an age.

Past that age their leases have run out and are charged in full, and that they were is no longer remembered: told now,
they would be charged twice. The ledger, which has them all, corrects budgets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.redis.connections import Command
    from gateway.state.redis.dialing import Timings

log = logging.getLogger(__name__)


class Telling(NamedTuple):
    """A command that must arrive, and since when it ought to have."""

    command: Command
    since_s: float


class Unsent:
    """Sends again what failed: after a pause that doubles, or at once when a server can be talked to again."""

    def __init__(self, send: Callable[[Command], None], timings: Timings, most: int, age_max_s: float) -> None:
        self._send = send
        self._timings = timings
        self._most = most
        self._age_max_s = age_max_s
        self._waiting: deque[Telling] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tries = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, command: Command, since_s: float) -> None:
        """Takes what was not told. Beyond the number that is kept the oldest is given up."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._lose(1)
        self._waiting.append(Telling(command, since_s))
        if self._timer is None:
            pause_s = min(self._timings.backoff_s * 2**self._tries, self._timings.backoff_max_s)
            self._tries += 1
            self._timer = asyncio.get_running_loop().call_later(pause_s, self.flush)

    def flush(self) -> None:
        """Sends all of it; what fails comes back through `add`, in the same order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        oldest_s = time.monotonic() - self._age_max_s
        waiting, self._waiting = self._waiting, deque()
        for telling in waiting:
            if telling.since_s < oldest_s:
                self._lose(1)
            else:
                telling.command.moves = 0
                self._send(telling.command)

    def told(self) -> None:
        """Redis took something: the next outage begins with the short pause again."""
        self._tries = 0

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lose(len(self._waiting))
        self._waiting.clear()

    def _lose(self, count: int) -> None:
        if count and not self.lost:
            log.error("Redis was away for too long: settlements are given up; their leases charge them in full")
        self.lost += count
