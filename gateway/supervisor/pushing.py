"""A worker's side of its metrics: each second, and once more at its end, it pushes what has grown to its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

from gateway.signals.deltas import Deltas
from gateway.signals.pushes import LENGTH_BYTES, BadPush, Hello, body_bytes, framed, read_heard

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.signals.metrics import Registry
    from gateway.signals.pushes import Push
    from gateway.supervisor.place import Place

log = logging.getLogger(__name__)

PUSH_EVERY_S: Final = 1.0
HEARD_WITHIN_S: Final = 5.0
LAST_WITHIN_S: Final = 3.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pushing:
    """Process scope of a worker. Whatever goes wrong is tried again a second later, on a new connection."""

    def __init__(self, registry: Registry, place: Place) -> None:
        self._registry = registry
        self._socket: Path = place.metrics_socket
        self._hello = Hello(place.slot, secrets.randbits(63))
        self._deltas = Deltas(registry, self._hello.epoch)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="metrics to the supervisor")

    async def close(self) -> None:
        """Push what is left, after the last call was recorded."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._hang_up()  # an answer may be under way on it, which would be taken for the next one's
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN_S):
                    await self.push()  # what stands, if the task was stopped in the midst of it
                    await self.push()
            self._hang_up()

    async def push(self) -> None:
        """Everything that has grown, in as many pushes as it takes."""
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                connection = self._connection or await self._connect()
                apart = await asyncio.to_thread(self._registry.sampled_apart)
                while True:
                    push = self._deltas.next(apart)
                    await self._send(connection, push)
                    if not self._deltas.is_behind:
                        break
            self._is_away = False
        except (OSError, TimeoutError, BadPush, asyncio.IncompleteReadError) as error:
            self._hang_up()
            if not self._is_away:
                self._is_away = True
                log.warning("the supervisor does not take this worker's metrics: %s", error or type(error).__name__)

    async def _run(self) -> None:
        while True:
            try:
                await self.push()
            except Exception:
                self._hang_up()
                log.exception("metrics could not be pushed")
            await asyncio.sleep(PUSH_EVERY_S)

    async def _connect(self) -> Connection:
        reader, writer = self._connection = await asyncio.open_unix_connection(str(self._socket))
        writer.write(framed(self._hello))
        return reader, writer

    async def _send(self, connection: Connection, push: Push) -> None:
        reader, writer = connection
        writer.write(framed(push))
        await writer.drain()
        heard = read_heard(await reader.readexactly(body_bytes(await reader.readexactly(LENGTH_BYTES))))
        if heard.number != push.number:
            raise BadPush("the answer to another push")
        self._deltas.heard(heard.number)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None
