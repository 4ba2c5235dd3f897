"""A provider for crowds: it answers thousands of calls a second, and its mood can change under load.

    async with MoodyUpstream(servers=8, takes_s=0.02) as far:     # 400 calls a second, and a queue before that
        far.mood = Mood.REFUSES
        far.arrived["m-1"], far.left["m-1"]                        # requests by model; those whose caller hung up early

It is bare protocol code: no request costs it more than some 30 us, so that what is measured is not this.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections import Counter, deque
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from tests.scripted_upstream import answer, chunk, events, head

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MODEL = re.compile(rb'"model": *"([^"]+)"')
STREAM = re.compile(rb'"stream": *true')
CREDENTIAL = re.compile(rb"\r\nauthorization: *Bearer ([^\r]+)", re.IGNORECASE)
CALL = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.IGNORECASE)
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
TEXT = "hello there"


def _piece(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return events(json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}))


WHOLE = answer(
    json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()
)
BEGINNING = head(content_type="text/event-stream", transfer_encoding="chunked") + chunk(_piece({"content": "hello "}))
END = (
    chunk(_piece({}, "stop"))
    + chunk(events(json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})))
    + chunk(events("[DONE]"))
    + chunk(b"")
)
REFUSAL = answer(b'{"error":{"message":"down","type":"server_error","code":null}}', status=503)


class Heard(NamedTuple):
    """One request: whose it was, of which call of the gateway, and for which model."""

    call_id: str
    model: str
    credential: str


class Mood(Enum):
    WELL = auto()
    REFUSES = auto()  # 503
    RESETS = auto()  # the connection, without a byte
    STALLS = auto()  # takes the request, and that is all


class MoodyUpstream:
    """`servers` work at once, each for `takes_s` a call; the others wait, whether or not their caller still does.

    A request that is reset on a connection that was used before counts as `stale`: whoever sent it may send it again.

    `mood_of` and `takes_of` have those of single models, before `mood` and `takes_s`. `servers` 0: as many as there are
    calls. `pieces` is how many events a stream's text comes in, nearly all of them at once: the cheapest way to give a
    gateway much to do.
    """

    def __init__(self, *, takes_s: float = 0.0, servers: int = 0, pieces: int = 1) -> None:
        self.takes_s = takes_s
        self.rest = chunk(_piece({"content": "there"})) * pieces + END
        self.mood = Mood.WELL
        self.mood_of: dict[str, Mood] = {}
        self.takes_of: dict[str, float] = {}
        self.arrived: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.heard: list[Heard] = []
        self.stale: Counter[str] = Counter()
        self.waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self.connections: set[Conversation] = set()
        self.port = 0
        self._servers = servers
        self._working = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Conversation(self), "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)

    def serve(self, model: str, work: Callable[[], None]) -> None:
        """Do `work` after what the model takes, once a server is free."""
        if self._servers and self._working >= self._servers:
            self.waiting.append((model, work))
            return
        self._working += 1
        asyncio.get_running_loop().call_later(self.takes(model), self._done, work)

    def takes(self, model: str) -> float:
        return self.takes_of.get(model, self.takes_s)

    def _done(self, work: Callable[[], None]) -> None:
        self._working -= 1
        work()
        if self.waiting:
            self.serve(*self.waiting.popleft())


class Conversation(asyncio.Protocol):
    """One connection: requests one after another. `model` is that of the one under way."""

    def __init__(self, upstream: MoodyUpstream) -> None:
        self.upstream = upstream
        self.model: str | None = None
        self.credential = ""
        self._used = False
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.upstream.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self.upstream.connections.discard(self)
        if self.model is not None:
            self.upstream.left[self.model] += 1

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self.model is not None or (at := self._got.find(b"\r\n\r\n")) < 0:
            return
        length = LENGTH.search(self._got, 0, at + 2)
        end = at + 4 + (int(length[1]) if length else 0)
        if len(self._got) < end:
            return
        asked = bytes(self._got[:end])
        del self._got[:end]
        self._take(asked)

    def _take(self, asked: bytes) -> None:
        upstream = self.upstream
        heard = Heard(_found(CALL, asked), _found(MODEL, asked), _found(CREDENTIAL, asked))
        self.model, self.credential = heard.model, heard.credential
        upstream.arrived[heard.model] += 1
        upstream.heard.append(heard)
        match upstream.mood_of.get(heard.model, upstream.mood):
            case Mood.WELL:
                work = self._stream if STREAM.search(asked) else self._answer
                upstream.serve(heard.model, work)
            case Mood.REFUSES:
                upstream.serve(heard.model, self._refuse)
            case Mood.RESETS:
                self._reset()
            case Mood.STALLS:
                pass

    def _answer(self) -> None:
        self._tell(WHOLE)

    def _refuse(self) -> None:
        self._tell(REFUSAL)

    def _stream(self) -> None:
        if self._transport is not None and self.model is not None:
            self._transport.write(BEGINNING)
            loop, upstream = asyncio.get_running_loop(), self.upstream
            loop.call_later(upstream.takes(self.model), self._tell, upstream.rest)

    def _tell(self, data: bytes) -> None:
        if self._transport is not None and self.model is not None:
            self.upstream.answered[self.model] += 1
            self.model = None
            self._used = True
            self._transport.write(data)

    def _reset(self) -> None:
        assert self._transport is not None
        if self._used and self.model is not None:
            self.upstream.stale[self.model] += 1
        self.model = None
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _found(what: re.Pattern[bytes], asked: bytes) -> str:
    found = what.search(asked)
    return found[1].decode() if found else ""
