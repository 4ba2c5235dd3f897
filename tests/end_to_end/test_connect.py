"""Upstreams that cannot be reached: the caller hears of it in time, TLS is never given up, and fallbacks answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import trustme

from tests.end_to_end.lanes import UPSTREAM_KEY
from tests.end_to_end.proving_ground import SPARE_TEXT, proving_ground
from tests.scripted_upstream import ScriptedUpstream, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground
    from tests.scripted_upstream import Peer, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECT_S = 0.4
TROUBLES = {
    "refused": "The upstream refused the connection.",
    "no-accept": "The connection to the upstream could not be made.",
    "tls-hang": "The connection to the upstream could not be made.",
    "tls-closed": "The upstream could not be reached.",
    "plain": "The TLS handshake with the upstream failed.",
    "stranger": "The upstream's TLS certificate was not accepted.",
}
SLOW = ("no-accept", "tls-hang")


def refusing(stack: ExitStack) -> int:
    """A port that is bound, so that nobody else takes it, and not listened on."""
    bound = stack.enter_context(closing(socket.socket()))
    bound.bind(("127.0.0.1", 0))
    return int(bound.getsockname()[1])


async def full(stack: ExitStack) -> int:
    """A port whose queue of connections is full and never emptied: the kernel drops every further SYN."""
    listening = stack.enter_context(closing(socket.socket()))
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    address = listening.getsockname()
    loop = asyncio.get_running_loop()
    for _ in range(16):
        waiting = stack.enter_context(closing(socket.socket()))
        waiting.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(waiting, address), 0.1)
        except TimeoutError:
            return int(address[1])
    raise AssertionError("the queue takes any number of connections")


def listen(heard: bytearray) -> Step:
    async def step(peer: Peer) -> None:
        while data := await peer.reader.read(1 << 16):
            heard.extend(data)

    return step


def stranger() -> ssl.SSLContext:
    """The certificate of an authority that the gateway has never heard of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@dataclass
class Unreachable:
    """`heard` is every byte that was sent to what should have spoken TLS."""

    ground: Ground
    heard: bytearray
    stranger: ScriptedUpstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unreachable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Unreachable]:
    async with AsyncExitStack() as servers:
        sockets = servers.enter_context(ExitStack())
        silent, closing_, plain = [await servers.enter_async_context(ScriptedUpstream()) for _ in range(3)]
        heard = bytearray()
        silent.otherwise(listen(heard))
        closing_.otherwise()
        plain.otherwise(send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), listen(heard))
        strange = await servers.enter_async_context(ScriptedUpstream(tls=stranger()))
        elsewhere = {
            "refused": f"http://127.0.0.1:{refusing(sockets)}",
            "no-accept": f"http://127.0.0.1:{await full(sockets)}",
            "tls-hang": f"https://127.0.0.1:{silent.port}",
            "tls-closed": f"https://127.0.0.1:{closing_.port}",
            "plain": f"https://127.0.0.1:{plain.port}",
            "stranger": strange.url,
        }
        route = {"timeouts": {"connect": f"{round(CONNECT_S * 1000)}ms"}}
        ground = await servers.enter_async_context(
            proving_ground(tmp_path_factory.mktemp("connect"), elsewhere=elsewhere, route=route)
        )
        yield Unreachable(ground, heard, strange)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_cannot_be_reached_is_said_in_time(unreachable: Unreachable, trouble: str, stream: bool) -> None:  # noqa: FBT001 - a parameter
    ground, lane = unreachable.ground, unreachable.ground.elsewhere[trouble]
    reply = await ground.ask(lane.alone, stream=stream)
    assert (reply.status, reply.error["code"]) == (502, "upstream_connect_error")
    assert reply.error["message"] == TROUBLES[trouble]
    (row,) = await ground.settled(reply)
    assert (row["outcome"], row["status"], row["estimated"], row["cost_nanousd"]) == ("connect", 0, 0, None)
    expected_ms = CONNECT_S * 1000 if trouble in SLOW else 0
    assert expected_ms - 20 <= row["duration_ms"] <= expected_ms + 1000


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_fallback_answers_in_its_place(unreachable: Unreachable, trouble: str) -> None:
    ground, lane = unreachable.ground, unreachable.ground.elsewhere[trouble]
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.status, reply.text, reply.attempts) == (200, SPARE_TEXT, 2)
    assert [row["outcome"] for row in await ground.settled(reply)] == ["connect", "ok"]


async def test_nothing_is_said_in_the_open_where_tls_fails(unreachable: Unreachable) -> None:
    assert unreachable.heard
    assert b"POST" not in unreachable.heard
    assert UPSTREAM_KEY.encode() not in unreachable.heard
    assert unreachable.stranger.requests == []


async def test_no_connection_is_held_open_to_it(unreachable: Unreachable) -> None:
    deployments = await unreachable.ground.deployments()
    held = {name: deployments[f"d-{name}"]["live"]["connections"] for name in TROUBLES}
    assert held == dict.fromkeys(TROUBLES, 0)
