"""Refuses calls before anything is made of them: aiohttp's protocol with a door in front.

A request that is handed on costs a task, a wake-up and a handful of objects even if its handler refuses it at once.
While the door is shut, one that has come whole is refused where it was parsed. Everything else takes the usual way, and
the edge asks the door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    from asyncio import BaseTransport
    from collections.abc import Callable, Container

    from multidict import CIMultiDictProxy

KEEPALIVE_TIMEOUT_S: Final = 75.0


class Door(Protocol):
    """Lets calls in or turns them away. `paths` are those of calls; nobody asks it while it is not shut."""

    is_shut: bool
    paths: Container[str]

    def turns_away(self, headers: CIMultiDictProxy[str], peer: Callable[[], str]) -> bytes | None:
        """The whole refusal, to be sent as it is; None for a call that is let in."""


class Doorstep(RequestHandler):
    """One caller's connection, up to the door. `is_let_in` says that the newest request was asked there already."""

    __slots__ = ("_peer", "door", "is_let_in")

    door: Door | None
    is_let_in: bool
    _peer: str

    def connection_made(self, transport: BaseTransport) -> None:
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if isinstance(name, tuple) else ""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        door, waiter = self.door, self._waiter
        is_idle = waiter is not None and not waiter.done() and not self._messages
        if door is None or not door.is_shut or not is_idle or self.writing_paused:
            super().data_received(data)
            return
        self._waiter = None  # or aiohttp would wake its handler
        super().data_received(data)
        self._waiter = waiter
        if self._messages and not self._is_refused(door) and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def peer(self) -> str:
        """The address at the other end: the caller's, or that of the proxy in front; "" where none is. It is known for
        as long as anybody asks, since a call is told of after its connection may have closed.
        """
        return self._peer

    def _is_refused(self, door: Door) -> bool:
        message, payload = self._messages[0]
        if not isinstance(message, RawRequestMessage) or len(self._messages) > 1 or not payload.is_eof():
            return False
        if message.should_close or message.upgrade or message.version != HttpVersion11:
            return False
        if message.method != "POST" or message.path not in door.paths or self.transport is None:
            return False
        refusal = door.turns_away(message.headers, self.peer)
        self.is_let_in = refusal is None
        if refusal is None or self._parser is None:
            return False
        self._messages.popleft()
        self._parser.message_consumed()
        payload.read_nowait(-1)
        self.transport.write(refusal)
        self._stays()
        return True

    def _stays(self) -> None:
        """As aiohttp keeps a connection after an answer."""
        self._keepalive = True
        self._next_keepalive_close_time = close_s = self._loop.time() + KEEPALIVE_TIMEOUT_S
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_s, self._process_keepalive)
