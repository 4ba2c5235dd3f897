"""How nodes hear that the keys have changed: through Redis within milliseconds, where there is one.

An announcement carries nothing; it says "look at the database", which alone is believed. So one that is lost costs time
(every node looks for itself now and then), and one that is forged or repeated costs one small query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from gateway.state.limits.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

    from gateway.state.redis.dialing import Dialer
    from gateway.state.redis.url import Address

log = logging.getLogger(__name__)

CHANNEL: Final = "pointsman:1:keys"
CONNECT_S: Final = 1.0
SILENCE_S: Final = 10.0
BACKOFF_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0


class Announcements(Protocol):
    """Tells all nodes, this one included."""

    async def publish(self) -> None:
        """Something has changed and is committed. Never raises for want of a connection."""

    async def start(self, tell: Callable[[], None]) -> None:
        """Call `tell` for every announcement from now on, and after each time some may have been missed."""

    async def close(self) -> None: ...


class LocalAnnouncements:
    """For a gateway of one process."""

    def __init__(self) -> None:
        self._tell: Callable[[], None] | None = None

    async def publish(self) -> None:
        if self._tell is not None:
            self._tell()

    async def start(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    async def close(self) -> None:
        self._tell = None


class RedisAnnouncements:
    """Through a channel of Redis: one server, the master that sentinels name, or any node of a Cluster."""

    def __init__(self, url: str, channel: str = CHANNEL) -> None:
        self._url = url
        self._channel = channel.encode()
        self._dialer: Dialer | None = None
        self._tell: Callable[[], None] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def publish(self) -> None:
        if self._tell is not None:
            self._tell()  # this node need not wait for Redis
        try:
            connection = await self._dial(b"PUBLISH", self._channel, b"")
            await connection.disconnect(nowait=True)
        except StoreUnavailable as error:
            log.warning("a change of keys was not announced, so other nodes find it when they next look: %s", error)

    async def start(self, tell: Callable[[], None]) -> None:
        """Returns at once; a Redis that is not there yet is waited for in the background."""
        self._tell = tell
        self._listening = asyncio.create_task(self._listen(tell))

    async def close(self) -> None:
        self._tell = None
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        if self._dialer is not None:
            await self._dialer.close()

    async def _listen(self, tell: Callable[[], None]) -> None:
        backoff_s = BACKOFF_S
        while True:
            try:
                connection = await self._dial(b"SUBSCRIBE", self._channel)
            except StoreUnavailable as error:
                if backoff_s == BACKOFF_S:
                    log.warning("announcements of changed keys are not heard: %s", error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
                continue
            backoff_s = BACKOFF_S
            tell()  # for what was announced before
            try:
                await _hear(connection, tell)
            finally:
                await connection.disconnect(nowait=True)

    async def _dial(self, *words: bytes) -> AbstractConnection:
        """A connection on which this was said and answered. Raises `StoreUnavailable`."""
        if self._dialer is None:
            made = await asyncio.to_thread(_dialer, self._url)
            self._dialer = self._dialer or made
        from gateway.state.redis.scripts import command  # noqa: PLC0415 - imported by now

        seeds: tuple[Address | None, ...] = self._dialer.seeds if self._dialer.is_cluster else (None,)
        problem = StoreUnavailable("no address is given")
        for address in seeds:
            try:
                return await self._dialer.dial(address, (command(*words),))
            except StoreUnavailable as error:
                problem = error
        raise problem


def _dialer(url: str) -> Dialer:
    """Blocks: the first one imports redis, and only where a policy names one."""
    from gateway.state.redis.dialing import Dialer  # noqa: PLC0415 - as said
    from gateway.state.redis.url import parse  # noqa: PLC0415 - as said

    return Dialer(parse(url), CONNECT_S)


async def _hear(connection: AbstractConnection, tell: Callable[[], None]) -> None:
    """Until the connection is lost. One that is silent is asked for a sign of life: the other end may be long gone."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - imported by now

    from gateway.state.redis.scripts import command  # noqa: PLC0415 - as above

    asked = False
    try:
        while True:
            message = await connection.read_response(timeout=SILENCE_S)
            if message is None:
                if asked:
                    return
                await connection.send_packed_command(command(b"PING"), check_health=False)
                asked = True
                continue
            asked = False
            if isinstance(message, list) and message[0] == b"message":
                tell()
    except (RedisError, OSError):
        return
