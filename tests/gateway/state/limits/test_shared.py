from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.shared import RedisLimitStore, RedisOptions
from gateway.state.limits.store import LEASE_S, LimitStore, StoreUnavailable
from gateway.state.redis.dialing import Timings
from policies.limits import Ask, Granted, Hold, Kind, Unknown
from tests.gateway.state.redis_rig import PATIENT, RedisRig, fresh_namespace, redis_rig, until
from tests.limit_machine import LimitMachine
from tests.limit_store_suite import (
    START_S,
    TENANT,
    LimitStoreSuite,
    Rig,
    at_once,
    budget,
    granted,
    held,
    rate,
    state,
    used,
)
from tests.redis_servers import own_server, redis_cluster, redis_server, sentinels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from policies.limits import Answer

QUICK = Timings(connect_s=0.25, answer_s=0.1, backoff_s=0.01, backoff_max_s=0.05)


class TestOverOneServer(LimitStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RedisRig]:
        server = redis_server()
        async with redis_rig(server.unix_url, [server]) as rig:
            yield rig


class TestOverACluster(LimitStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RedisRig]:
        cluster = redis_cluster()
        async with redis_rig(cluster.url, cluster.nodes) as rig:
            yield rig


# --- the same answers as in process ---

AMOUNTS = st.sampled_from([0, 1, 7, 100, 333])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), AMOUNTS, st.integers(0, 3)),
        st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 400)),
        st.tuples(st.just("release"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("move"), st.floats(-5.0, 25.0, allow_nan=False), st.just(0)),
        st.tuples(st.just("renew"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


class Twins:
    """One history in two stores."""

    def __init__(self, rig: RedisRig) -> None:
        self.rig = rig
        self.twin = InProcessLimitStore(lambda: rig.now)
        self.made: list[tuple[str, tuple[Hold, ...], float]] = []

    async def reserve(self, amount: float, which: int) -> None:
        name = f"r{len(self.made)}"
        asks = [rate(int(amount), per_s=1 / 3), at_once(limit=3), budget(int(amount), self.rig.now, limit=2**53 - 1)]
        asks = asks[: which or 3]
        twin, redis = self.twin, self.rig.redis_stores[0]
        answers = [await answered(twin, name, asks, knows=redis), await answered(redis, name, asks, knows=twin)]
        assert answers[0] == answers[1]
        if isinstance(answers[0], Granted):
            self.made.append((name, answers[0].holds, self.rig.now))

    async def settle(self, index: float, actual: int) -> None:
        for store in (self.twin, self.rig.redis_stores[0]):
            for name, holds, at_s in self.named(index):
                if self.rig.now - at_s < 2 * LEASE_S:  # how a lease ended is forgotten after another one
                    store.settle(TENANT, name, holds, [actual] * len(holds))

    async def release(self, index: float, _unused: int) -> None:
        for store in (self.twin, self.rig.redis_stores[0]):
            for name, *_ in self.named(index):
                store.release(TENANT, name)

    def named(self, index: float) -> list[tuple[str, tuple[Hold, ...], float]]:
        return self.made[int(index) : int(index) + 1]

    async def move(self, seconds: float, _: int) -> None:
        self.rig.move(seconds)

    async def renew(self, _: float, __: int) -> None:
        await self.compare()
        self.twin.renew()
        await self.rig.redis_stores[0].renew()

    async def compare(self) -> None:
        mine = {kept.account: kept.state for kept in await self.twin.view([TENANT])}
        theirs = {kept.account: kept.state for kept in await self.rig.redis_stores[0].view([TENANT])}
        assert {name: theirs.get(name) for name in mine} == mine
        assert all(theirs[name].held == 0 for name in theirs.keys() - mine.keys())


async def answered(store: LimitStore, name: str, asks: list[Ask], knows: LimitStore) -> Answer:
    """The answer after a budget that is unknown was looked up.

    Each may forget a window that is over, the other not yet: what it is told then is what the other still knows.
    """
    answer = await store.reserve(TENANT, name, asks)
    if isinstance(answer, Unknown):
        ask = asks[answer.asks[0]]
        kept = await state(knows, ask.account)
        window_s, spent = ask.edges[0], 2**53 - 2000 if kept is None else 0
        if kept is not None and kept.at_s >= window_s:
            window_s, spent = kept.at_s, int(kept.used)
        await store.hydrate(TENANT, ask.account, window_s, spent)
        answer = await store.reserve(TENANT, name, asks)
    return answer


@settings(max_examples=80)
@given(STEPS)
def test_a_random_history_has_the_answers_that_it_has_in_process(steps: list[tuple[str, float, int]]) -> None:
    server = redis_server()

    async def live() -> None:
        async with redis_rig(server.unix_url, [server], nodes=1) as rig:
            twins = Twins(rig)
            for step, first, second in steps:
                await getattr(twins, step)(first, second)
                await twins.compare()
            assert all(ttl > 0 for ttl in rig.ttls().values())
            await rig.flush()

    asyncio.run(live())


class RedisMachine(LimitMachine):
    async def open_rig(self) -> Rig:
        server = redis_server()
        rig = RedisRig(server.unix_url, [server])
        for store in rig.redis_stores:
            await store.start()
        return rig

    async def close_rig(self, rig: Rig) -> None:
        await rig.flush()
        for store in rig.stores:
            await store.close()


TestRedisHistories = RedisMachine.TestCase
TestRedisHistories.settings = settings(max_examples=40, stateful_step_count=30)


# --- what Redis keeps, and for how long ---


async def test_every_key_vanishes_in_the_end_and_none_before_it_may() -> None:
    server = redis_server()
    async with redis_rig(server.unix_url, [server], nodes=1) as rig:
        store = rig.redis_stores[0]
        await store.hydrate(TENANT, "budget", START_S, 0)
        asks = (
            rate(300, per_s=0.01),
            budget(1, rig.now)._replace(edges=(START_S, START_S + 1e6, START_S + 2e6)),
            at_once(),
        )
        granted(await store.reserve(TENANT, "a", asks))
        store.mark_waiting(TENANT, 5.0)
        await store.view([TENANT])
        prefix = f"{rig.namespace}:1:{{t:{TENANT}}}:"
        ttls = {key.removeprefix(prefix): ttl / 1000 for key, ttl in rig.ttls().items()}
        assert set(ttls) == {"leases", "names", "waiting", "a:tokens", "a:budget", "a:calls", "r:a"}
        assert ttls["a:tokens"] > 30_000
        assert ttls["a:budget"] > 1e6
        assert LEASE_S < ttls["a:calls"] < 3 * LEASE_S
        assert 0 < ttls["waiting"] <= 5.0
        assert min(ttls["leases"], ttls["names"], ttls["r:a"]) > 1e6


async def test_a_long_hold_outlives_every_time_to_live_while_it_is_renewed() -> None:
    server = redis_server()
    async with redis_rig(server.unix_url, [server], nodes=1) as rig:
        store = rig.redis_stores[0]
        granted(await store.reserve(TENANT, "a", (at_once(),)))
        for key in rig.ttls():
            server.ask("PEXPIRE", key, 10_000)  # ten seconds before the end of all of it
        rig.move(LEASE_S - 1)
        assert await store.renew()
        rig.move(LEASE_S - 1)
        assert await store.renew()
        assert min(rig.ttls().values()) > 1.5 * LEASE_S * 1000
        assert await held(store, "calls") == 1


async def test_no_script_takes_long_over_what_a_dead_gateway_held() -> None:
    server = redis_server()
    async with redis_rig(server.unix_url, [server], nodes=1) as rig:
        store = rig.redis_stores[0]
        await asyncio.gather(*(store.reserve(TENANT, f"r{number}", (rate(1),)) for number in range(600)))
        rig.move(LEASE_S + 1)
        before = server.facts("commandstats")["cmdstat_evalsha"]["calls"]
        assert (await used(store, "tokens"), await held(store, "tokens")) == (600, 0)
        assert server.facts("commandstats")["cmdstat_evalsha"]["calls"] - before == 3 + 1  # 250, 250, 100; then none


async def test_scripts_that_redis_forgot_are_sent_again() -> None:
    for servers, url in (([redis_server()], redis_server().url), (redis_cluster().nodes, redis_cluster().url)):
        async with redis_rig(url, servers) as rig:
            store = rig.redis_stores[0]
            answer = granted(await store.reserve(TENANT, "a", (rate(300),)))
            for server in servers:
                server.ask("SCRIPT", "FLUSH")
            store.settle(TENANT, "a", answer.holds, (100,))
            granted(await store.reserve(TENANT, "b", (rate(900),)))
            assert (await used(store, "tokens"), await held(store, "tokens")) == (100, 900)


async def test_a_lost_state_admits_what_was_held_and_one_capacity_more() -> None:
    """T6: after FLUSHALL the calls under way and a full bucket are all that comes on top."""
    server = redis_server()
    async with redis_rig(server.unix_url, [server]) as rig:
        store = rig.redis_stores[0]
        running = [granted(await store.reserve(TENANT, f"a{i}", (rate(200),))) for i in range(5)]
        await rig.flush()
        admitted = [isinstance(await store.reserve(TENANT, f"b{i}", (rate(200),)), Granted) for i in range(9)]
        assert sum(admitted) == 5
        for index, answer in enumerate(running):
            store.settle(TENANT, f"a{index}", answer.holds, (200,))
        await rig.arrived()
        assert (await used(store, "tokens"), await held(store, "tokens")) == (1000, 1000)


# --- the way there ---


async def test_what_one_tick_asks_leaves_in_one_write() -> None:
    with own_server() as server:
        store = RedisLimitStore(server.unix_url, RedisOptions(timings=PATIENT))
        await store.start()
        await store.reserve(TENANT, "first", (rate(1),))
        before = server.facts("stats")["total_reads_processed"]
        answers = await asyncio.gather(*(store.reserve(TENANT, f"r{i}", (rate(1),)) for i in range(64)))
        for index, answer in enumerate(answers):
            store.settle(TENANT, f"r{index}", granted(answer).holds, (1,))
        await store.view([TENANT])
        reads = server.facts("stats")["total_reads_processed"] - before
        await store.close()
        assert reads < 12


async def test_a_caller_who_leaves_while_it_reserves_holds_nothing() -> None:
    server = redis_server()
    async with redis_rig(server.unix_url, [server], nodes=1) as rig:
        store = rig.redis_stores[0]
        reserving = asyncio.create_task(store.reserve(TENANT, "a", (rate(300),)))
        await asyncio.sleep(0)
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
        await rig.arrived()
        assert (await held(store, "tokens"), store.held) == (0, 0)


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_those_who_wait_elsewhere_hear_of_what_is_given_back_and_nobody_else_is_told(kind: str) -> None:
    url = redis_server().url if kind == "one" else redis_cluster().url
    options = RedisOptions(fresh_namespace(), PATIENT)
    here, there = RedisLimitStore(url, options), RedisLimitStore(url, options)
    heard = asyncio.Queue[str]()
    here.on_freed(heard.put_nowait)
    tenant = "o{r}g%"
    try:
        answer = granted(await there.reserve(tenant, "a", (at_once(),)))
        here.mark_waiting(tenant, 30.0)
        await asyncio.wait_for(here._subscription.subscribed.wait(), 2.0)
        await here.view([tenant])
        there.settle("stranger", "b", (), ())
        there.settle(tenant, "a", answer.holds, (1,))
        assert await asyncio.wait_for(heard.get(), 2.0) == tenant
        assert heard.empty()
    finally:
        await here.close()
        await there.close()


# --- trouble ---


async def test_a_server_that_stands_still_costs_a_bounded_time_and_loses_no_settlement() -> None:
    with own_server() as server:
        store = RedisLimitStore(server.url, RedisOptions(timings=QUICK))
        answer = granted(await store.reserve(TENANT, "a", (rate(300),)))
        loop = asyncio.get_running_loop()
        with server.stopped():
            store.settle(TENANT, "a", answer.holds, (120,))
            begun_s = loop.time()
            with pytest.raises(StoreUnavailable):
                await store.reserve(TENANT, "b", (rate(300),))
            assert loop.time() - begun_s < 1.0
            assert store.unsent > 0
        await until(lambda: not store._under_way)
        kept = {each.account: each.state for each in await store.view([TENANT])}
        assert (round(kept["tokens"].used), kept["tokens"].held, store.lost_settlements) in {
            (n, 0, 0) for n in range(90, 121)
        }
        await store.close()


async def test_settlements_beyond_what_is_kept_are_counted() -> None:
    with own_server() as server:
        store = RedisLimitStore(server.url, RedisOptions(timings=QUICK, unsent_max=3))
        answer = granted(await store.reserve(TENANT, "a", (rate(1),)))
        server.kill()
        for index in range(10):
            store.settle(TENANT, f"r{index}", answer.holds, (1,))
        await store.close()
        assert store.lost_settlements == 10


async def test_a_failover_under_load_is_survived_with_a_bounded_excess() -> None:
    with sentinels() as fleet:
        store = RedisLimitStore(fleet.url, RedisOptions(timings=QUICK))
        await store.start()
        ask = Ask("tokens", Kind.RATE, 10, 1000, 0.001)
        settled = failed = number = 0
        killed = recovered = False
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 8.0
        while loop.time() < end_s and not (recovered and number > 400):
            number += 1
            try:
                answer = await store.reserve(TENANT, f"r{number}", (ask,))
            except StoreUnavailable:
                failed += 1
                await asyncio.sleep(0.01)
                continue
            recovered = killed and failed > 0
            if isinstance(answer, Granted):
                store.settle(TENANT, f"r{number}", answer.holds, (10,))
                settled += 10
            if number == 50:
                fleet.master.kill()
                killed = True
        await store.close()
        assert recovered
        assert 1000 <= settled <= 2000 + 10


async def test_a_redis_that_throws_keys_away_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with own_server("maxmemory 100mb", "maxmemory-policy allkeys-lru") as server:
        store = RedisLimitStore(server.url, RedisOptions(timings=PATIENT))
        await store.start()
        assert store.evicts
        assert "maxmemory-policy allkeys-lru" in caplog.text
        await store.close()


async def test_a_redis_that_is_away_at_the_start_is_used_when_it_comes() -> None:
    with own_server() as server:
        with server.stopped():
            store = RedisLimitStore(server.url, RedisOptions(timings=QUICK))
            await store.start()
        granted(await store.reserve(TENANT, "a", (rate(1),)))
        await store.close()
