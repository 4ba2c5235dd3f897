"""The listening side: aiohttp's low-level server with what it leaves to us.

aiohttp parses and frames (llhttp, strict), keeps connections alive and bounds pipelining. This module adds a deadline
for request heads, errors in the caller's dialect instead of plain text, `Expect`, bounded body reading, and replies
that are written as one buffer. Requests are `Inbound` values, far lighter than aiohttp's own request object.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.helpers import set_exception
from aiohttp.http_exceptions import LineTooLong
from multidict import istr

from adapters.openai_errors import WireError, error_body
from gateway.doorstep import KEEPALIVE_TIMEOUT_S, Doorstep
from gateway.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler
    from multidict import CIMultiDictProxy

    from gateway.doorstep import Door

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 15.0
BODY_TIMEOUT_S = 60.0
LINGER_S = 2.0  # for a body nobody reads, so that closing does not take the answer along
REASONS = {status.value: status.phrase for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HOST_FORM = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Ready for look-up in whatever case a header came.
HOST, EXPECT = istr("Host"), istr("Expect")
CONTENT_ENCODING, CONTENT_LENGTH = istr("Content-Encoding"), istr("Content-Length")
CHUNK_OVERHEAD_BYTES = 16 * 1024  # and eight bytes for each of content: what chunks of one byte need, and more

Headers = list[tuple[str, str]]


class Inbound:
    """One request as it came in: method, target and headers parsed, the body still to be read."""

    # `_task` is for aiohttp's protocol, which clears it on whatever object `request_factory` made.
    __slots__ = ("_task", "_wire_bytes", "headers", "keep_alive", "method", "payload", "protocol", "target", "version")

    def __init__(self, message: RawRequestMessage, payload: StreamReader, protocol: Connection) -> None:
        self.method = message.method
        self.target = message.path
        self.headers: CIMultiDictProxy[str] = message.headers
        self.version = message.version
        # The parser drops what follows a request that asks for another protocol, so nothing may follow it.
        self.keep_alive = not (message.should_close or message.upgrade)
        self.payload = payload
        self.protocol = protocol
        self._wire_bytes = 0

    @property
    def is_sound(self) -> bool:
        """Whether what the parser let through is HTTP/1.0 or 1.1 that every other server reads the same way."""
        if self.version != HttpVersion11 and (self.version != HttpVersion10 or "Transfer-Encoding" in self.headers):
            return False
        host = self.headers.get(HOST)
        return host is None or is_host(host)

    def came_in(self, wire_bytes: int) -> None:
        """More of the body has arrived. Chunks that are mostly framing (extensions nobody reads) end it."""
        payload = self.payload
        if payload.is_eof():
            return
        self._wire_bytes += wire_bytes
        if self._wire_bytes > 9 * payload.total_bytes + CHUNK_OVERHEAD_BYTES:
            set_exception(payload, web.RequestPayloadError("more framing than content"))

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises `RequestError`: 413 beyond `max_bytes`, 408 when it dribbles, 415 when compressed."""
        headers = self.headers
        if CONTENT_ENCODING in headers and headers[CONTENT_ENCODING].lower() != "identity":
            raise RequestError("Send the body uncompressed.", status=415, code="unsupported_content_encoding")
        length = headers.get(CONTENT_LENGTH)
        if length is not None and int(length) > max_bytes:
            self.keep_alive = False
            raise too_large(max_bytes)
        if EXPECT in headers:
            self._answer_expectation(headers[EXPECT])
        payload = self.payload
        if payload.is_eof():  # the usual case: the body came along with the head
            body = payload.read_nowait(-1)
            return body if len(body) <= max_bytes else self._refuse_size(max_bytes)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._collect(max_bytes)
        except TimeoutError:
            self.keep_alive = False
            message = "The request body took too long to arrive."
            raise RequestError(message, status=408, code="request_timeout") from None
        except web.RequestPayloadError:
            self.keep_alive = False
            raise RequestError("The request body is not framed as HTTP/1.1 asks.", code="malformed_http") from None

    async def _collect(self, max_bytes: int) -> bytes:
        pieces = bytearray()
        while piece := await self.payload.readany():
            pieces += piece
            if len(pieces) > max_bytes:
                self._refuse_size(max_bytes)
        return bytes(pieces)

    def _refuse_size(self, max_bytes: int) -> bytes:
        self.keep_alive = False
        raise too_large(max_bytes)

    def _answer_expectation(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            self.keep_alive = False
            raise RequestError("Only `Expect: 100-continue` is understood.", status=417, code="expectation_failed")
        if self.protocol.transport is not None and not self.payload.is_eof():
            self.protocol.transport.write(CONTINUE)

    def peer(self) -> str:
        return self.protocol.peer()

    # aiohttp's protocol calls these two on the object that `request_factory` made.
    def _finish(self) -> None: ...

    def _cancel(self, exc: BaseException) -> None:
        set_exception(self.payload, exc)


@lru_cache(maxsize=256)
def is_host(value: str) -> bool:
    """Whether a Host header names a host; callers hardly ever name another than the last one."""
    return HOST_FORM.fullmatch(value) is not None


def too_large(max_bytes: int) -> RequestError:
    return RequestError(
        f"The request body is larger than this gateway takes ({max_bytes} bytes).", status=413, code="request_too_large"
    )


class Outbound:
    """A reply as aiohttp's protocol wants it: a whole one is written at the end, a streamed one already was."""

    __slots__ = ("_whole", "_writer", "keep_alive")

    def __init__(self, inbound: Inbound, whole: bytes | None = None) -> None:
        self._writer = inbound.protocol
        if whole is not None and inbound.method == "HEAD":  # a body would be read as the next answer's beginning
            whole = whole[: whole.index(b"\r\n\r\n") + 4]
        self._whole = whole
        self.keep_alive = inbound.keep_alive

    async def prepare(self, _request: object) -> None: ...

    async def write_eof(self) -> None:
        if self._whole is not None:
            self._writer.send(self._whole)
            if self._writer.writing_paused:
                await self._writer.drained(self._writer.write_timeout_s)


def render_head(status: int, headers: Headers, *, close: bool) -> bytes:
    """Status line and headers. No value is a caller's or an upstream's free text, so none can split the response."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("connection: close")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace")


class Stream:
    """A reply that goes out as it comes, flushed at once, with a bound on how long a slow reader may stall it.

    Chunked, but for callers of HTTP/1.0, who know no chunks: theirs ends with the connection.
    """

    __slots__ = ("_is_chunked", "_protocol", "sent_bytes")

    def __init__(self, inbound: Inbound, status: int, headers: Headers) -> None:
        self._protocol = inbound.protocol
        self.sent_bytes = 0
        self._is_chunked = inbound.version >= HttpVersion11
        if self._is_chunked:
            headers = [*headers, ("transfer-encoding", "chunked")]
        else:
            inbound.keep_alive = False
        self._protocol.send(render_head(status, headers, close=not inbound.keep_alive))

    def send(self, data: bytes) -> bool:
        """True when the caller lags: `catch_up` comes next. Raises `ConnectionError` when the caller has gone."""
        self.sent_bytes += len(data)
        self._protocol.send(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return self._protocol.writing_paused

    async def catch_up(self, timeout_s: float) -> None:
        """Wait for the caller. Raises `ConnectionError` when it has gone, or made no room for `timeout_s`."""
        await self._protocol.drained(timeout_s)

    def end(self) -> None:
        if self._is_chunked:
            self._protocol.send(b"0\r\n\r\n")


class Connection(Doorstep):
    """One caller's connection: aiohttp's protocol, a deadline for heads, and errors as JSON."""

    __slots__ = ("_head_timer", "write_timeout_s")

    write_timeout_s: float

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            access_log=cast("logging.Logger", None),  # our own log line replaces it
            auto_decompress=False,
            lingering_time=LINGER_S,
        )
        self._head_timer: asyncio.TimerHandle | None = None
        self.write_timeout_s = 30.0
        self.door, self.is_let_in = server.door, False

    def data_received(self, data: bytes) -> None:
        seen = self._request_count
        super().data_received(data)
        if self._request_count != seen:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._current_request is not None:
            cast("Inbound", self._current_request).came_in(len(data))
        elif data and self._head_timer is None and self._awaits_head():
            self._head_timer = self._loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def _awaits_head(self) -> bool:
        """Whether what comes in belongs to a head. A request at hand, its handler perhaps not begun, has a body yet."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._awaits_head() and self.transport is not None:
            self.transport.write(_plain_error(408, "The request head took too long to arrive.", "request_timeout"))
            self.force_close()

    def close_if_idle(self) -> None:
        """Close, unless a request is at hand or on its way in."""
        if self._awaits_head() and self._head_timer is None:
            self.force_close()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """aiohttp calls this after each body; its own then feeds the parser nothing and wakes a transport awake."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def interrupt(self) -> None:
        """Cancel the handler that is at work, leaving it the connection to say so on."""
        if self._current_request is not None and self._task_handler is not None:
            self._task_handler.cancel()

    def send(self, data: bytes) -> None:
        if self.transport is None:
            raise ConnectionResetError("the caller has gone")
        self.transport.write(data)

    async def drained(self, timeout_s: float) -> None:
        """Wait until the caller has read enough. A caller that does not for `timeout_s` is cut off."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._drain_helper()
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionResetError("the caller reads too slowly") from None

    def handle_error(
        self,
        request: object,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words; the caller gets ours
    ) -> web.StreamResponse:
        """What aiohttp could not parse, or what escaped the edge: a JSON error, then the connection closes."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there to tell; aiohttp closes what is left
        inbound = cast("Inbound", request)
        inbound.keep_alive = False
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request handler failed", exc_info=exc)
            text, code = "Something went wrong inside the gateway.", "internal_error"
        elif isinstance(exc, LineTooLong):
            status, text, code = 431, "A line of the request head is too long.", "request_head_too_large"
        else:
            return cast("web.StreamResponse", _refuse_framing(inbound))
        return cast("web.StreamResponse", Outbound(inbound, _plain_error(status, text, code)))


def _refuse_framing(inbound: Inbound) -> Outbound:
    inbound.keep_alive = False
    return Outbound(inbound, _plain_error(400, "The request is not well-formed HTTP/1.1.", "malformed_http"))


def _plain_error(status: int, message: str, code: str) -> bytes:
    kind = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = error_body(WireError(message, kind, code))
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    return render_head(status, headers, close=True) + body


class Server(web.Server):
    """A listener's protocol factory. A caller that goes away cancels its handler."""

    def __init__(
        self,
        handler: Callable[[Inbound], Awaitable[Outbound]],
        loop: asyncio.AbstractEventLoop,
        door: Door | None = None,
    ) -> None:
        self.door = door
        self._answer = handler
        self._draining = False
        super().__init__(
            cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", self._handle),
            request_factory=cast("Callable[..., web.BaseRequest]", self._make_inbound),
            handler_cancellation=True,
            loop=loop,
        )

    def __call__(self) -> RequestHandler:
        return Connection(self, self._loop)

    async def _handle(self, inbound: Inbound) -> Outbound:
        outbound = await self._answer(inbound) if inbound.is_sound else _refuse_framing(inbound)
        if self._draining:
            outbound.keep_alive = False
        return outbound

    def drain(self) -> None:
        """Idle connections close now, the others with the end of their answer.

        aiohttp's own `pre_shutdown` would leave the idle ones open and deaf, and cut the bodies that are coming in.
        """
        self._draining = True
        for connection in self.connections:
            cast("Connection", connection).close_if_idle()

    def interrupt(self) -> None:
        """Cancel every handler at work, as when the time to drain is over."""
        for connection in self.connections:
            cast("Connection", connection).interrupt()

    @staticmethod
    def _make_inbound(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,  # noqa: ARG004 - replies are written through the protocol
        task: asyncio.Task[None],  # noqa: ARG004 - cancellation comes with `handler_cancellation`
    ) -> Inbound:
        return Inbound(message, payload, cast("Connection", protocol))
