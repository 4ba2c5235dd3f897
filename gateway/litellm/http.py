"""The HTTP client that litellm is lent, so that one attempt's connection can be watched, bounded and dropped.

It follows no redirects, reads no proxies from the environment, asks for no compression and repeats nothing. Imported
after litellm only: httpx comes with that extra.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from gateway.litellm.cohere import legible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGEST_ANSWER_BYTES: Final = 64 * 1024 * 1024
LARGEST_ERROR_BYTES: Final = 64 * 1024
LONGEST_LINE_BYTES: Final = 4 * 1024 * 1024
_CONNECTIONS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0)


@dataclass(slots=True)
class Seen:
    """What one attempt's connections showed: the last status, and bodies that may still be open."""

    status: int | None = None
    bodies: list[WatchedBody] = field(default_factory=list)


SEEN: ContextVar[Seen | None] = ContextVar("litellm_attempt_seen", default=None)
"""The attempt on whose behalf the current task talks to a provider."""


class WatchedBody(httpx.AsyncByteStream):
    """A response's body with a limit; optionally a stream of events turned into one of JSON lines."""

    def __init__(self, body: httpx.AsyncByteStream, limit_bytes: int, *, as_json_lines: bool) -> None:
        self._body = body
        self._limit_bytes = limit_bytes
        self._as_json_lines = as_json_lines

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = _json_lines(self._body) if self._as_json_lines else aiter(self._body)
        size_bytes = 0
        async for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > self._limit_bytes:
                raise httpx.DecodingError(f"the answer is longer than {self._limit_bytes} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


class WatchedTransport(httpx.AsyncBaseTransport):
    """Passes requests on as they are and notes what comes back."""

    def __init__(self, *, json_lines: bool) -> None:
        self._inner = httpx.AsyncHTTPTransport(retries=0, trust_env=False, limits=_CONNECTIONS)
        self._json_lines = json_lines

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx.DecodingError("the answer is compressed although no compression was asked for")
        is_events = response.headers.get("content-type", "").startswith("text/event-stream")
        limit_bytes = LARGEST_ANSWER_BYTES if response.status_code < 400 else LARGEST_ERROR_BYTES
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - narrows the union that httpx declares
        body = WatchedBody(response.stream, limit_bytes, as_json_lines=self._json_lines and is_events)
        if (seen := SEEN.get()) is not None:
            seen.status = response.status_code
            seen.bodies.append(body)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Nothing: litellm closes clients when its cache forgets them, and this transport is only lent."""

    async def shut(self) -> None:
        await self._inner.aclose()


class LentClient:
    """litellm's own kind of HTTP handler upon our transport, for one deployment."""

    def __init__(self, *, for_cohere: bool) -> None:
        from litellm.llms.custom_httpx import http_handler  # noqa: PLC0415 - costs litellm's import

        self._handlers: Any = http_handler
        self._transport = WatchedTransport(json_lines=for_cohere)
        self._for_cohere = for_cohere
        self._handler: Any = http_handler.AsyncHTTPHandler(transport=self._transport, follow_redirects=False)

    def lend(self) -> Any:  # noqa: ANN401 - litellm's handler type, which is untyped here
        """The handler for the next call.

        For Cohere litellm (1.106) takes none, so it is set in the one that litellm keeps. Two Cohere deployments may
        then use each other's connections, which carry no credentials of their own.
        """
        if self._for_cohere:
            for provider in ("cohere", "cohere_chat"):
                kept = self._handlers.get_async_httpx_client(provider, params={"ssl_verify": None})
                kept.client = self._handler.client
        return self._handler

    async def close(self) -> None:
        await self._handler.close()
        await self._transport.shut()


def timeout_of(connect_s: float, write_s: float) -> httpx.Timeout:
    """Limits on connecting and writing; how long to wait for an answer is the driver's to decide."""
    return httpx.Timeout(None, connect=connect_s, write=write_s, pool=connect_s)


async def _json_lines(body: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
    """Cohere's events as the lines that litellm's reader of them understands."""
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_LINE_BYTES:
            raise httpx.DecodingError(f"an event is longer than {LONGEST_LINE_BYTES} bytes")
        for line in lines:
            payload = line[5:].strip() if line.startswith(b"data:") else b""
            if payload and payload != b"[DONE]" and (shaped := _legible(payload)) is not None:
                yield shaped + b"\n"


def _legible(payload: bytes) -> bytes | None:
    try:
        return legible(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise httpx.DecodingError("an event is not JSON") from error
