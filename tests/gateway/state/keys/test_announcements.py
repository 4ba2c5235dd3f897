"""Announcements between two nodes over real servers, and what becomes of them when those go away."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.state.keys import announcements as module
from gateway.state.keys.announcements import LocalAnnouncements, RedisAnnouncements
from tests.redis_servers import own_server, redis_cluster, redis_server, sentinels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANNEL = "tests:keys"


class Node:
    """A node that listens; `heard` is set by each announcement."""

    def __init__(self, url: str, channel: str = CHANNEL) -> None:
        self.heard = asyncio.Event()
        self.times = 0
        self.link = RedisAnnouncements(url, channel)

    def tell(self) -> None:
        self.times += 1
        self.heard.set()

    async def next(self, within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            await self.heard.wait()
        self.heard.clear()


@asynccontextmanager
async def listening(*nodes: Node) -> AsyncIterator[None]:
    """Each node has subscribed, which it says by a first announcement to itself."""
    for node in nodes:
        await node.link.start(node.tell)
    for node in nodes:
        await node.next()
    try:
        yield
    finally:
        for node in nodes:
            await node.link.close()


@pytest.mark.parametrize("kind", ["tcp", "unix", "cluster"])
async def test_all_nodes_hear_within_a_second(kind: str) -> None:
    if kind == "cluster":
        urls = [f"redis+cluster://127.0.0.1:{node.port}" for node in redis_cluster().nodes[:2]]
    else:
        urls = [redis_server().url if kind == "tcp" else redis_server().unix_url] * 2
    one, other = Node(urls[0]), Node(urls[1])
    async with listening(one, other):
        begun = time.monotonic()
        await one.link.publish()
        await one.next()
        await other.next()
        assert time.monotonic() - begun < 1.0


@pytest.mark.slow
async def test_after_a_failover_nodes_find_the_new_master() -> None:
    with sentinels() as servers:
        one, other = Node(servers.url), Node(servers.url)
        async with listening(one, other):
            await asyncio.to_thread(servers.master.kill)
            await asyncio.gather(one.next(20.0), other.next(20.0))  # each has subscribed again
            await one.link.publish()
            await other.next()


async def test_other_channels_and_what_is_in_a_message_do_not_matter() -> None:
    server = redis_server()
    node = Node(server.url)
    async with listening(node):
        await asyncio.to_thread(server.ask, "PUBLISH", "tests:others", "x")
        await asyncio.to_thread(server.ask, "PUBLISH", CHANNEL, b"\xff\x00" * 1000)
        await node.next()
        assert node.times == 2


async def test_a_node_whose_redis_comes_back_looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    with own_server() as server:
        node = Node(server.url)
        async with listening(node):
            await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", "pubsub")
            await node.next()
            await asyncio.to_thread(server.ask, "PUBLISH", CHANNEL, "")
            await node.next()


async def test_without_redis_a_node_hears_itself_and_says_that_the_others_do_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    node = Node("redis://:a-secret-password@127.0.0.1:1")
    await node.link.start(node.tell)
    await node.link.publish()
    await node.next()
    await asyncio.sleep(0.05)
    await node.link.close()
    assert "was not announced" in caplog.text
    assert caplog.text.count("are not heard") == 1
    assert "a-secret-password" not in caplog.text


async def test_a_redis_that_stands_still_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    with own_server() as server:
        node = Node(server.url)
        async with listening(node):
            with server.stopped():
                begun = time.monotonic()
                await node.link.publish()
                assert time.monotonic() - begun < 2.0
                await node.next()


async def test_a_connection_that_went_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    with own_server() as server:
        node = Node(server.url)
        async with listening(node):
            await asyncio.sleep(0.15)
            assert node.times == 1, "an answer to a question is a sign of life"
            with server.stopped():
                await asyncio.sleep(0.2)
            await node.next()


async def test_closing_ends_it_at_any_moment() -> None:
    never = Node(redis_server().url)
    await never.link.close()
    begun = Node(redis_server().url)
    await begun.link.start(begun.tell)
    await begun.link.close()
    await begun.link.publish()
    assert begun.times == 0


async def test_in_one_process_it_is_told_at_once() -> None:
    local = LocalAnnouncements()
    told: list[None] = []
    await local.publish()
    await local.start(lambda: told.append(None))
    await local.publish()
    assert len(told) == 1
    await local.close()
    await local.publish()
    assert len(told) == 1
