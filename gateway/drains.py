"""Reading on after the caller has left, so that the upstream's own count of the tokens arrives and what was generated
is billed as what it was.

Only for deployments with `on_disconnect: drain`: it costs generation that nobody reads, `cancel` an estimate.
A drain is bounded in time and in number; what does not end in time is settled from what came, and marked estimated.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from adapters.base import Tally
    from gateway.upstream import Answer

log = logging.getLogger(__name__)

DRAIN_S: Final = 60.0
DRAINS_MAX: Final = 1_000


class Drains:
    """Process scope. Calls whose callers have left while their attempt goes on."""

    def __init__(self, drain_s: float = DRAIN_S) -> None:
        self._drain_s = drain_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    def take_over(self, unfinished: Callable[[], Awaitable[object]], finish: Callable[[], None]) -> bool:
        """Whether `unfinished` runs on in the background, and then `finish`, exactly once; False leaves both alone."""
        if self._closing or len(self._tasks) >= DRAINS_MAX:
            return False
        task = asyncio.create_task(self._drain(unfinished), name="drain")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: finish())
        return True

    async def close(self) -> None:
        """Stop what still goes on; everything is settled as far as it came."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, unfinished: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await unfinished()
        except TimeoutError:
            log.info("an answer whose caller had left did not end within %.0f s", self._drain_s)
        except Exception:
            log.exception("an answer whose caller had left could not be read to its end")


class DrainableAnswer:
    """A stream that can be read on after a read of it was cancelled."""

    def __init__(self, answer: Answer) -> None:
        self.body = answer.body
        self.headers = answer.headers
        self.first_token_s = answer.first_token_s
        self._answer = answer
        self._reading: asyncio.Task[bytes] | None = None

    @property
    def tally(self) -> Tally:
        return self._answer.tally

    async def read(self) -> bytes:
        """As the stream's own, in a task that a leaving caller does not take along."""
        reading = self._reading
        if reading is None:
            reading = self._reading = asyncio.ensure_future(self._answer.read())
        await asyncio.wait((reading,))
        self._reading = None
        return reading.result()

    async def drain(self) -> None:
        """Read what is left and forget it; the tally is what it is read for. Raises what the stream raises."""
        while await self.read():
            pass

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._answer.close()
