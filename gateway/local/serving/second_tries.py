"""Who was there when a worker died comes back alone, so that whoever killed it takes none of the others along again.

Nobody can tell which of those in a batch ended the process, so all of them are suspects, and so is the one whose prompt
was being prepared. A suspect is given one more try, with no other suspect in the worker until it has ended. If it kills
again it was to blame, and those beside it are calls that had not been lost before.
"""

from __future__ import annotations

import asyncio


class SecondTries:
    """One call at a time, in the order of coming."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def enter(self, until_s: float) -> None:
        """Return once nobody else is on a second try. Raises `TimeoutError` at `until_s` on the loop's clock."""
        async with asyncio.timeout_at(until_s):
            await self._lock.acquire()

    def leave(self) -> None:
        self._lock.release()
