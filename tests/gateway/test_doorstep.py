"""A shut door in front of a real listener."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.server import Outbound, Server, render_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container

    from multidict import CIMultiDictProxy

    from gateway.server import Inbound

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"
SERVED = b"yes"


class ShutDoor:
    def __init__(self) -> None:
        self.paths: Container[str] = frozenset({"/calls"})
        self.is_shut = True
        self.asked: list[str] = []
        self.refuses = True

    def turns_away(self, headers: CIMultiDictProxy[str], peer: Callable[[], str]) -> bytes | None:
        self.asked.append(f"{headers.get('x-who')}@{peer()}")
        return REFUSAL if self.refuses else None


class Front:
    def __init__(self) -> None:
        self.door = ShutDoor()
        self.served: list[tuple[str, bytes, bool]] = []
        self.server = Server(self.handle, asyncio.get_running_loop(), self.door)
        self.port = 0

    async def handle(self, inbound: Inbound) -> Outbound:
        self.served.append((inbound.target, await inbound.read(1 << 24), inbound.protocol.is_let_in))
        head = render_head(200, [("content-length", "3")], close=not inbound.keep_alive)
        return Outbound(inbound, head + SERVED)

    async def talk(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.sleep(0.01)
        return reader, writer


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    listening = await asyncio.get_running_loop().create_server(front.server, "127.0.0.1", 0)
    front.port = listening.sockets[0].getsockname()[1]
    yield front
    listening.close()
    await front.server.shutdown(0.1)


def post(path: str = "/calls", body: bytes = b"{}", *more: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: a", "X-Who: ann", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(2):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head.split(b" ")[1] + b" " + await reader.readexactly(length)


async def test_a_call_is_refused_where_it_was_parsed(front: Front) -> None:
    reader, writer = await front.talk()
    for number in range(3):
        writer.write(post())
        assert await answer(reader) == b"503 no"
        assert front.door.asked == ["ann@127.0.0.1"] * (number + 1)
    assert front.served == []
    writer.close()


async def test_the_connection_serves_the_next_call_that_is_let_in(front: Front) -> None:
    reader, writer = await front.talk()
    for refuses in (True, False, True, False):
        front.door.refuses = refuses
        writer.write(post(body=b"x" * 1000))
        assert await answer(reader) == (b"503 no" if refuses else b"200 yes")
    front.door.is_shut = False
    writer.write(post())
    assert await answer(reader) == b"200 yes"
    assert [is_let_in for _, _, is_let_in in front.served[:2]] == [True, True]
    writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("/other"),
        post(method="GET"),
        post("/calls", b"{}", "Connection: close"),
        post("/calls", b"{}", "Connection: Upgrade", "Upgrade: websocket"),
        post(version="1.0"),
    ],
)
async def test_everything_else_takes_the_usual_way(front: Front, request_bytes: bytes) -> None:
    reader, writer = await front.talk()
    writer.write(request_bytes)
    assert await answer(reader) == b"200 yes"
    assert front.door.asked == []
    writer.close()


async def test_what_is_no_request_is_told_so(front: Front) -> None:
    reader, writer = await front.talk()
    writer.write(b"GARBAGE\r\n\r\n")
    assert (await answer(reader)).startswith(b"400 ")
    writer.close()


async def test_a_call_that_comes_in_parts_takes_the_usual_way(front: Front) -> None:
    reader, writer = await front.talk()
    data = post(body=b"x" * 50)
    writer.write(data[:-10])
    await asyncio.sleep(0.02)
    writer.write(data[-10:])
    assert await answer(reader) == b"200 yes"
    assert front.served == [("/calls", b"x" * 50, False)]
    writer.close()


async def test_calls_sent_at_once_are_answered_in_their_order(front: Front) -> None:
    reader, writer = await front.talk()
    writer.write(post() * 3)
    assert [await answer(reader) for _ in range(3)] == [b"200 yes"] * 3
    writer.write(post())
    assert await answer(reader) == b"503 no"
    writer.close()


async def test_who_does_not_read_refusals_is_not_sent_more(front: Front) -> None:
    """Nothing bounds what a caller sends, so something must bound what is kept for it."""
    _, writer = await front.talk()
    await asyncio.sleep(0.01)
    (connection,) = front.server.connections
    connection.pause_writing()
    writer.write(post())
    async with asyncio.timeout(2):
        while not front.served:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)
    assert front.door.asked == []
    connection.resume_writing()
    writer.close()


async def test_an_idle_connection_is_closed_in_time_after_a_refusal(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.doorstep.KEEPALIVE_TIMEOUT_S", 0.05)
    reader, writer = await front.talk()
    (connection,) = front.server.connections
    handle: Any = connection._keepalive_handle
    handle.cancel()
    connection._keepalive_handle = None
    writer.write(post())
    assert await answer(reader) == b"503 no"
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()
