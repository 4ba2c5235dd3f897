"""From a host's name to its addresses, one look-up at a time and on a thread of its own.

The event loop's own look-ups share a few threads, and one that hangs holds its thread for as long as the system's
resolver likes: a provider whose name server is down would keep every other provider from being connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Addresses = tuple[str, ...]

_NAMED: Final = "pointsman-resolver"


class Resolver:
    """One host's. Callers who ask while a look-up is under way share its answer; nothing is kept beyond that."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._fixed: Addresses | None = (host,) if _is_address(host) else None
        self._under_way: asyncio.Future[Addresses] | None = None

    async def addresses(self) -> Addresses:
        """In the order in which to try them, at least one. Raises `OSError`."""
        if self._fixed is not None:
            return self._fixed
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_future()
            self._start(self._under_way)
        # Whoever gives up waiting leaves the look-up to the others.
        return await asyncio.shield(self._under_way)

    def _start(self, found: asyncio.Future[Addresses]) -> None:
        loop = found.get_loop()

        def look_up() -> None:
            try:
                answer: Addresses | Exception = look_up_addresses(self._host, self._port)
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
                answer = error
            _tell(loop, lambda: self._end(found, answer))

        threading.Thread(target=look_up, name=_NAMED, daemon=True).start()

    def _end(self, found: asyncio.Future[Addresses], answer: Addresses | Exception) -> None:
        self._under_way = None
        if isinstance(answer, Exception):
            found.set_exception(answer)
            found.exception()  # everybody who waited for it may have left
        else:
            found.set_result(answer)


def look_up_addresses(host: str, port: int) -> Addresses:
    """Blocks. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tell(loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(answer)
    except RuntimeError:
        return  # the loop is closed, and nobody waits any more
