"""A caller that leaves, or does not read: the upstream is let go at once, and what was generated is paid for."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import ROLE, USAGE, chat, good, piece, proving_ground, usage_piece
from tests.scripted_upstream import chunk, forever, head, request, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground
    from tests.scripted_upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BEGUN = SSE + chunk(ROLE + piece("one two three"))
GONE_WITHIN_S = 1.0
POURED_BYTES = 64 << 20
PIECE = chunk(piece("x" * 16_000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    route = {"timeouts": {"write": "1500ms"}}
    async with proving_ground(tmp_path_factory.mktemp("disconnect"), lanes=60, route=route) as ground:
        yield ground


WAITS = {
    "a whole answer": (False, (stall(),)),
    "a whole answer's body": (False, (send(head(content_length="99")), stall())),
    "a stream's head": (True, (stall(),)),
    "the first token": (True, (send(SSE + chunk(ROLE)), stall())),
}


@pytest.mark.parametrize("name", WAITS)
async def test_leaving_while_waiting_lets_the_upstream_go(ground: Ground, name: str) -> None:
    """Prefill costs: the prompt was sent, so it is paid for at an estimate."""
    stream, steps = WAITS[name]
    lane = ground.lane(*steps)
    caller = await ground.open(lane.alone, stream=stream)
    peer = await ground.peer(lane)
    caller.leave()
    await asyncio.wait_for(peer.hung_up.wait(), GONE_WITHIN_S)
    row = await ground.left(lane)
    assert (row["outcome"], row["cancelled"], row["estimated"], row["status"]) == ("client_cancelled", 1, 1, 499)
    assert row["input_tokens"] > 0
    assert row["output_tokens"] == 0
    assert row["cost_nanousd"] == 1000 * row["input_tokens"]
    state = (await ground.deployments())[lane.name]
    assert (state["live"]["connections"], state["failures"], state["breaker"]) == (0, 0, "closed")


@pytest.mark.parametrize("close", ["reset", "in order"])
async def test_leaving_a_stream_lets_the_upstream_go(ground: Ground, close: str) -> None:
    lane = ground.lane(send(BEGUN), stall())
    caller = await ground.open(lane.alone)
    await caller.read_until(b"three")
    peer = await ground.peer(lane)
    caller.leave() if close == "reset" else caller.writer.close()
    await asyncio.wait_for(peer.hung_up.wait(), GONE_WITHIN_S)
    row = await ground.left(lane)
    assert (row["outcome"], row["cancelled"], row["estimated"], row["status"]) == ("client_cancelled", 1, 1, 200)
    assert row["output_tokens"] >= 3
    assert row["cost_nanousd"] == 1000 * row["input_tokens"] + 2000 * row["output_tokens"]
    assert (await ground.deployments())[lane.name]["live"]["connections"] == 0


async def test_what_was_reported_before_the_end_is_what_is_paid(ground: Ground) -> None:
    """The usage came, the end marker did not: nothing is left to estimate."""
    lane = ground.lane(send(BEGUN + chunk(piece(finish="stop") + usage_piece(USAGE))), stall())
    caller = await ground.open(lane.alone, stream_options={"include_usage": True})
    await caller.read_until(b'"usage"')
    caller.leave()
    row = await ground.left(lane)
    assert (row["cancelled"], row["estimated"], row["input_tokens"], row["output_tokens"]) == (1, 0, 3, 2)


async def test_many_who_leave_at_every_moment_leave_nothing_behind(ground: Ground) -> None:
    """Some before their request is read, some while it waits, some in the middle of the answer."""
    lane = ground.lane(good(), forever(request(), good()))
    callers = []
    for number in range(60):
        caller = await ground.open(lane.alone, stream=bool(number % 2))
        callers.append(caller)
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3:
            caller.leave()
    stayed = [await caller.rest() for number, caller in enumerate(callers) if not number % 3]
    assert [reply.text for reply in stayed] == ["hello"] * 20
    for reply in stayed:
        assert [row["outcome"] for row in await ground.rows(reply.id, 1)] == ["ok"]
    await ground.quiet()


def pouring(poured: list[int]) -> Step:
    """A stream of 64 MB as fast as anyone takes it; `poured` says how far it came."""

    async def count(_: object) -> None:
        poured[0] += len(PIECE)

    return forever(send(PIECE), count)


async def narrow(port: int) -> socket.socket:
    """A connection whose own end takes in next to nothing unread."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return connection


async def test_a_slow_reader_stops_the_upstream_and_then_the_stream(ground: Ground) -> None:
    """What the caller does not take stays upstream: memory is bounded, and after the write limit the call is over."""
    poured = [0]
    lane = ground.lane(send(BEGUN), pouring(poured))
    before = ground.resident_bytes()
    loop = asyncio.get_running_loop()
    slow = await narrow(ground.gateway.port)
    await loop.sock_sendall(slow, chat(lane.alone, stream=True))
    peer = await ground.peer(lane)
    highest = before
    async with asyncio.timeout(20):
        while not peer.hung_up.is_set():
            await loop.sock_recv(slow, 51)
            await asyncio.sleep(0.05)
            highest = max(highest, ground.resident_bytes())
    slow.close()
    row = await ground.left(lane)
    assert (row["outcome"], row["cancelled"], row["estimated"]) == ("client_cancelled", 1, 1)
    assert row["duration_ms"] >= 1480
    assert highest - before < 8 << 20
    assert poured[0] < POURED_BYTES / 4


@pytest.mark.slow
async def test_two_hundred_slow_readers_cost_less_than_a_megabyte_each(ground: Ground) -> None:
    lanes = [ground.lane(send(BEGUN), pouring([0])) for _ in range(5)]
    first = ground.lane(send(BEGUN), stall())
    caller = await ground.open(first.alone)
    await ground.peer(first)
    caller.leave()
    await ground.left(first)  # the tokenizer is loaded now: once, and no matter how many read slowly
    before = ground.resident_bytes()
    loop = asyncio.get_running_loop()
    slow = [await narrow(ground.gateway.port) for _ in range(200)]
    for number, connection in enumerate(slow):
        await loop.sock_sendall(connection, chat(lanes[number % 5].alone, stream=True))
    highest = before
    try:
        async with asyncio.timeout(30):
            names = {lane.name for lane in lanes}
            while sum(row["deployment"] in names for row in ground.gateway.ledger()) < 200:
                await asyncio.sleep(0.1)
                highest = max(highest, ground.resident_bytes())
        assert highest - before < 200 << 20
        await ground.quiet()
    finally:
        for connection in slow:
            connection.close()


def established(port: int) -> int:
    """How many connections to this port the kernel holds open at the listener's end."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in lines)


async def test_a_caller_that_does_not_take_a_whole_answer_is_cut_off(ground: Ground) -> None:
    lane = ground.lane(good("x" * (24 << 20)))
    deaf = await narrow(ground.gateway.port)
    began_s = time.monotonic()
    await asyncio.get_running_loop().sock_sendall(deaf, chat(lane.alone, stream=False))
    async with asyncio.timeout(10):
        while established(ground.gateway.port):  # noqa: ASYNC110 - the kernel's list
            await asyncio.sleep(0.02)
    assert time.monotonic() - began_s >= 1.48
    deaf.close()
    await ground.left(lane)
