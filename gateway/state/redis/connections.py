"""One connection to one Redis server, shared by everything that this process asks of it.

Commands of one tick of the event loop leave in one write, and answers come back in the order of the commands. There is
one timer for a whole connection: an answer that is overdue means that all the later ones are, so all fail at once, and
the next command dials anew. After a failed dial, commands fail without waiting until the backoff is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError, ResponseError

from gateway.state.limits.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio.connection import AbstractConnection

    from gateway.state.redis.dialing import Timings
    from gateway.state.redis.scripts import Script

log = logging.getLogger(__name__)

LATE_LOOP_GRACE: Final = 0.2
"""Of the time allowed for an answer: a loop that was itself late gets to read what is there before it gives up."""


class Unanswered(StoreUnavailable):
    """It was sent and no answer came: Redis may have done it, or may do it yet."""


class Command:
    """One call on its way. `tag` decides the node in a Cluster. What is to become of the answer is for subclasses."""

    __slots__ = ("moves", "packed", "script", "sent_s", "tag")

    def __init__(self, packed: bytes, tag: str, script: Script | None = None) -> None:
        self.packed = packed
        self.tag = tag
        self.script = script
        self.moves = 0
        self.sent_s = 0.0

    def answered(self, answer: object) -> None:
        """What Redis said, or a `StoreUnavailable`. Called once."""
        raise NotImplementedError


class Asked(Command):
    """A call that somebody awaits."""

    __slots__ = ("answer",)

    def __init__(self, packed: bytes, tag: str, script: Script | None = None) -> None:
        super().__init__(packed, tag, script)
        self.answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def answered(self, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class NodeConnection:
    """`dial` opens the connection; `answered` hears of every command and its answer, or what went wrong."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[AbstractConnection]],
        timings: Timings,
        answered: Callable[[Command, object], None],
    ) -> None:
        self._dial = dial
        self._timings = timings
        self._answered = answered
        self._outgoing: list[Command] = []
        self._in_flight: deque[Command] = deque()
        self._waking = asyncio.Event()
        self._overdue = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None
        self._failures = 0
        self._next_dial_s = 0.0
        self._is_closing = False
        self.is_open = False

    def send(self, command: Command) -> None:
        """Takes the command along with this tick's others."""
        if self._next_dial_s and self._loop.time() < self._next_dial_s:
            self._loop.call_soon(self._answered, command, StoreUnavailable("Redis is away"))
            return
        self._outgoing.append(command)
        if self._running is None:
            self._running = self._loop.create_task(self._run(), name="redis")
        self._waking.set()

    def drop(self) -> None:
        """Begins anew with the next command: this server is not, or no longer, the one to ask."""
        self._overdue.set()

    async def close(self) -> None:
        self._is_closing = True  # a group of tasks that fails just now takes the cancellation for its own
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None
        self._fail(StoreUnavailable("the store is closed"))

    async def _run(self) -> None:
        while not self._is_closing:
            await self._waking.wait()
            try:
                connection = await self._dial()
            except StoreUnavailable as error:
                self._failures += 1
                pause_s = min(self._timings.backoff_s * 2 ** (self._failures - 1), self._timings.backoff_max_s)
                self._next_dial_s = self._loop.time() + pause_s
                self._fail(error)
                continue
            self._failures, self._next_dial_s, self.is_open = 0, 0.0, True
            try:
                await self._talk(connection)
            finally:
                self.is_open = False
                await _hang_up(connection)

    async def _talk(self, connection: AbstractConnection) -> None:
        self._overdue.clear()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._read(connection), name="redis-read")
                both.create_task(self._watch(), name="redis-watch")
                await self._write(connection)
        except* (RedisError, OSError) as errors:
            self._fail(Unanswered(f"the connection to Redis broke: {errors.exceptions[0]}"))
        except* Exception:
            log.exception("an answer of Redis could not be taken")
            self._fail(Unanswered("an answer of Redis could not be taken"))

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._waking.wait()
            self._waking.clear()
            batch, self._outgoing = self._outgoing, []
            if not batch:
                continue
            now = self._loop.time()
            for command in batch:
                command.sent_s = now
            self._in_flight.extend(batch)
            if self._timer is None:
                self._timer = self._loop.call_later(self._timings.answer_s, self._look, None)
            packed = b"".join([command.packed for command in batch])
            await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        in_flight, answered, read = self._in_flight, self._answered, connection.read_response
        while True:
            answer: object
            try:
                answer = await read(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as error:
                answer = error
            answered(in_flight.popleft(), answer)

    async def _watch(self) -> None:
        await self._overdue.wait()
        raise TimeoutError("no answer in time")

    def _look(self, late: Command | None) -> None:
        """Whether the oldest command has waited too long; `late` is the one that had at the last look."""
        self._timer = None
        if not self._in_flight:
            return
        oldest, now = self._in_flight[0], self._loop.time()
        if oldest is late:
            self._overdue.set()
            return
        due_s = oldest.sent_s + self._timings.answer_s - now
        if due_s > 0.0:
            self._timer = self._loop.call_later(due_s, self._look, None)
        else:
            self._timer = self._loop.call_later(self._timings.answer_s * LATE_LOOP_GRACE, self._look, oldest)

    def _fail(self, error: StoreUnavailable) -> None:
        """Nothing that was asked will be answered. What never left is no doubtful case."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        in_flight, outgoing = list(self._in_flight), self._outgoing
        self._in_flight.clear()
        self._outgoing = []
        self._waking.clear()
        for command in in_flight:
            self._answered(command, error)
        for command in outgoing:
            self._answered(command, StoreUnavailable(str(error)))


async def _hang_up(connection: AbstractConnection) -> None:
    with contextlib.suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)
