from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.dialing import Timings
from gateway.state.replays.shared import ReplayOptions, SharedReplays
from gateway.state.replays.store import Busy, Claimed, Kept
from policies.route_rules import ReplayRules
from tests.gateway.state.redis_rig import PATIENT, fresh_namespace, until
from tests.redis_servers import own_server, redis_cluster, redis_server
from tests.replay_store_suite import ROOM_BYTES, ReplayStoreSuite, made, slot, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.redis_servers import RedisServer

QUICK = Timings(connect_s=0.25, answer_s=0.1, backoff_s=0.01, backoff_max_s=0.05)


class Rig:
    """Two gateways over one server, or over the masters of a Cluster."""

    def __init__(self, url: str, timings: Timings = PATIENT, lease_s: float = 30.0) -> None:
        self.rules = ReplayRules(bytes_max=ROOM_BYTES)
        self.namespace = fresh_namespace()
        options = ReplayOptions(self.namespace, timings, lease_s)
        self.stores: Sequence[SharedReplays] = [SharedReplays(url, lambda: self.rules, options) for _ in range(2)]

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # Redis keeps the time

    async def arrived(self) -> None:
        for store in self.stores:
            if store._telling:
                await asyncio.wait(store._telling)

    def keys(self, server: RedisServer) -> dict[str, int]:
        return {key: ttl for key, ttl in server.keys().items() if key.startswith(f"{self.namespace}:")}

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


@pytest.fixture
async def rigs() -> AsyncIterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for rig in made:
        await rig.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One of the test's own, to be stopped and emptied."""
    with own_server() as server:
        yield server


class TestOverOneServer(ReplayStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[Rig]) -> Rig:
        rigs.append(Rig(redis_server().url))
        return rigs[0]


class TestOverACluster(ReplayStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[Rig]) -> Rig:
        rigs.append(Rig(redis_cluster().url))
        return rigs[0]


async def test_every_key_has_a_time_to_live(rigs: list[Rig]) -> None:
    server = redis_server()
    rig = Rig(server.url)
    rigs.append(rig)
    await made(rig.stores[0], slot("kept"), whole(b"x" * ROOM_BYTES))
    await made(rig.stores[0], slot("newer"), whole())
    assert isinstance(await rig.stores[0].claim(slot("claimed")), Claimed)
    keys = rig.keys(server)
    assert len(keys) == 6
    assert all(0 < ttl <= 86_400_000 for ttl in keys.values())


async def test_the_claim_of_a_process_that_died_lapses(rigs: list[Rig]) -> None:
    rig = Rig(redis_server().url, lease_s=0.1)
    rigs.append(rig)
    assert isinstance(await rig.stores[0].claim(slot()), Claimed)
    assert isinstance(await rig.stores[1].claim(slot()), Busy)
    await asyncio.sleep(0.15)
    assert isinstance(await rig.stores[1].claim(slot()), Claimed)
    await rig.stores[0].keep(slot(), whole(b"late"))
    await rig.stores[1].keep(slot(), whole(b"in time"))
    assert await rig.stores[0].claim(slot()) == Kept(slot().fingerprint, whole(b"in time"))


async def test_the_claim_of_a_process_that_lives_is_renewed(rigs: list[Rig]) -> None:
    rig = Rig(redis_server().url, lease_s=0.15)
    rigs.append(rig)
    await rig.stores[0].start()
    assert isinstance(await rig.stores[0].claim(slot()), Claimed)
    await asyncio.sleep(0.3)
    assert isinstance(await rig.stores[1].claim(slot()), Busy)


async def test_a_redis_that_lost_its_memory_is_told_of_claims_again(rigs: list[Rig], server: RedisServer) -> None:
    rig = Rig(server.url)
    rigs.append(rig)
    assert isinstance(await rig.stores[0].claim(slot()), Claimed)
    server.ask("FLUSHALL")
    await rig.stores[0].renew()
    assert isinstance(await rig.stores[1].claim(slot()), Busy)


async def test_while_redis_is_away_nothing_is_claimed(rigs: list[Rig], server: RedisServer) -> None:
    rig = Rig(server.url, QUICK)
    rigs.append(rig)
    assert isinstance(await rig.stores[0].claim(slot()), Claimed)
    with server.stopped(), pytest.raises(StoreUnavailable):
        await rig.stores[0].claim(slot("other"))


async def test_an_outcome_waits_for_redis_to_return(rigs: list[Rig], server: RedisServer) -> None:
    """Meanwhile its own process answers with it."""
    rig = Rig(server.url, QUICK)
    rigs.append(rig)
    first, second = rig.stores
    assert isinstance(await first.claim(slot()), Claimed)
    with server.stopped():
        await first.keep(slot(), whole())
        assert first.unsent == 1
        assert await first.claim(slot()) == Kept(slot().fingerprint, whole())
    await asyncio.sleep(0.1)
    await first.renew()
    assert first.unsent == 0
    assert await second.claim(slot()) == Kept(slot().fingerprint, whole())


async def test_what_waits_for_redis_is_bounded(rigs: list[Rig], server: RedisServer) -> None:
    """Beyond the room for answers only the mark waits that there was one."""
    rig = Rig(server.url, QUICK)
    rigs.append(rig)
    first, text = rig.stores[0], b"x" * (ROOM_BYTES // 2)
    for name in ("a", "b", "c"):
        assert isinstance(await first.claim(slot(name)), Claimed)
    with server.stopped():
        for name in ("a", "b", "c"):
            await first.keep(slot(name), whole(text))
        found = [await first.claim(slot(name)) for name in ("a", "b", "c")]
    assert [isinstance(kept, Kept) and not kept.outcome.is_spent for kept in found] == [True, False, False]
    assert first.unsent == 3


async def test_a_claim_that_its_caller_did_not_wait_for_is_given_back(rigs: list[Rig], server: RedisServer) -> None:
    rig = Rig(server.url)
    rigs.append(rig)
    first, second = rig.stores
    assert isinstance(await second.claim(slot("other")), Claimed)  # connected
    with server.stopped():
        asking = asyncio.ensure_future(second.claim(slot()))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.wait([asking])
    await rig.arrived()
    assert isinstance(await first.claim(slot()), Claimed)


async def test_what_cannot_be_read_is_no_answer(rigs: list[Rig]) -> None:
    server = redis_server()
    rig = Rig(server.url)
    rigs.append(rig)
    await made(rig.stores[0], slot(), whole())
    entry = next(key for key in rig.keys(server) if ":e:" in key)
    for garbage in (b"", b"K", b"K" + b"x" * 200, b"Z"):
        server.ask("SET", entry, garbage, "EX", 60)
        with pytest.raises(StoreUnavailable):
            await rig.stores[1].claim(slot())


async def test_a_closing_store_tells_redis_what_it_has_not_heard(rigs: list[Rig], server: RedisServer) -> None:
    rig = Rig(server.url, QUICK)
    rigs.append(rig)
    first, second = rig.stores
    assert isinstance(await first.claim(slot()), Claimed)
    with server.stopped():
        await first.keep(slot(), whole())
    await until(lambda: bool(server.ask("PING")))
    await asyncio.sleep(0.06)
    await first.close()
    assert isinstance(await second.claim(slot()), Kept)
