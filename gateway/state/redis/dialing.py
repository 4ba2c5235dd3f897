"""Connections of the `redis` package to one server, ready for use: authenticated, and knowing our scripts.

That the scripts are loaded with each connection means that the server has answered before anybody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.scripts import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.state.redis.url import Address, RedisUrl

log = logging.getLogger(__name__)


class Timings(NamedTuple):
    """How long to wait for a connection and for an answer, and how long at least and at most between two tries."""

    connect_s: float = 0.25
    answer_s: float = 0.1
    backoff_s: float = 0.05
    backoff_max_s: float = 1.0


class Dialer:
    """Opens connections as a URL says."""

    def __init__(self, url: RedisUrl, connect_s: float) -> None:
        self._url = url
        self._connect_s = connect_s
        self._sentinel: Sentinel | None = None

    @property
    def is_cluster(self) -> bool:
        return self._url.scheme == "redis+cluster"

    @property
    def seeds(self) -> tuple[Address, ...]:
        return self._url.addresses

    async def dial(self, address: Address | None, first: Sequence[bytes] = ()) -> AbstractConnection:
        """A connection on which each of `first` has been answered; to the server or master where there is one only.

        Raises `StoreUnavailable`.
        """
        try:
            async with asyncio.timeout(self._connect_s):
                connection = self._made(address or await self._found())
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                    await _say(connection, first)
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"no connection to Redis: {str(error) or 'it does not answer'}") from error
        return connection

    async def close(self) -> None:
        if self._sentinel is not None:
            await self._sentinel.aclose()
            self._sentinel = None

    async def _found(self) -> Address | None:
        if self._url.scheme != "redis+sentinel":
            return self._url.addresses[0] if self._url.addresses else None
        if self._sentinel is None:
            each_s = self._connect_s / (len(self._url.addresses) + 1)
            options: dict[str, Any] = {"driver_info": None, "socket_timeout": each_s, "socket_connect_timeout": each_s}
            options |= self._tls_options() | self._url.sentinel_options
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py
                self._url.addresses, sentinel_kwargs=options
            )
        host, port = await self._sentinel.discover_master(self._url.service)
        return str(host), int(port)

    def _made(self, address: Address | None) -> AbstractConnection:
        # RESP2: no notifications of maintenance may come between answers, nor do they have to be asked for.
        options: dict[str, Any] = {"protocol": 2, "driver_info": None, "socket_timeout": None, **self._url.options}
        if address is None:
            return UnixDomainSocketConnection(path=self._url.path, **options)
        kind = SSLConnection if self._url.tls else Connection
        return kind(host=address[0], port=address[1], **options)

    def _tls_options(self) -> dict[str, Any]:
        if not self._url.tls:
            return {}
        return {"ssl": True} | {key: value for key, value in self._url.options.items() if key.startswith("ssl_")}


async def _say(connection: AbstractConnection, commands: Sequence[bytes]) -> None:
    if commands:
        await connection.send_packed_command(b"".join(commands), check_health=False)
        for _ in commands:
            await connection.read_response()


async def asked(connection: AbstractConnection, *words: bytes) -> Any:  # noqa: ANN401 - whatever Redis says
    """One command on a connection of its own. Raises RedisError, OSError."""
    await connection.send_packed_command(command(*words), check_health=False)
    return await connection.read_response()


async def warn_of_eviction(connection: AbstractConnection) -> bool:
    """Whether this server throws keys away when it is full, said once in the log: a full limit would come out empty."""
    try:
        text = (await asked(connection, b"INFO", b"memory")).decode()
    except RedisError:
        return False  # not allowed to ask
    told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    policy = told.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or told.get("maxmemory", "0") == "0":
        return False
    log.warning("Redis evicts keys when full (maxmemory-policy %s), and an evicted limit is an unused one", policy)
    return True
