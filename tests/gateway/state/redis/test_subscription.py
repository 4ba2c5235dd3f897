from __future__ import annotations

import asyncio

import pytest

from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.scripts import tag_of
from gateway.state.redis.subscription import Subscription
from gateway.state.redis.url import parse
from tests.gateway.state.redis_rig import until
from tests.redis_servers import own_server, redis_cluster

TIMINGS = Timings(connect_s=5.0, backoff_s=0.01, backoff_max_s=0.02)


def subscription(url: str, heard: asyncio.Queue[str]) -> Subscription:
    return Subscription(Dialer(parse(url), TIMINGS.connect_s), TIMINGS, "channel", heard.put_nowait)


async def test_what_is_published_is_heard_by_the_tenants_name_also_after_the_connection_broke() -> None:
    with own_server() as server:
        heard = asyncio.Queue[str]()
        listening = subscription(server.url, heard)
        listening.start()
        listening.start()
        for tenant in ("a{b}", "c"):
            await asyncio.wait_for(listening.subscribed.wait(), 5.0)
            assert server.ask("PUBLISH", "channel", tag_of(tenant).removeprefix("t:")) == 1
            assert await asyncio.wait_for(heard.get(), 5.0) == tenant
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: not listening.subscribed.is_set())
        await listening.close()


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_any_node_of_a_cluster_will_do(first: int) -> None:
    cluster = redis_cluster()
    heard = asyncio.Queue[str]()
    nodes = ",".join(f"127.0.0.1:{port}" for port in (1, cluster.nodes[first].port))
    listening = subscription(f"redis+cluster://{nodes}", heard)
    listening.start()
    await asyncio.wait_for(listening.subscribed.wait(), 5.0)
    cluster.nodes[0].ask("PUBLISH", "channel", "x")
    assert await asyncio.wait_for(heard.get(), 5.0) == "x"
    await listening.close()
