from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if importlib.util.find_spec("httpx") is None:
    pytest.skip("httpx comes with the litellm extra", allow_module_level=True)

import httpx

from gateway.litellm.http import LONGEST_LINE_BYTES, SEEN, Seen, WatchedBody, WatchedTransport, timeout_of
from tests.gateway.litellm_calls import provider

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator


class Pieces(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


async def read(*pieces: bytes, limit_bytes: int = 10**9, as_json_lines: bool = False) -> bytes:
    body = WatchedBody(Pieces(*pieces), limit_bytes, as_json_lines=as_json_lines)
    return b"".join([piece async for piece in body])


async def test_a_body_passes_up_to_its_limit() -> None:
    assert await read(b"ab", b"cd", limit_bytes=4) == b"abcd"
    with pytest.raises(httpx.DecodingError):
        await read(b"ab", b"cd", b"e", limit_bytes=4)


EVENT = b'{"type":"content-delta","delta":{"message":{"content":{"text":"\xc3\xa9"}}}}'


@pytest.mark.parametrize("at", range(0, 2 * len(EVENT), 9))
async def test_coheres_events_become_lines_wherever_they_are_cut(at: int) -> None:
    stream = b"event: content-delta\r\ndata: " + EVENT + b"\r\n\r\nevent: x\ndata:" + EVENT + b"\n\ndata: [DONE]\n\n"
    assert await read(stream[:at], stream[at:], as_json_lines=True) == EVENT + b"\n" + EVENT + b"\n"


@pytest.mark.parametrize("stream", [b"data: {\n\n", b"x" * (LONGEST_LINE_BYTES + 1)])
async def test_broken_or_endless_lines_are_refused(stream: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        await read(stream, as_json_lines=True)


async def test_the_transport_notes_the_answer_and_asks_for_no_compression() -> None:
    heads: list[bytes] = []

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    seen = Seen()
    transport = WatchedTransport(json_lines=False)
    async with provider(script, heads) as base_url, httpx.AsyncClient(transport=transport) as client:
        token = SEEN.set(seen)
        response = await client.get(base_url, timeout=timeout_of(1, 1))
        SEEN.reset(token)
        assert (response.content, seen.status, len(seen.bodies)) == (b"ok", 201, 1)
    await transport.shut()
    assert b"accept-encoding: identity" in heads[0].lower()


async def test_compression_that_nobody_asked_for_is_refused() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    transport = WatchedTransport(json_lines=False)
    async with provider(script) as base_url, httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.DecodingError):
            await client.get(base_url)
    await transport.shut()


async def test_a_borrower_that_closes_does_not_close_the_lenders_connections() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    transport = WatchedTransport(json_lines=False)
    async with provider(script) as base_url:
        for _ in range(2):
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get(base_url)).content == b"ok"
    await transport.shut()
