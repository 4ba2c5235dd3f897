"""Hears from Redis whose use was given back in other processes, so that those who wait here need not ask again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.scripts import command, tenant_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

    from gateway.state.redis.dialing import Dialer, Timings

log = logging.getLogger(__name__)


class Subscription:
    """One connection that only listens: opened when somebody waits here for the first time, and whenever it broke."""

    def __init__(self, dialer: Dialer, timings: Timings, channel: str, heard: Callable[[str], None]) -> None:
        self._dialer = dialer
        self._timings = timings
        self._channel = channel
        self._heard = heard
        self._task: asyncio.Task[None] | None = None
        self.subscribed = asyncio.Event()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="redis-freed")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self) -> None:
        failures = 0
        while True:
            with contextlib.suppress(RedisError, OSError, StoreUnavailable):
                connection = await self._open()
                failures = 0
                try:
                    await self._hear(connection)
                finally:
                    self.subscribed.clear()
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
            failures += 1
            await asyncio.sleep(min(self._timings.backoff_s * 2 ** min(failures, 10), self._timings.backoff_max_s))

    async def _open(self) -> AbstractConnection:
        """Where it is a Cluster any node will do: what is published on one is heard on all."""
        subscribe = [command(b"SUBSCRIBE", self._channel.encode())]
        seeds = self._dialer.seeds if self._dialer.is_cluster else (None,)
        for address in seeds[:-1]:
            with contextlib.suppress(StoreUnavailable):
                return await self._dialer.dial(address, subscribe)
        return await self._dialer.dial(seeds[-1], subscribe)

    async def _hear(self, connection: AbstractConnection) -> None:
        self.subscribed.set()
        while True:
            kind, _, payload = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            if kind == b"message":
                self._heard(tenant_of(payload.decode()))
