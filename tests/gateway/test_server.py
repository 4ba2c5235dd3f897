"""The listening side over raw sockets: what HTTP libraries would refuse to send."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import msgspec
import pytest

from gateway import server as server_module
from gateway.errors import GatewayError
from gateway.server import Connection, Inbound, Outbound, Server, Stream, render_head


class Listener:
    """A server whose handler is the test's; `ask` sends raw bytes and reads to the end of the connection."""

    def __init__(self, port: int, server: Server) -> None:
        self.port = port
        self.server = server

    async def ask(self, data: bytes, *, half_close: bool = False) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if half_close:
            writer.write_eof()
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


async def echo(inbound: Inbound) -> Outbound:
    try:
        body = await inbound.read(1000)
        status = 200
    except GatewayError as error:
        body, status = error.code.encode(), error.status
    head = render_head(status, [("content-length", str(len(body)))], close=not inbound.keep_alive)
    return Outbound(inbound, head + body)


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    monkeypatch.setattr(server_module, "LINGER_S", 0.1)
    loop = asyncio.get_running_loop()
    server = Server(echo, loop)
    socket = await loop.create_server(server, "127.0.0.1", 0)
    yield Listener(socket.sockets[0].getsockname()[1], server)
    socket.close()
    await server.shutdown(0.1)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /x HTTP/1.1", b"Host: a", b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def error_code(answer: bytes) -> str:
    return str(msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"]["code"])


async def test_a_body_comes_back(listener: Listener) -> None:
    answer = await listener.ask(post(b"hello"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")


async def test_a_chunked_body_is_put_together(listener: Listener) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await listener.ask(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.endswith(b"abcde")


async def test_a_body_over_the_limit_is_refused_by_its_length_alone(listener: Listener) -> None:
    answer = await listener.ask(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
    assert b" 413 " in answer
    assert answer.endswith(b"request_too_large")


async def test_a_chunked_body_over_the_limit_is_refused_midway(listener: Listener) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await listener.ask(head + b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert b" 413 " in answer


async def test_compressed_bodies_are_refused(listener: Listener) -> None:
    answer = await listener.ask(post(b"\x1f\x8b", b"Content-Encoding: gzip"))
    assert b" 415 " in answer


async def test_a_caller_that_expects_it_is_told_to_continue(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(post(b"hello", b"Expect: 100-continue")[: -len(b"hello")])
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    assert (await reader.read()).endswith(b"hello")
    writer.close()


async def test_other_expectations_are_417(listener: Listener) -> None:
    assert b" 417 " in await listener.ask(post(b"hello", b"Expect: miracles"))


@pytest.mark.parametrize(
    "data",
    [
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\n Host: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /x\r\n\r\n",
        *(
            b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % host
            for host in (b"", b"a/?x=", b"a@b", b"a b", b"a:b", b"[a]", b"\xff")
        ),
    ],
)
async def test_what_is_not_http_gets_a_json_error_and_the_connection_closes(listener: Listener, data: bytes) -> None:
    answer = await listener.ask(data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert error_code(answer) == "malformed_http"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 9000 + b"\r\n\r\n",
    ],
)
async def test_a_head_with_an_overlong_line_is_431(listener: Listener, data: bytes) -> None:
    answer = await listener.ask(data)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert error_code(answer) == "request_head_too_large"


@pytest.mark.parametrize("host", [b"a", b"a_b.c-d.example:8080", b"127.0.0.1:1", b"[::1]", b"[::ffff:127.0.0.1]:65535"])
async def test_hosts_are_names_or_addresses_with_or_without_a_port(listener: Listener, host: bytes) -> None:
    answer = await listener.ask(b"GET /x HTTP/1.1\r\nConnection: close\r\nHost: %b\r\n\r\n" % host)
    assert b" 200 " in answer


async def test_old_clients_need_no_host(listener: Listener) -> None:
    assert b" 200 " in await listener.ask(b"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")


async def test_nothing_follows_a_request_for_another_protocol(listener: Listener) -> None:
    upgrade = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
    answer = await listener.ask(upgrade + post(b"smuggled"))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"connection: close\r\n\r\nhi")


async def test_chunks_that_are_mostly_framing_end_the_body(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=")
    for _ in range(4):
        await asyncio.sleep(0.01)
        writer.write(b"x" * 8192)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"malformed_http")
    writer.close()


async def test_chunks_of_one_byte_are_fine(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        await asyncio.sleep(0)
        writer.write(b"1\r\nx\r\n" * 100)
    writer.write(b"0\r\n\r\n")
    assert (await reader.read()).endswith(b"x" * 1000)
    writer.close()


async def test_the_answer_to_head_has_no_body(listener: Listener) -> None:
    answer = await listener.ask(post(b"hello").replace(b"POST", b"HEAD"))
    assert answer.endswith(b"content-length: 5\r\nconnection: close\r\n\r\n")


async def test_a_dribbled_head_is_cut_off(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 0.05)
    answer = await listener.ask(b"POST /x HT")
    assert b" 408 " in answer
    assert error_code(answer) == "request_timeout"


async def test_a_dribbled_body_is_cut_off(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_S", 0.05)
    answer = await listener.ask(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    assert b" 408 " in answer


async def test_a_body_that_was_announced_and_never_comes_is_cut_off(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_S", 0.05)
    answer = await listener.ask(post(b"hello", b"Expect: 100-continue")[: -len(b"hello")])
    assert answer.startswith(server_module.CONTINUE)
    assert b" 408 " in answer


async def test_a_dribbled_second_head_is_cut_off(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert await reader.readexactly(len(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"))
    writer.write(b"POST /x HT")
    assert b" 408 " in await reader.read()
    writer.close()


async def test_a_body_that_follows_its_head_is_not_taken_for_the_next_head(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler of a head just read may not have begun when the body comes; the connection must stay open."""
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 0.02)
    data_received = server_module.Connection.data_received

    def in_two_calls(connection: server_module.Connection, data: bytes) -> None:
        data_received(connection, data[:-5])
        asyncio.get_running_loop().call_soon(data_received, connection, data[-5:])

    monkeypatch.setattr(server_module.Connection, "data_received", in_two_calls)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    for _ in range(2):
        writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert (await reader.readexactly(43)).endswith(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.06):
                await reader.read()
    writer.close()


async def test_pipelined_requests_are_answered_in_order(listener: Listener) -> None:
    one = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
    answer = await listener.ask(b"".join(one + b"%d" % n for n in range(9)) + post(b"end"))
    assert answer.count(b"HTTP/1.1 200 OK") == 10
    assert answer.endswith(b"end")


async def test_a_caller_that_leaves_cancels_its_handler() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_: Inbound) -> Outbound:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    loop = asyncio.get_running_loop()
    server = Server(wait, loop)
    socket = await loop.create_server(server, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", socket.sockets[0].getsockname()[1])
    writer.write(post(b"hello"))
    await started.wait()
    writer.close()
    async with asyncio.timeout(1):
        await cancelled.wait()
    socket.close()
    await server.shutdown(0.1)


async def test_a_caller_that_does_not_read_is_cut_off_and_memory_stays_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written, outcome = 0, asyncio.get_running_loop().create_future()

    async def pour(inbound: Inbound) -> Outbound:
        nonlocal written
        stream = Stream(inbound, 200, [])
        try:
            while True:
                if stream.send(b"x" * 65536):
                    await stream.catch_up(0.1)
                written += 65536
        except ConnectionError as error:
            outcome.set_result(str(error))
            raise

    loop = asyncio.get_running_loop()
    server = Server(pour, loop)
    socket = await loop.create_server(server, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", socket.sockets[0].getsockname()[1], limit=1024)
    writer.write(post(b"hello"))
    async with asyncio.timeout(5):
        assert await outcome == "the caller reads too slowly"
    assert written < 32 * 1024 * 1024
    assert not caplog.records, "a slow caller is no failure of the gateway"
    writer.close()
    socket.close()
    await server.shutdown(0.1)


@pytest.mark.parametrize(("version", "body"), [("1.1", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), ("1.0", b"onetwo")])
async def test_streams_are_chunked_only_for_callers_who_know_chunks(version: str, body: bytes) -> None:
    async def speak(inbound: Inbound) -> Outbound:
        stream = Stream(inbound, 200, [])
        stream.send(b"one")
        stream.send(b"two")
        stream.end()
        return Outbound(inbound)

    loop = asyncio.get_running_loop()
    server = Server(speak, loop)
    socket = await loop.create_server(server, "127.0.0.1", 0)
    listener = Listener(socket.sockets[0].getsockname()[1], server)
    answer = await listener.ask(f"GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.partition(b"\r\n\r\n")[2] == body
    assert (b"transfer-encoding" in answer) == (version == "1.1")
    socket.close()
    await server.shutdown(0.1)


async def test_a_drain_closes_idle_connections(listener: Listener) -> None:
    """One that never asked and one that had its answer: neither may wait for a door that stays shut."""
    fresh, fresh_writer = await asyncio.open_connection("127.0.0.1", listener.port)
    kept, kept_writer = await asyncio.open_connection("127.0.0.1", listener.port)
    kept_writer.write(post(b"hi").replace(b"Connection: close\r\n", b""))
    assert await kept.readuntil(b"hi")
    listener.server.drain()
    async with asyncio.timeout(5):
        assert (await fresh.read(), await kept.read()) == (b"", b"")
    fresh_writer.close()
    kept_writer.close()


async def test_a_drain_waits_for_what_is_on_its_way_in(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    data = post(b"hello").replace(b"Connection: close\r\n", b"")
    writer.write(data[:-2])
    async with asyncio.timeout(5):
        while not any(connection._request_count for connection in listener.server.connections):  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)
        listener.server.drain()
        writer.write(data[-2:])
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"hello")
    writer.close()


async def test_a_drain_waits_for_half_a_head(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    data = post(b"hello")
    writer.write(data[:9])
    async with asyncio.timeout(5):
        while not any(cast("Connection", one)._head_timer for one in listener.server.connections):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        listener.server.drain()
        writer.write(data[9:])
        assert (await reader.read()).endswith(b"hello")
    writer.close()


async def test_a_request_knows_the_address_it_came_from_even_when_the_caller_has_gone() -> None:
    seen: list[Inbound] = []

    async def note(inbound: Inbound) -> Outbound:
        seen.append(inbound)
        return await told(inbound)

    async def told(inbound: Inbound) -> Outbound:
        return Outbound(inbound, render_head(200, [("x-peer", inbound.peer()), ("content-length", "0")], close=True))

    server = Server(note, asyncio.get_running_loop())
    for host, address in (("127.0.0.1", "127.0.0.1"), ("::1", "::1")):
        socket = await asyncio.get_running_loop().create_server(server, host, 0)
        reader, writer = await asyncio.open_connection(host, socket.sockets[0].getsockname()[1])
        writer.write(post(b"", b"X-Forwarded-For: 8.8.8.8"))
        assert f"x-peer: {address}\r\n".encode() in await reader.read()
        writer.close()
        socket.close()
    await server.shutdown(0.1)
    assert [inbound.peer() for inbound in seen] == ["127.0.0.1", "::1"], "the connections are closed"
