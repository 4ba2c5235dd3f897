"""Reading on after the caller has left, so that the upstream's own count of the tokens arrives and what was generated
is billed as what it was.

Only for deployments with `on_disconnect: drain`: it costs generation that nobody reads, `cancel` an estimate.
A drain is bounded in time and in number; what does not end in time is settled from what came, and marked estimated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.call import Reply
    from gateway.upstream import Answer

log = logging.getLogger(__name__)

DRAIN_S: Final = 60.0
DRAINS_MAX: Final = 1_000

Drain = Callable[[], Awaitable[object]]
"""Goes on to the end of an attempt. Cancelled, it lets go of the upstream before it ends."""


class Drains:
    """Process scope. Calls whose callers have left while their attempt goes on."""

    def __init__(self, drain_s: float = DRAIN_S) -> None:
        self._drain_s = drain_s
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def take_over(self, drain: Drain, finish: Callable[[], None], *, at_once: bool = False) -> None:
        """Run `drain` in the background, and then `finish`, exactly once. `at_once`: only to let it end properly."""
        within_s = 0.0 if at_once or len(self._tasks) >= DRAINS_MAX else self._drain_s
        task = asyncio.create_task(self._run(drain, within_s), name="drain")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: finish())

    async def close(self) -> None:
        """Stop what still goes on; everything is settled as far as it came."""
        await asyncio.sleep(0)  # what is cancelled before it begins cannot clean up after itself
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, drain: Drain, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await drain()
        except TimeoutError:
            if within_s:
                log.info("an answer whose caller had left did not end within %.0f s", within_s)
        except GatewayError as error:
            log.debug("a call whose caller had left was refused: %s", error.message)
        except Exception:
            log.exception("an answer whose caller had left could not be read to its end")


class DrainableAnswer:
    """A stream that can be read on after a read of it was cancelled."""

    def __init__(self, answer: Answer) -> None:
        self.body = answer.body
        self.headers = answer.headers
        self.first_token_s = answer.first_token_s
        self.tally = answer.tally
        self._answer = answer
        self._reading: asyncio.Task[bytes] | None = None

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


async def outlive(running: asyncio.Future[Reply]) -> None:
    """Go on to the end of what `running` comes to. Raises what it raises."""
    try:
        await asyncio.wait((running,))
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait((running,))
        raise
    answer = running.result().answer
    if isinstance(answer, DrainableAnswer):
        await answer.drain()
