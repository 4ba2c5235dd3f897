"""Listens on a port, takes connections as fast as they come, and knows how long those wait that it has not taken yet.

In each turn of its loop uvloop takes one connection from each listener. Past a gateway's capacity that hides the crowd:
the turns stay short, whoever is in is served at once, and thousands wait in the kernel, where nobody can refuse them.
So one socket is listened on under several descriptors, and what still waits is asked of the kernel.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.config.quantities import Address

BACKLOG: Final = 4_096
TAKEN_AT_ONCE: Final = 16
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
_QUEUED: Final = struct.Struct("=24xI")
"""Linux's `struct tcp_info` up to `tcpi_unacked`, which is the length of the queue where a socket listens."""


class Listener:
    """One address. `factory` makes the protocol of each connection."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._taken = 0
        self._crowded_s = 0.0

    async def bind(self, address: Address, tls: ssl.SSLContext | None = None, *, shared: bool = False) -> None:
        """Raises `OSError` for an address that cannot be had. `shared`: with other processes."""
        loop = asyncio.get_running_loop()
        first = await loop.create_server(
            self._take, address.host, address.port, backlog=BACKLOG, ssl=tls, reuse_port=shared or None
        )
        self._servers.append(first)
        self._sockets = [socket.socket(fileno=listening.dup().detach()) for listening in first.sockets]
        for listening in self._sockets:
            for _ in range(TAKEN_AT_ONCE - 1):
                again = await loop.create_server(self._take, sock=listening.dup(), backlog=BACKLOG, ssl=tls)
                self._servers.append(again)

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    def wait_s(self, since_s: float) -> float:
        """How long a connection that comes now waits to be taken, by how many were in the `since_s` that passed since
        this was last asked; but no longer than there has been anybody waiting.
        """
        queued = sum(map(_queued, self._sockets))
        taken, self._taken = self._taken, 0
        self._crowded_s = self._crowded_s + since_s if queued else 0.0
        return min(queued * since_s / max(1, taken), self._crowded_s)

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for listening in self._sockets:
            listening.close()
        self._sockets = []

    def _take(self) -> asyncio.Protocol:
        self._taken += 1
        return self._factory()


def _queued(listening: socket.socket) -> int:
    if _TCP_INFO is None:
        return 0
    told = listening.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _QUEUED.size)
    return int(_QUEUED.unpack(told)[0]) if len(told) == _QUEUED.size else 0
