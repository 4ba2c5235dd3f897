"""A database of vectors that may be away: asked within a time, left alone for a moment after it failed, and told in the
background, one thing after another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.state.answers.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

WAITING_MAX: Final = 10_000
REST_S: Final = 1.0

T = TypeVar("T")


class Reach:
    """`errors` are what its client raises. `unsent` is how much waits to be told."""

    def __init__(
        self,
        title: str,
        errors: tuple[type[Exception], ...],
        answer_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._errors: tuple[type[Exception], ...] = (*errors, OSError, TimeoutError)
        self._answer_s = answer_s
        self._clock = clock
        self._rests_until_s = 0.0
        self._waiting: deque[Callable[[], Awaitable[object]]] = deque()
        self._telling: asyncio.Task[None] | None = None

    @property
    def unsent(self) -> int:
        return len(self._waiting)

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable`."""
        if self._clock() < self._rests_until_s:
            raise StoreUnavailable(f"{self._title} is away")
        try:
            async with asyncio.timeout(self._answer_s):
                return await work()
        except self._errors as error:
            self._rests_until_s = self._clock() + REST_S
            raise StoreUnavailable(f"{self._title}: {type(error).__name__}") from error

    def tell(self, work: Callable[[], Awaitable[object]]) -> None:
        """What fails is not tried again; beyond so much that waits it is not even begun."""
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting.append(work)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="answers-vectors")

    async def settled(self) -> None:
        """Returns when all that was told so far is done, or has failed."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def close(self) -> None:
        """What could not be told within the time of an answer is lost."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=self._answer_s)
            self._telling.cancel()
            await asyncio.wait([self._telling])

    async def _tell(self) -> None:
        while self._waiting:
            work = self._waiting.popleft()
            try:
                await self.ask(work)
            except StoreUnavailable as error:
                log.warning("vectors are not kept: %s", error)
                self._waiting.clear()
