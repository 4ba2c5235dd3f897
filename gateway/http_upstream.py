"""A provider reached over HTTP: one deployment's pool and wire format behind the `Upstream` seam."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from adapters.base import FailedStream
from gateway.errors import UpstreamError
from gateway.transport import TransportError
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from adapters.base import Adapter, StreamDecoder, Tally
    from adapters.schema import InferenceRequest
    from gateway.transport import Pool, Response
    from gateway.upstream import Answer, Exchange
    from policies.vocabulary import Deployment

# Of an upstream's headers only these may reach a caller: nothing that names a host, an account or its limits.
SHOWN_HEADERS = ((b"openai-processing-ms", "openai-processing-ms"), (b"openai-version", "openai-version"))

_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_S = 5.0
_HELD_BYTES = 1024 * 1024
_MESSAGE_CHARS = 2048
_BLANK = b"\xef\xbb\xbf \t\r\n"


class HttpUpstream:
    """One deployment behind its own connection pool. Adds `x-request-id` to what an exchange sends."""

    def __init__(self, deployment: Deployment, pool: Pool, adapter: Adapter) -> None:
        self._deployment = deployment
        self._pool = pool
        self._adapter = adapter
        self._open = False

    @property
    def ready(self) -> bool:
        return self._open

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        await self._pool.close()

    async def send(self, exchange: Exchange) -> Answer:
        request = exchange.request
        wire = self._adapter.encode(request, self._deployment.model)
        headers = (("x-request-id", exchange.request_id), *exchange.headers)
        try:
            response = await self._pool.request(
                wire, headers, exchange.timeouts, exchange.deadline_s, first_token=request.stream
            )
            if not 200 <= response.status < 300:
                raise self.error(await self._refusal(response))
            if request.stream:
                return await self._stream(response, request, exchange.timeouts.idle_s)
            body, tally = self._adapter.decode(request, await response.read_all())
        except TransportError as error:
            raise self.error(error.failure) from error
        except FailedStream as error:
            raise self.error(replace(error.failure, maybe_billed=True)) from error
        return WholeAnswer(body, tally, _shown(response))

    async def _stream(self, response: Response, request: InferenceRequest, idle_s: float) -> Answer:
        try:
            answer = StreamAnswer(self, response, self._adapter.decoder(request), idle_s)
            await answer.open(request, self._adapter)
        except BaseException:
            response.close()
            raise
        return answer

    def error(self, failure: Failure) -> UpstreamError:
        """The failure as an error that is safe to show: cut to size, without this pool's host and credentials."""
        message = self._pool.redact(failure.message)[:_MESSAGE_CHARS]
        code = failure.code and self._pool.redact(failure.code)
        return UpstreamError(replace(failure, message=message, code=code), self._deployment.name)

    async def _refusal(self, response: Response) -> Failure:
        if response.status < 400:
            response.close()
            return Failure(FailureKind.BAD_RESPONSE, "The upstream answered with a redirect.", response.status)
        body = await response.read_start(_ERROR_BODY_BYTES, _ERROR_BODY_S)
        return self._adapter.classify(response.status, response.headers, body)


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

    def __init__(self, upstream: HttpUpstream, response: Response, decoder: StreamDecoder, idle_s: float) -> None:
        self.body: bytes | None = None
        self.tally = decoder.tally
        self.headers = _shown(response)
        self.first_token_s: float | None = None
        self._upstream = upstream
        self._response = response
        self._decoder = decoder
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._over = False
        self._error: UpstreamError | None = None

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
        if self._error is not None:
            raise self._error
        if self._over:
            return b""
        try:
            return await self._next()
        except TransportError as error:
            self._error = self._upstream.error(error.failure)
        except FailedStream as error:
            self._error = self._upstream.error(replace(error.failure, maybe_billed=True))
        except BaseException:
            self.close()
            raise
        self.close()
        raise self._error

    def close(self) -> None:
        self._response.close()

    async def _first_piece(self) -> bytes:
        """The beginning of the body, up to a piece that is not blank."""
        start = await self._response.read()
        while not start.lstrip(_BLANK) and (piece := await self._response.read()):
            start += piece
            if len(start) > _ERROR_BODY_BYTES:
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
            self.first_token_s = self._loop.time()
        elif not self.tally.finish_reasons:
            raise _unexpected("The upstream's stream ended without an answer.")

    async def _next(self) -> bytes:
        # The clock starts when the caller wants more and stops only for events: comments yield nothing, so they
        # cannot keep a stalled stream alive, and a slow caller is not the upstream's fault.
        self._response.limit_phase(FailureKind.IDLE, self._loop.time() + self._idle_s)
        while not self._decoder.ended and (piece := await self._response.read()):
            if events := self._decoder.feed(piece):
                return events
        return self._finish()

    def _finish(self) -> bytes:
        """The stream's last bytes. What follows the end marker is nobody's business; the connection may be reused."""
        last = self._decoder.finish()
        self._over = True
        self._response.drain()
        return last


def _unexpected(message: str) -> FailedStream:
    return FailedStream(Failure(FailureKind.BAD_RESPONSE, message))


def _shown(response: Response) -> tuple[tuple[str, str], ...]:
    fields = response.fields
    return tuple([(name, fields[field].decode("latin-1")) for field, name in SHOWN_HEADERS if field in fields])
