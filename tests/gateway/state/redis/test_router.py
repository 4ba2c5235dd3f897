from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.connections import Asked
from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.router import SLOTS, Router, slot_map
from gateway.state.redis.scripts import SCRIPTS, call, command, tag_of
from gateway.state.redis.url import parse
from tests.gateway.state.redis_rig import until
from tests.redis_servers import own_server, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENT = Timings(connect_s=5.0, answer_s=5.0, backoff_s=0.01)


@asynccontextmanager
async def router(url: str) -> AsyncIterator[Router]:
    made = Router(Dialer(parse(url), PATIENT.connect_s), PATIENT, SCRIPTS, lambda: None)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def answer(router: Router, packed: bytes, tenant: str) -> object:
    asked = Asked(packed, tag_of(tenant), SCRIPTS.reap)
    router.send(asked)
    return await asyncio.wait_for(asked.answer, 5.0)


def reap(tenant: str) -> bytes:
    return call(SCRIPTS.reap, [f"router:1:{{{tag_of(tenant)}}}:leases".encode()], [b"30"])


async def test_each_master_of_a_cluster_is_asked_for_its_own() -> None:
    cluster = redis_cluster()
    async with router(cluster.url) as route:
        for number in range(30):
            assert await answer(route, reap(f"t{number}"), f"t{number}") == 0
        assert len(route._nodes) == 3


async def test_one_server_has_every_tenant() -> None:
    async with router(redis_server().url) as route:
        assert route.address_of("t:x") is None
        assert await answer(route, command(b"ECHO", b"x"), "x") == b"x"


async def test_a_slot_on_the_move_is_followed_and_its_new_place_remembered() -> None:
    cluster = redis_cluster()
    tenant = "moving"
    slot = key_slot(tag_of(tenant).encode())
    source = cluster.owner(tag_of(tenant))
    target = next(node for node in cluster.nodes if node is not source)
    names = {node: node.ask("CLUSTER", "MYID") for node in cluster.nodes}
    async with router(cluster.url) as route:
        try:
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
            assert await answer(route, reap(tenant), tenant) == 0
            assert route.address_of(tag_of(tenant)) == ("127.0.0.1", source.port)
            for node in (target, source, *cluster.nodes):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[target])
            assert await answer(route, reap(tenant), tenant) == 0
            assert route.address_of(tag_of(tenant)) == ("127.0.0.1", target.port)
        finally:
            for node in (source, target, *cluster.nodes):
                node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[source])
        assert await answer(route, reap(tenant), tenant) == 0


async def test_a_cluster_nobody_can_reach_is_unavailable() -> None:
    with own_server() as server:
        url = f"redis+cluster://127.0.0.1:{server.port}"
        async with router(url) as route:
            assert isinstance(await answer(route, reap("x"), "x"), StoreUnavailable)


async def test_a_refusal_of_redis_is_unavailability() -> None:
    async with router(redis_server().url) as route:
        said = await answer(route, command(b"NONSENSE"), "x")
        assert isinstance(said, StoreUnavailable)
        assert "unknown command" in str(said)


async def test_a_cluster_behind_the_url_of_one_server_is_unavailable_and_says_why() -> None:
    cluster = redis_cluster()
    async with router(cluster.nodes[0].url) as route:
        said = [await answer(route, reap(f"t{number}"), f"t{number}") for number in range(20)]
        refused = [each for each in said if isinstance(each, StoreUnavailable)]
        assert 0 < len(refused) < 20
        assert all("127.0.0.1" in str(each) for each in refused)


async def test_a_master_that_became_a_replica_is_let_go() -> None:
    with own_server() as server, own_server() as other:
        async with router(server.url) as route:
            assert await answer(route, command(b"SET", b"k", b"v", b"PX", b"9999"), "x") == b"OK"
            server.ask("REPLICAOF", "127.0.0.1", other.port)
            assert isinstance(await answer(route, command(b"SET", b"k", b"v"), "x"), StoreUnavailable)
            await until(lambda: not route._nodes[None].is_open)
            server.ask("REPLICAOF", "NO", "ONE")
            assert await answer(route, command(b"SET", b"k", b"v", b"PX", b"9999"), "x") == b"OK"


def test_a_slot_without_a_master_is_no_map() -> None:
    whole = [[0, SLOTS - 1, [b"", 7, b"id"], [b"replica", 8, b"id"]]]
    assert set(slot_map(whole, ("asked", 1))) == {("asked", 7)}
    with pytest.raises(ValueError, match="no master"):
        slot_map([[0, 5, [b"a", 7, b"id"]]], ("asked", 1))
