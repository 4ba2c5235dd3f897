"""Our golden files of other providers' formats, and a loopback provider that speaks them."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Golden = dict[str, Any]
ANY = "<any>"
"""Stands in a golden file for what a provider's format leaves to chance: times, and ids that litellm makes up."""

GOLDEN: dict[str, Golden] = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
}
STREAM_TYPES = {"bedrock": "application/vnd.amazon.eventstream"}


def named(kind: str) -> list[str]:
    return [name for name in GOLDEN if name.partition("_")[2] == kind]


def provider_of(name: str) -> str:
    return name.partition("_")[0]


def matched(actual: Any, expected: Any) -> Any:
    """`actual` with `ANY` where that is all that is expected, so that both can be compared."""
    if expected == ANY and actual is not None:
        return ANY
    if isinstance(actual, dict) and isinstance(expected, dict):
        return {name: matched(value, expected.get(name)) for name, value in actual.items()}
    if isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        return [matched(*pair) for pair in zip(actual, expected, strict=True)]
    return actual


# --- what goes over the wire ---


def event_of(provider: str, event: dict[str, Any]) -> bytes:
    """One event of a stream as this provider writes it."""
    text = json.dumps(event, ensure_ascii=False)
    if provider == "bedrock":
        [(name, payload)] = event.items()
        return frame(name, json.dumps(payload, ensure_ascii=False).encode())
    if provider == "gemini":
        return f"data: {text}\r\n\r\n".encode()
    return f"event: {event['type']}\ndata: {text}\n\n".encode()


def frame(event_type: str, payload: bytes) -> bytes:
    """A message of AWS's event stream: lengths, their checksum, headers, payload, and a checksum of it all."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in (
            (":event-type", event_type),
            (":content-type", "application/json"),
            (":message-type", "event"),
        )
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def stream_of(name: str) -> list[bytes]:
    return [event_of(provider_of(name), event) for event in GOLDEN[name]["stream"]]


def answer_of(name: str, piece_bytes: int, *, only_events: int | None = None) -> bytes:
    """The whole HTTP response, in chunks of that size; the connection is dropped after `only_events`, if given."""
    golden, provider = GOLDEN[name], provider_of(name)
    if "stream" in golden:
        body, media_type = b"".join(stream_of(name)[:only_events]), STREAM_TYPES.get(provider, "text/event-stream")
    else:
        body, media_type = json.dumps(golden["answer"], ensure_ascii=False).encode(), "application/json"
    lines = [f"HTTP/1.1 {golden['status']} Golden", f"content-type: {media_type}", "transfer-encoding: chunked"]
    lines += [f"{header}: {value}" for header, value in golden.get("headers", {}).items()]
    pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    end = b"0\r\n\r\n" if only_events is None else b""
    return "\r\n".join([*lines, "", ""]).encode() + chunks + end


@asynccontextmanager
async def golden_provider(response: bytes, asked: list[tuple[str, Any]]) -> AsyncIterator[str]:
    """A provider that answers everything with `response`; keeps the path and body of each request in `asked`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length
        asked.append((head.split(b" ", 2)[1].decode(), json.loads(await reader.readexactly(int(length[1])))))
        writer.write(response)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
