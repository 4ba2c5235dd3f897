"""A scripted OpenAI upstream, as cheap as Python allows: one completion, or a stream with the send time in each chunk.

python -m benchmarks.mock --port 9101 --chunks 50 --pace-ms 10
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import time
from typing import cast

import uvloop

from benchmarks.bodies import COMPLETION, FIRST_EVENT, LAST_EVENTS, TEXT_AFTER, TEXT_BEFORE, compact

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
STREAM = re.compile(rb'"stream" *: *true')
JSON_BODY = compact(COMPLETION)
JSON_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(JSON_BODY),
    JSON_BODY,
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection: whole requests in, a reply or a paced stream out."""

    def __init__(self, chunks: int, pace_s: float) -> None:
        self.chunks = chunks
        self.pace_s = pace_s
        self.received = b""
        self.transport: asyncio.WriteTransport | None = None
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.request_end()) and self.transport:
            request, self.received = self.received[:end], self.received[end:]
            if STREAM.search(request):
                self.transport.write(STREAM_HEAD + http_chunk(FIRST_EVENT))
                self.send_chunk(0)
            else:
                self.transport.write(JSON_REPLY)

    def request_end(self) -> int:
        """Where the first whole request ends; 0 while it is incomplete."""
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return 0
        if CHUNKED.search(self.received, 0, head + 2):
            return self.received.find(b"0\r\n\r\n", head) + 5 if b"0\r\n\r\n" in self.received[head:] else 0
        length = LENGTH.search(self.received, 0, head + 2)
        end = head + 4 + (int(length[1]) if length else 0)
        return end if len(self.received) >= end else 0

    def send_chunk(self, number: int) -> None:
        """The first chunk follows the role at once; the others keep the pace, each stream in a phase of its own."""
        if self.transport is None or self.transport.is_closing():
            return
        if number == self.chunks:
            self.transport.write(b"".join(map(http_chunk, LAST_EVENTS)) + b"0\r\n\r\n")
            return
        self.transport.write(http_chunk(TEXT_BEFORE + b"%016d" % time.monotonic_ns() + TEXT_AFTER))
        # Real streams are not in step; in step, one wake-up would serve all of them and flatter every proxy.
        wait_s = self.pace_s * (random.random() if number == 0 else 1)
        self.loop.call_later(wait_s, self.send_chunk, number + 1)


async def serve(port: int, chunks: int, pace_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(chunks, pace_s), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--pace-ms", type=float, default=10)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.chunks, options.pace_ms / 1000))


if __name__ == "__main__":
    main()
