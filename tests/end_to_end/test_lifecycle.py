"""From ready to gone: calls in flight finish within the drain or are told why not, and every one is on record."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.proving_ground import (
    DONE,
    ROLE,
    USAGE,
    Caller,
    chat,
    good,
    parsed,
    piece,
    proving_ground,
    usage_piece,
)
from tests.scripted_upstream import chunk, dribble, forever, head, request, send, stall, waits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.lanes import Lane
    from tests.end_to_end.proving_ground import Ground
    from tests.gateway_process import GatewayProcess

STREAMS = 20
BEGUN = head(content_type="text/event-stream", transfer_encoding="chunked") + chunk(ROLE + piece("hel"))
REST = chunk(piece("lo") + piece(finish="stop") + usage_piece(USAGE) + DONE) + chunk(b"")


async def readiness(gateway: GatewayProcess) -> tuple[int, dict[str, Any]]:
    status, body = await gateway.admin("/health/ready")
    return status, json.loads(body)


async def until_draining(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(5):
        while (await readiness(gateway))[0] != 503:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)
    assert (await readiness(gateway))[1]["status"] == "draining"


async def streams(ground: Ground, lane: Lane, count: int) -> list[Caller]:
    """Callers whose streams have begun."""
    callers = [await ground.open(lane.alone) for _ in range(count)]
    for caller in callers:
        await caller.read_until(b"hel")
    return callers


def rows_of(ground: Ground) -> list[tuple[str, int, int]]:
    """What the ledger says once the process is gone: outcome, cancelled, estimated."""
    return [(row["outcome"], row["cancelled"], row["estimated"]) for row in ground.gateway.ledger()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_streams_in_flight_finish_within_the_drain(tmp_path: Path, number: signal.Signals) -> None:
    goes_on = asyncio.Event()
    async with proving_ground(tmp_path, lanes=1, server={"drain": "20s"}) as ground:
        gateway = ground.gateway
        assert await readiness(gateway) == (200, {"status": "ready", "waiting_for": []})
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        callers = await streams(ground, ground.lane(send(BEGUN), waits(goes_on), send(REST)), STREAMS)
        gateway.process.send_signal(number)
        await until_draining(gateway)
        with pytest.raises(ConnectionRefusedError):
            await ground.open("alone-0")
        assert (await gateway.admin("/health/live"))[0] == 200
        async with asyncio.timeout(5):
            assert await idle_reader.read() == b""
        idle_writer.close()
        goes_on.set()
        replies = [await caller.rest() for caller in callers]
        assert [(reply.text, reply.events[-1], reply.ended) for reply in replies] == [
            ("hello", "[DONE]", True)
        ] * STREAMS
        async with asyncio.timeout(10):
            assert await gateway.process.wait() == 0
        assert rows_of(ground) == [("ok", 0, 0)] * STREAMS


async def test_an_answer_on_a_kept_connection_says_that_it_was_the_last(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    async with proving_ground(tmp_path, lanes=1) as ground:
        lane = ground.lane(waits(goes_on), good())
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.gateway.port)
        writer.write(chat(lane.alone, stream=False).replace(b"Connection: close\r\n", b""))
        await ground.peer(lane)
        ground.gateway.process.send_signal(signal.SIGTERM)
        await until_draining(ground.gateway)
        goes_on.set()
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer
        writer.close()
        assert await ground.gateway.stop() == 0


async def test_a_body_that_is_still_coming_in_is_waited_for(tmp_path: Path) -> None:
    async with proving_ground(tmp_path, lanes=1) as ground:
        lane = ground.lane(good())
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.gateway.port)
        data = chat(lane.alone, stream=True)
        writer.write(data[:-9])
        await ground.gateway.admin("/health/live")  # by when it has read what came before
        ground.gateway.process.send_signal(signal.SIGTERM)
        await until_draining(ground.gateway)
        writer.write(data[-9:])
        reply = await Caller(reader, writer).rest()
        assert (reply.status, reply.text, reply.events[-1]) == (200, "hello", "[DONE]")
        assert await ground.gateway.stop() == 0
        assert rows_of(ground) == [("ok", 0, 0)]


async def test_what_outlasts_the_drain_is_told_and_settled(tmp_path: Path) -> None:
    async with proving_ground(tmp_path, lanes=3, server={"drain": "300ms"}) as ground:
        lane, silent, pours = (
            ground.lane(send(BEGUN), stall()),
            ground.lane(stall()),
            ground.lane(send(BEGUN), forever(send(chunk(piece("x" * 60_000))))),
        )
        begun = await streams(ground, lane, 5)
        waiting = [await ground.open(silent.alone, stream=False), await ground.open(silent.alone, stream=True)]
        deaf = (await streams(ground, pours, 1))[0]
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a full transport
        await ground.peer(silent)
        began_s = time.monotonic()
        ground.gateway.process.send_signal(signal.SIGTERM)
        for caller in begun:
            reply = await caller.rest()
            assert (reply.status, reply.ended, reply.text) == (200, True, "hel")
            assert reply.events[-1]["error"]["code"] == "shutting_down"
            assert "[DONE]" not in reply.events
        for caller in waiting:
            reply = await caller.rest()
            assert (reply.status, reply.error["code"], reply.ended) == (503, "shutting_down", True)
        async with asyncio.timeout(10):
            assert await ground.gateway.process.wait() == 0
        assert 0.3 <= time.monotonic() - began_s <= 6
        rows = ground.gateway.ledger()
        assert [(row["outcome"], row["estimated"]) for row in rows] == [("shutting_down", 1)] * 8
        assert all(row["input_tokens"] > 0 for row in rows)
        deaf.leave()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with proving_ground(tmp_path, lanes=1, server={"drain": "60s"}) as ground:
        callers = await streams(ground, ground.lane(send(BEGUN), stall()), 3)
        ground.gateway.process.send_signal(signal.SIGTERM)
        await until_draining(ground.gateway)
        began_s = time.monotonic()
        assert await ground.gateway.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 3
        for caller in callers:
            assert (await caller.rest()).events[-1]["error"]["code"] == "shutting_down"
        assert [row["cancelled"] for row in ground.gateway.ledger()] == [1, 1, 1]


async def test_an_idle_gateway_is_gone_at_once(tmp_path: Path) -> None:
    async with proving_ground(tmp_path, lanes=1, server={"drain": "60s"}) as ground:
        reply = await ground.ask(ground.lane(good()).alone)
        began_s = time.monotonic()
        assert await ground.gateway.stop() == 0
        assert time.monotonic() - began_s < 3
        assert [row["request_id"] for row in ground.gateway.ledger()] == [reply.id]
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", ground.gateway.port))


async def test_a_caller_that_leaves_during_the_drain_ends_it(tmp_path: Path) -> None:
    async with proving_ground(tmp_path, lanes=1, server={"drain": "60s"}) as ground:
        (caller,) = await streams(ground, ground.lane(send(BEGUN), stall()), 1)
        ground.gateway.process.send_signal(signal.SIGTERM)
        await until_draining(ground.gateway)
        caller.leave()
        async with asyncio.timeout(5):
            assert await ground.gateway.process.wait() == 0
        assert rows_of(ground) == [("client_cancelled", 1, 1)]


@pytest.mark.slow
async def test_two_hundred_streams_and_steady_callers_lose_nothing(tmp_path: Path) -> None:
    """Who goes on asking on a kept connection gets whole answers until turned away, in words or by a closed door."""
    events = [chunk(piece(f"{number} ")) for number in range(100)]
    text = "hel" + "".join(f"{number} " for number in range(100)) + "lo"
    async with proving_ground(tmp_path, lanes=2, server={"drain": "30s"}) as ground:
        slow = ground.lane(send(BEGUN), dribble(b"".join(events), 200, pause_s=0.02), send(REST))
        quick = ground.lane(forever(good(), request()))
        callers = await streams(ground, slow, 200)
        steady = [asyncio.ensure_future(ask_on(ground, quick)) for _ in range(10)]
        await asyncio.sleep(0.5)
        ground.gateway.process.send_signal(signal.SIGTERM)
        replies = [await caller.rest() for caller in callers]
        assert {(reply.text, reply.events[-1], reply.ended) for reply in replies} == {(text, "[DONE]", True)}
        answered = sum(await asyncio.gather(*steady))
        async with asyncio.timeout(10):
            assert await ground.gateway.process.wait() == 0
        assert rows_of(ground) == [("ok", 0, 0)] * (200 + answered)
        assert answered > 50


async def ask_on(ground: Ground, lane: Lane) -> int:
    """How many whole answers one kept connection gave before it closed, each 20 ms after the last."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ground.gateway.port)
    data = chat(lane.alone, stream=False).replace(b"Connection: close\r\n", b"")
    for count in range(10_000):
        writer.write(data)
        if not (first := await head_of(reader)):
            writer.close()
            return count
        reply = parsed(first + await reader.readexactly(int(re.findall(rb"content-length: (\d+)", first)[0])))
        if b"connection: close" in first:
            writer.close()
            if reply.status == 503:
                assert reply.error["code"] == "shutting_down"
                return count
            return count + 1
        assert (reply.status, reply.text) == (200, "hello")
        await asyncio.sleep(0.02)
    raise AssertionError("the connection never closed")


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """The next answer's head; nothing where the connection closed before it."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except ConnectionResetError:
        return b""
    except asyncio.IncompleteReadError as closed:
        if closed.partial:
            raise
        return b""
