"""One deployment's connections: the bulkhead that keeps a stalled provider from taking the others' sockets."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING

from gateway.errors import CancelledUnsent
from gateway.transport.connection import Connection
from gateway.transport.errors import StaleConnectionError, TransportError
from gateway.transport.framing import IDLE_S
from gateway.transport.head import Headers, RequestHeads
from gateway.transport.origin import Origin, tls_context
from gateway.transport.resolver import Resolver
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from adapters.base import WireRequest
    from gateway.transport.response import Response
    from policies.vocabulary import Timeouts

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
WAIT_S = 1.0
# More waiting than this are not served within `WAIT_S` by any pool that is worth waiting for.
WAITING_PER_CONNECTION = 4
WAITING_MIN = 64


class Pool:
    """Keep-alive connections to one origin, last used first, at most `max_connections` of them.

    Who finds all taken waits for `wait_s` at most. Once somebody has waited that long for nothing, the next ones are
    turned away at once, until a connection comes free: a stalled provider costs a call that can go elsewhere nothing.
    `headers` (credentials among them) go out with every request, which cannot change them. One event loop per pool.
    """

    def __init__(
        self,
        base_url: str,
        headers: Headers = (),
        *,
        tls: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
        wait_s: float = WAIT_S,
    ) -> None:
        self.origin = Origin.parse(base_url)
        self._heads = RequestHeads(self.origin, headers)
        self._tls = (tls or tls_context()) if self.origin.secure else None
        self._max_connections = max_connections
        self._wait_s = wait_s
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._free_slots = max_connections
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._waiters_max = max(WAITING_MIN, WAITING_PER_CONNECTION * max_connections)
        self._stuck = False
        self._resolver = Resolver(self.origin.host, self.origin.port)
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False
        self._secrets = _secrets(self.origin, headers)

    @property
    def open_count(self) -> int:
        """Connections open or being opened."""
        return self._max_connections - self._free_slots

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """Calls that wait for a connection to come free."""
        return len(self._waiters)

    async def request(
        self, wire: WireRequest, extra: Headers, timeouts: Timeouts, deadline_s: float, *, first_token: bool = False
    ) -> Response:
        """POST and wait for the answer's head. Raises `TransportError`; `HeaderError` for headers that must not go out.

        A cancellation before anything was sent comes out as `CancelledUnsent`.
        With `first_token` the response fails when its reader still waits `timeouts.first_token_s` after the start.
        """
        head = self._heads.render(wire, extra)
        now_s = time.monotonic()  # the loop's clock as well, and to ask for the loop is a system call
        if now_s >= deadline_s:
            raise TransportError(FailureKind.TOTAL)
        phase_s = now_s + timeouts.first_token_s if first_token else inf
        connection = self._take(now_s)
        if connection is not None:
            try:
                return await connection.exchange(head, wire.body, timeouts, deadline_s, phase_s)
            except StaleConnectionError:
                self._evict_one()
        try:
            connection = await self._acquire(timeouts.connect_s, deadline_s)
        except asyncio.CancelledError as cancelled:
            raise CancelledUnsent from cancelled
        return await connection.exchange(head, wire.body, timeouts, deadline_s, phase_s)

    def redact(self, text: str) -> str:
        """`text` without this pool's host and header values."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def close(self) -> None:
        """Abort every connection; exchanges under way fail."""
        self._closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(TransportError(FailureKind.POOL))
        for connection in tuple(self._open):
            connection.abort()
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None

    # taking

    def _take(self, now_s: float) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.expires_s > now_s:
                return connection
            connection.close()
        return None

    def _evict_one(self) -> None:
        """Make room for a fresh connection: what sat idle beside a stale one is likely stale too."""
        if not self._free_slots and self._idle:
            self._idle.pop(0).close()

    async def _acquire(self, connect_s: float, deadline_s: float) -> Connection:
        if self._closed:
            raise TransportError(FailureKind.POOL)
        if self._free_slots:
            self._free_slots -= 1
        else:
            connection = await self._wait_turn(deadline_s)
            if connection is not None:
                return connection
        try:
            connection = await self._connect(connect_s, deadline_s)
        except BaseException:
            self._free_slot()
            raise
        self._open.add(connection)
        return connection

    async def _wait_turn(self, deadline_s: float) -> Connection | None:
        """A connection that came free, or None for the right to open one. First come, first served."""
        if self._stuck or len(self._waiters) >= self._waiters_max:
            raise TransportError(FailureKind.POOL)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters[waiter] = None
        until_s = loop.time() + self._wait_s
        timer = loop.call_at(min(until_s, deadline_s), self._give_up, waiter, until_s <= deadline_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def _give_up(self, waiter: asyncio.Future[Connection | None], waited_long: bool) -> None:  # noqa: FBT001 - a timer's argument
        if not waiter.done():
            self._stuck = self._stuck or waited_long
            waiter.set_exception(TransportError(FailureKind.POOL))

    def _give_back(self, turn: Connection | None) -> None:
        if turn is None:
            self._free_slot()
        elif not turn.closed:
            self.release(turn)

    async def _connect(self, connect_s: float, deadline_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        until_s = min(loop.time() + connect_s, deadline_s)
        try:
            async with asyncio.timeout_at(until_s):
                connection = await self._reach(loop)
        except TimeoutError as error:
            raise TransportError(FailureKind.TOTAL if until_s == deadline_s else FailureKind.CONNECT) from error
        except (OSError, ssl.SSLError, UnicodeError) as error:
            log.debug("connecting failed: %r", error)
            raise TransportError(FailureKind.CONNECT, _connect_message(error)) from error
        if connection.closed or self._closed:
            connection.abort()
            raise TransportError(FailureKind.CONNECT)
        return connection

    async def _reach(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """A connection to the first of the host's addresses that takes one."""
        addresses = await self._resolver.addresses()
        server_hostname = None if self._tls is None else self.origin.host
        for number, address in enumerate(addresses, 1):
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop),
                    address,
                    self.origin.port,
                    ssl=self._tls,
                    server_hostname=server_hostname,
                )
            except OSError:
                if number == len(addresses):
                    raise
            else:
                return connection
        raise OSError("the host has no address")

    # giving back

    def release(self, connection: Connection) -> None:
        """Hand the connection to whoever waits longest, or keep it for the next exchange."""
        self._stuck = False
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        loop = connection.loop
        connection.expires_s = loop.time() + connection.idle_s
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = loop.call_later(IDLE_S, self._reap)

    def forget(self, connection: Connection) -> None:
        """The connection is closed: its slot is free."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        self._stuck = False
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._free_slots += 1

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _reap(self) -> None:
        """Close what has been idle too long; look again as long as anything is idle."""
        self._reaper = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in [idle for idle in self._idle if idle.expires_s <= now_s]:
            connection.close()
        if self._idle:
            self._reaper = loop.call_later(IDLE_S, self._reap)


def _connect_message(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "The upstream's TLS certificate was not accepted."
    if isinstance(error, ssl.SSLError):
        return "The TLS handshake with the upstream failed."
    if isinstance(error, ConnectionRefusedError):
        return "The upstream refused the connection."
    return "The upstream could not be reached."


def _secrets(origin: Origin, headers: Headers) -> tuple[str, ...]:
    """What must never be shown, longest first, so that no replacement leaves part of another."""
    values = {value for _, value in headers}
    values |= {value.rpartition(" ")[2] for value in values}
    found = {value for value in values if len(value) >= 8} | {origin.host, origin.authority}
    return tuple(sorted(found, key=len, reverse=True))
