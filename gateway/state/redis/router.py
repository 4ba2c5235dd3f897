"""Sends each command to the server that has its keys, and mends what a failover or a move of keys brings.

One server, or a master that sentinels name, is one connection. In a Cluster each master has one, and the map of its
slots is read anew when a node says that it is out of date. Replicas are never asked: they lag behind.
"""

from __future__ import annotations

import asyncio
import logging
from binascii import crc_hqx
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.connections import Command, NodeConnection
from gateway.state.redis.dialing import asked, warn_of_eviction
from gateway.state.redis.scripts import command, with_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.state.redis.dialing import Dialer, Timings
    from gateway.state.redis.scripts import Script
    from gateway.state.redis.url import Address

log = logging.getLogger(__name__)

SLOTS: Final = 16384
MOVES_MAX: Final = 4
ASKING: Final = command(b"ASKING")


class _Asking(Command):
    """Lets the next command on the connection in, where a slot is moving to."""

    __slots__ = ()

    def answered(self, answer: object) -> None:
        """The command that follows tells."""


class Router:
    """`connected` is called whenever a server can be talked to again."""

    def __init__(
        self, dialer: Dialer, timings: Timings, scripts: Sequence[Script], connected: Callable[[], None]
    ) -> None:
        self._dialer = dialer
        self._timings = timings
        self._connected = connected
        self._first = [command(b"SCRIPT", b"LOAD", script.text) for script in scripts]
        self._nodes: dict[Address | None, NodeConnection] = {}
        self._slots: list[Address] = []
        self._mapping: asyncio.Task[None] | None = None
        self._unmapped: list[Command] = []
        self.evicts = False

    async def start(self) -> None:
        """Connects where it can; a Redis that is away now is dialled again with the next command."""
        try:
            if self._dialer.is_cluster:
                await self._read_map()
                return
            connection = await self._dialer.dial(None)
            try:
                async with asyncio.timeout(self._timings.connect_s):
                    self.evicts = await warn_of_eviction(connection)
            finally:
                await connection.disconnect(nowait=True)
        except (StoreUnavailable, RedisError, OSError) as error:
            log.warning(
                "the limit store is away at the start (%s); going on without", str(error) or "it does not answer"
            )

    async def close(self) -> None:
        if self._mapping is not None:
            self._mapping.cancel()
            await asyncio.wait([self._mapping])
        for node in self._nodes.values():
            await node.close()
        await self._dialer.close()

    def send(self, command: Command) -> None:
        """To the server that has the keys of the command's tag."""
        if not self._dialer.is_cluster:
            self._node(None).send(command)
        elif self._slots:
            self._node(self.address_of(command.tag)).send(command)
        else:
            self._unmapped.append(command)
            self._map_anew()

    async def masters(self) -> list[Address | None]:
        """Every server that has keys, for `send_to`. Raises `StoreUnavailable`."""
        if not self._dialer.is_cluster:
            return [None]
        if not self._slots:
            await self._read_map()
        return list(dict.fromkeys(self._slots))

    def send_to(self, address: Address | None, command: Command) -> None:
        """To this server, whatever keys it has."""
        self._node(address).send(command)

    def address_of(self, tag: str) -> Address | None:
        """The node that has a tag's keys; None while that is unknown, and where there is one server only."""
        return self._slots[crc_hqx(tag.encode(), 0) % SLOTS] if self._slots else None

    def _node(self, address: Address | None) -> NodeConnection:
        node = self._nodes.get(address)
        if node is None:

            async def dial() -> AbstractConnection:
                connection = await self._dialer.dial(address, self._first)
                self._connected()
                return connection

            node = self._nodes[address] = NodeConnection(dial, self._timings, self._answered)
        return node

    def _answered(self, command: Command, answer: object) -> None:
        if not isinstance(answer, Exception):
            command.answered(answer)
        elif isinstance(answer, ResponseError) and command.moves < MOVES_MAX and self._sent_on(command, answer):
            command.moves += 1
        else:
            self._failed(command, answer)

    def _sent_on(self, command: Command, error: ResponseError) -> bool:
        if isinstance(error, NoScriptError) and command.script is not None:
            command.packed = with_text(command.packed, command.script)
            self.send(command)
        elif not self._dialer.is_cluster:
            return False  # a node of a Cluster behind a redis:// URL would say MOVED
        elif isinstance(error, MovedError):
            self._slots[error.slot_id] = (error.host, error.port)
            self._map_anew()
            self._node((error.host, error.port)).send(command)
        elif isinstance(error, AskError):
            node = self._node((error.host, error.port))
            node.send(_Asking(ASKING, command.tag))
            node.send(command)
        else:
            return False
        return True

    def _failed(self, command: Command, error: Exception) -> None:
        if self._dialer.is_cluster and isinstance(error, StoreUnavailable | ClusterDownError):
            self._map_anew()
        if isinstance(error, ReadOnlyError) and not self._dialer.is_cluster:
            self._node(None).drop()  # it was the master until a moment ago
        if not isinstance(error, StoreUnavailable):
            error = StoreUnavailable(f"Redis says: {error}")
        command.answered(error)

    def _map_anew(self) -> None:
        if self._mapping is None or self._mapping.done():
            self._mapping = asyncio.get_running_loop().create_task(self._map(), name="redis-map")

    async def _map(self) -> None:
        try:
            await self._read_map()
        except StoreUnavailable as error:
            waiting, self._unmapped = self._unmapped, []
            for command in waiting:
                command.answered(error)
            await asyncio.sleep(self._timings.backoff_s)  # not more often than that, whoever asks
            return
        waiting, self._unmapped = self._unmapped, []
        for command in waiting:
            self.send(command)
        await asyncio.sleep(self._timings.backoff_s)

    async def _read_map(self) -> None:
        error: Exception = StoreUnavailable("the Cluster has no nodes")
        for address in dict.fromkeys([*self._slots, *self._dialer.seeds]):
            try:
                connection = await self._dialer.dial(address)
            except StoreUnavailable as refused:
                error = refused
                continue
            try:
                async with asyncio.timeout(self._timings.connect_s):
                    self._slots = slot_map(await asked(connection, b"CLUSTER", b"SLOTS"), address)
                    self.evicts = await warn_of_eviction(connection) if not self._nodes else self.evicts
            except (RedisError, OSError, TimeoutError, ValueError) as refused:
                error = refused
                continue
            finally:
                await connection.disconnect(nowait=True)
            await self._forget_gone()
            return
        raise StoreUnavailable(f"no node of the Cluster tells its slots: {error}") from error

    async def _forget_gone(self) -> None:
        """Connections to nodes that have no slots any more; what is under way on them fails and is asked elsewhere."""
        present = set(self._slots)
        for address in [address for address in self._nodes if address not in present]:
            await self._nodes.pop(address).close()


def slot_map(ranges: Any, asked_at: Address) -> list[Address]:  # noqa: ANN401 - an answer as it came
    """The master of every slot. Raises ValueError where some slot has none."""
    slots: list[Address | None] = [None] * SLOTS
    for first, last, master, *_ in ranges:
        host = master[0].decode() if master[0] else asked_at[0]
        slots[first : last + 1] = [(host, master[1])] * (last - first + 1)
    known = [address for address in slots if address is not None]
    if len(known) != SLOTS:
        raise ValueError("some slots have no master")
    return known
