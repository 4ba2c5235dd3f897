"""What an HTTP upstream hands back: a whole answer, or a stream that has shown its first content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from adapters.base import FailedStream
from gateway.errors import UpstreamError
from gateway.transport import TransportError
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from adapters.base import Adapter, StreamDecoder, Tally
    from adapters.schema import InferenceRequest
    from gateway.transport import Response

# Of an upstream's headers only these may reach a caller: nothing that names a host, an account or its limits.
SHOWN_HEADERS = ((b"openai-processing-ms", "openai-processing-ms"), (b"openai-version", "openai-version"))

_HELD_BYTES = 1024 * 1024
_BLANK_BYTES = 64 * 1024
_BLANK = b"\xef\xbb\xbf \t\r\n"

ToError = Callable[[Failure], UpstreamError]


class WholeAnswer:
    """An answer that came in one piece."""

    __slots__ = ("body", "first_token_s", "headers", "tally")

    def __init__(self, body: bytes, tally: Tally, headers: tuple[tuple[str, str], ...]) -> None:
        self.body: bytes | None = body
        self.tally = tally
        self.headers = headers
        self.first_token_s: float | None = None

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is left to abandon."""


class StreamAnswer:
    """A stream. `open` reads up to the first content, and every failure until then may move elsewhere unseen."""

    def __init__(self, response: Response, decoder: StreamDecoder, idle_s: float, to_error: ToError) -> None:
        self.body: bytes | None = None
        self.tally = decoder.tally
        self.headers = shown(response)
        self.first_token_s: float | None = None
        self._to_error = to_error
        self._response = response
        self._decoder = decoder
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._over = False
        self._idle_by_s: float | None = None
        self._failure: Failure | None = None

    async def open(self, request: InferenceRequest, adapter: Adapter) -> None:
        """Raises `TransportError` or `FailedStream` unless content came, or the honest end of an empty answer."""
        piece = await self._first_piece()
        first = piece.lstrip(_BLANK)[:1]
        if first in (b"{", b"["):
            adapter.decode(request, piece + await self._response.read_all())
            raise _unexpected("The upstream answered in one piece where a stream was asked for.")
        if first == b"<":
            raise _unexpected("The upstream answered with a web page.")
        await self._hold_until_content(piece)

    async def read(self) -> bytes:
        """The next whole events; empty bytes at the honest end. Raises `UpstreamError`, and again if asked again."""
        if self._held:
            held, self._held = self._held, b""
            return held
        if self._failure is not None:
            raise self._to_error(self._failure)
        if self._over:
            return b""
        try:
            return await self._next()
        except TransportError as error:
            self._failure = error.failure
        except FailedStream as error:
            self._failure = replace(error.failure, maybe_billed=True)
        except BaseException:
            self.close()
            raise
        self.close()
        raise self._to_error(self._failure)

    def close(self) -> None:
        self._response.close()

    async def _first_piece(self) -> bytes:
        """The beginning of the body, up to a piece that is not blank."""
        start = await self._response.read()
        while not start.lstrip(_BLANK) and (piece := await self._response.read()):
            start += piece
            if len(start) > _BLANK_BYTES:
                raise _unexpected("The upstream answered with blanks.")
        return start

    async def _hold_until_content(self, piece: bytes) -> None:
        decoder, held, held_bytes = self._decoder, [], 0
        while piece:
            held.append(decoder.feed(piece))
            held_bytes += len(held[-1])
            if decoder.started or decoder.ended:
                break
            if held_bytes > _HELD_BYTES:
                raise _unexpected("The upstream sent a megabyte of events without any content.")
            piece = await self._response.read()
        else:
            held.append(self._finish())
        self._held = b"".join(held)
        if decoder.started:
            self.first_token_s = time.monotonic()
        elif not self.tally.finish_reasons:
            raise _unexpected("The upstream's stream ended without an answer.")

    async def _next(self) -> bytes:
        # The clock starts when the caller wants more, for a slow caller is not the upstream's fault. It stops only
        # for data: comments go through to the caller, but cannot keep a stalled stream alive.
        if self._idle_by_s is None:
            self._idle_by_s = self._loop.time() + self._idle_s
            self._response.limit_phase(FailureKind.IDLE, self._idle_by_s)
        while not self._decoder.ended and (piece := await self._response.read()):
            if events := self._decoder.feed(piece):
                if not _is_comment(events):
                    self._idle_by_s = None
                return events
        return self._finish()

    def _finish(self) -> bytes:
        """The stream's last bytes. What follows the end marker is nobody's business; the connection may be reused."""
        last = self._decoder.finish()
        self._over = True
        self._response.drain()
        return last


def _is_comment(events: bytes) -> bool:
    return events.startswith(b":") and b"\ndata" not in events


def _unexpected(message: str) -> FailedStream:
    return FailedStream(Failure(FailureKind.BAD_RESPONSE, message))


def shown(response: Response) -> tuple[tuple[str, str], ...]:
    """Those of an upstream's headers that a caller may see."""
    fields = response.fields
    return tuple([(name, fields[field].decode("latin-1")) for field, name in SHOWN_HEADERS if field in fields])
