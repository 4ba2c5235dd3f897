"""Connections are taken many at a time, and those that wait are known."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack

import pytest
import uvloop

from gateway.config.quantities import Address
from gateway.listening import TAKEN_AT_ONCE, Listener

CROWD = 160


class Taken(asyncio.Protocol):
    """A connection that notes in which turn of the loop it was taken."""

    def __init__(self, turns: list[int], taken_in: list[int]) -> None:
        self._turns = turns
        self._taken_in = taken_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: ARG002 - asyncio's
        self._taken_in.append(self._turns[0])


def crowd(port: int, connecting: ExitStack) -> None:
    for _ in range(CROWD):
        caller = connecting.enter_context(socket.socket())
        caller.setblocking(False)
        caller.connect_ex(("127.0.0.1", port))


async def _turns_for_a_crowd() -> int:
    turns, taken_in = [0], list[int]()
    loop = asyncio.get_running_loop()
    listener = Listener(lambda: Taken(turns, taken_in))
    await listener.bind(Address("127.0.0.1", 0))

    def turn() -> None:
        turns[0] += 1
        if len(taken_in) < CROWD:
            loop.call_soon(turn)

    with ExitStack() as connecting:
        crowd(listener.port, connecting)
        turn()
        async with asyncio.timeout(10):
            while len(taken_in) < CROWD:  # noqa: ASYNC110 - turn by turn
                await asyncio.sleep(0)
        listener.close()
    return taken_in[-1] - taken_in[0] + 1


def test_a_crowd_is_taken_in_few_turns() -> None:
    assert uvloop.run(_turns_for_a_crowd()) <= 4 * CROWD / TAKEN_AT_ONCE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_how_long_connections_wait_is_told_by_how_many_were_taken_of_late() -> None:
    listener = Listener(asyncio.Protocol)
    await listener.bind(Address("127.0.0.1", 0))
    assert listener.wait_s(0.05) == 0.0
    with ExitStack() as connecting:
        crowd(listener.port, connecting)
        assert listener.wait_s(0.05) == pytest.approx(0.05), "nobody was taken yet, and nobody can have waited longer"
        assert listener.wait_s(20.0) == pytest.approx(20.05)
        listener._taken = CROWD // 2
        assert listener.wait_s(1.0) == pytest.approx(2.0), "they are taken at half the speed they would need"
        listener._taken = 0
        async with asyncio.timeout(10):
            while listener._taken < CROWD:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        assert listener.wait_s(0.05) == 0.0
    listener.close()


async def test_a_listener_that_is_closed_takes_nobody() -> None:
    listener = Listener(asyncio.Protocol)
    await listener.bind(Address("127.0.0.1", 0))
    port = listener.port
    listener.close()
    assert listener.wait_s(0.05) == 0.0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await Listener(asyncio.Protocol).bind(Address("127.0.0.1", taken.getsockname()[1]))
