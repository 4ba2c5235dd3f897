"""A byte-scripted upstream over raw sockets: a test says exactly what the far side does, and sees what it was sent.

    async with ScriptedUpstream() as upstream:
        upstream.then(request(), send(answer(b'{"ok": true}')), request(), reset())   # the first connection
        upstream.then(request(), send(b"HTTP/1.1 200 OK\\r\\n"), stall())               # the second
        upstream.otherwise(serve(answer(b"{}")))                                      # every further one
        ...
        assert upstream.requests[0].path == "/v1/chat/completions"
        await upstream.connections[1].hung_up.wait()

Each connection takes the next script, runs its steps in order and then closes; without a script it stalls. Steps:

    request()            read one whole request (content-length); recorded in `.requests`
    send(bytes)          send bytes; `dribble(bytes, size, pause_s)` sends them in pieces
    sets(event)          set an asyncio.Event, to tell the test how far the script has come
    waits(event)         go on only when the test sets the event
    half_close()         send FIN, keep reading
    close()              close in order; `reset()` closes with RST
    stall()              read and drop whatever comes until the client hangs up
    deaf()               do nothing at all, not even read, until the test is over
    serve(bytes)         answer every request on this connection with the same bytes
    forever(*steps)      run these steps again and again

A script ends early when the client hangs up; `Peer.hung_up` is set then (for `deaf` never). Bytes are easily made by
`answer`, `chunked` and `events`. Pass `tls=` a server-side `ssl.SSLContext` for https. A script that itself fails
(a malformed request, a bug in the test) fails the test when the `async with` block ends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl

Step = Callable[["Peer"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived. Header names are lower-case; `raw_head` is byte for byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    raw_head: bytes
    connection: int


@dataclass(eq=False, slots=True)
class Peer:
    """One accepted connection."""

    number: int
    upstream: ScriptedUpstream
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[Received] = field(default_factory=list)

    def abort(self) -> None:
        """Unless the connection is gone: asyncio fails over one whose last bytes went out after it was closed."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() != -1:
            self.writer.transport.abort()


class _HungUp(Exception):  # noqa: N818 - the ordinary end of many scripts
    pass


class ScriptedUpstream:
    """Listens on a free loopback port from `async with` on."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections: list[Peer] = []
        self.failures: list[BaseException] = []
        self.port = 0
        self._tls = tls
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._default: tuple[Step, ...] = (stall(),)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def then(self, *steps: Step) -> Self:
        """What the next connection that has no script yet will do."""
        self._scripts.append(steps)
        return self

    def otherwise(self, *steps: Step) -> Self:
        """What every connection without a script of its own does."""
        self._default = steps
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.connections:
            peer.abort()
        await asyncio.sleep(0)
        if self.failures and failure[0] is None:
            raise self.failures[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.connections), self, reader, writer)
        self.connections.append(peer)
        steps = self._scripts.popleft() if self._scripts else self._default
        task = asyncio.get_running_loop().create_task(self._run(peer, steps))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, peer: Peer, steps: tuple[Step, ...]) -> None:
        try:
            for step in steps:
                await step(peer)
            peer.writer.close()
        except (_HungUp, ConnectionError):
            peer.hung_up.set()
            peer.abort()
        except Exception as error:  # noqa: BLE001 - shown to the test at the end
            self.failures.append(error)
            peer.abort()


# steps


def request() -> Step:
    async def step(peer: Peer) -> None:
        try:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            body = await peer.reader.readexactly(int(headers.get("content-length", 0)))
        except asyncio.IncompleteReadError as error:
            raise _HungUp from error
        received = Received(method, path, headers, body, head, peer.number)
        peer.requests.append(received)
        peer.upstream.requests.append(received)

    return step


def send(data: bytes) -> Step:
    async def step(peer: Peer) -> None:
        peer.writer.write(data)
        await peer.writer.drain()

    return step


def dribble(data: bytes, size: int = 1, pause_s: float = 0.0) -> Step:
    """Send `data` in pieces of `size` bytes, each in its own segment as far as the kernel allows."""

    async def step(peer: Peer) -> None:
        for start in range(0, len(data), size):
            peer.writer.write(data[start : start + size])
            await peer.writer.drain()
            await asyncio.sleep(pause_s)

    return step


def sets(event: asyncio.Event) -> Step:
    async def step(peer: Peer) -> None:  # noqa: ARG001 - a step takes its peer
        event.set()

    return step


def waits(event: asyncio.Event) -> Step:
    async def step(peer: Peer) -> None:  # noqa: ARG001 - a step takes its peer
        await event.wait()

    return step


def half_close() -> Step:
    async def step(peer: Peer) -> None:
        peer.writer.write_eof()

    return step


def close() -> Step:
    async def step(peer: Peer) -> None:
        peer.writer.close()

    return step


def reset() -> Step:
    """RST instead of FIN: what a crashed process or an angry load balancer does. What was sent before may be lost."""

    async def step(peer: Peer) -> None:
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.abort()

    return step


def stall() -> Step:
    async def step(peer: Peer) -> None:
        while await peer.reader.read(1 << 16):
            pass
        raise _HungUp

    return step


def deaf() -> Step:
    async def step(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
        await asyncio.get_running_loop().create_future()

    return step


def forever(*steps: Step) -> Step:
    async def step(peer: Peer) -> None:
        while True:
            for inner in steps:
                await inner(peer)

    return step


def serve(data: bytes) -> Step:
    return forever(request(), send(data))


# bytes


def answer(body: bytes = b"{}", *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole answer with a content-length, `application/json` unless `headers` say otherwise."""
    named = {"content-type": "application/json", "content-length": str(len(body))}
    named.update({name.lower(): value for name, value in headers})
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1") + body


def head(status: int = 200, **headers: str) -> bytes:
    """A head alone; underscores in names become hyphens: `head(content_length="5")`."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; `chunk(b"")` is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(*pieces: bytes, status: int = 200, content_type: str = "text/event-stream") -> bytes:
    """A whole chunked answer, one chunk per piece."""
    return (
        head(status, content_type=content_type, transfer_encoding="chunked")
        + b"".join(chunk(piece) for piece in pieces)
        + chunk(b"")
    )


def events(*data: str) -> bytes:
    """Server-sent events, one `data:` line each."""
    return b"".join(f"data: {text}\n\n".encode() for text in data)
