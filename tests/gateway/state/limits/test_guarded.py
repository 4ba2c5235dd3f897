from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.state.limits.guarded import GuardedLimitStore
from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.shared import RedisLimitStore, RedisOptions
from gateway.state.limits.store import Kept, StoreUnavailable
from gateway.state.redis.dialing import Timings
from policies.degraded import DegradedRules, WhenDown
from policies.limits import Account, Denied, Granted, Kind
from policies.route_rules import BreakerSettings
from tests.gateway.state.redis_rig import until
from tests.limit_store_suite import START_S, TENANT, at_once, budget, granted, rate
from tests.redis_servers import own_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.limits import Answer, Ask

BREAKER = BreakerSettings(failures=2, cooldown_s=0.01, cooldown_max_s=0.02, probe_s=1.0)


class Shared(InProcessLimitStore):
    """A shared store that can be away."""

    def __init__(self) -> None:
        super().__init__(lambda: START_S)
        self.is_away = False
        self.asked = 0
        self.waiting: list[str] = []

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        self._answer()
        return await super().reserve(tenant, reservation, asks)

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        self._answer()
        return await super().view(tenants)

    def server_of(self, tenant: str) -> str:
        return tenant[0]

    async def reap(self, tenant: str) -> int:
        self._answer()
        return len(self.waiting) if tenant in self.waiting else 0

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        self.waiting.append(f"{tenant} {for_s}")

    def _answer(self) -> None:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")


def guard(when_down: WhenDown = WhenDown.LOCAL, nodes: int = 2) -> tuple[GuardedLimitStore, Shared]:
    shared = Shared()
    return GuardedLimitStore(shared, DegradedRules(nodes, when_down, BREAKER), lambda: START_S), shared


async def until_back(store: GuardedLimitStore) -> None:
    await until(lambda: not store._outages)


async def test_while_all_is_well_the_shared_store_answers() -> None:
    store, shared = guard()
    answer = granted(await store.reserve(TENANT, "a", (rate(1000),)))
    store.settle(TENANT, "a", answer.holds, (5,))
    assert await store.view([TENANT]) == [Kept(TENANT, "tokens", Account(5.0, START_S, 0), Kind.RATE)]
    assert (store.degraded, store.store_failures, store.degraded_decisions) == (False, 0, 0)
    await store.close()
    assert shared.asked == 2


async def test_a_node_alone_grants_its_part_and_nobody_waits_for_the_store() -> None:
    store, shared = guard()
    shared.is_away = True
    answers = [await store.reserve(TENANT, f"r{i}", (rate(100),)) for i in range(9)]
    assert [type(answer) for answer in answers] == [Granted] * 5 + [Denied] * 4
    assert (store.degraded, store.store_failures, store.degraded_decisions) == (True, 2, 9)
    assert shared.asked == 2
    await store.close()


async def test_what_was_used_meanwhile_is_told_and_the_own_accounts_are_dropped() -> None:
    store, shared = guard()
    shared.is_away = True
    first = granted(await store.reserve(TENANT, "a", (rate(300), at_once(limit=4))))
    late = granted(await store.reserve(TENANT, "b", (rate(100),)))
    store.release(TENANT, "a")
    store.settle(TENANT, "a", first.holds, (250, 1))
    (own,) = {outage.store for outage in store._outages.values()}
    assert {kept.account: kept.state.used for kept in await own.view([TENANT])} == {"tokens": 250, "calls": 0}
    shared.is_away = False
    await until_back(store)
    store.settle(TENANT, "b", late.holds, (70,))
    assert [kept.state.used for kept in await store.view([TENANT])] == [320]
    assert not store.degraded
    await store.close()


async def test_one_failure_before_the_breaker_opens_is_decided_here_too() -> None:
    store, shared = guard()
    shared.is_away = True
    answer = granted(await store.reserve(TENANT, "a", (rate(300),)))
    store.settle(TENANT, "a", answer.holds, (300,))
    shared.is_away = False
    granted(await store.reserve(TENANT, "b", (rate(300),)))
    assert [kept.state for kept in await store.view([TENANT])] == [Account(300.0, START_S, 300)]
    await store.close()


async def test_money_is_refused_while_the_store_is_away() -> None:
    store, shared = guard()
    await store.hydrate(TENANT, "budget", START_S, 0)
    shared.is_away = True
    with pytest.raises(StoreUnavailable):
        await store.reserve(TENANT, "a", (rate(1), budget(1, START_S)))
    assert store.degraded_decisions == 0
    await store.close()


async def test_nothing_of_a_server_that_is_away_is_put_right() -> None:
    store, shared = guard()
    await store.hydrate(TENANT, "budget", START_S, 100)
    (seen,) = await store.view([TENANT])
    shared.is_away = True
    await store.reserve(TENANT, "a", (rate(1),))
    with pytest.raises(StoreUnavailable):
        await store.correct(seen, 40)
    shared.is_away = False
    await store.reserve(TENANT, "b", (rate(1),))
    assert await store.correct(seen, 40)
    assert {kept.account: kept.state.used for kept in await store.view([TENANT])}["budget"] == 40
    await store.close()


async def test_nobody_is_told_a_part_for_the_whole_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    store, shared = guard()
    shared.is_away = True
    for number in range(3):
        await store.reserve(TENANT, f"r{number}", (rate(1),))
        with pytest.raises(StoreUnavailable):
            await store.view([TENANT])
    assert [record.message for record in caplog.records] == [
        "the limit store does not answer: away",
        "the limit store is away: this node decides by itself (local)",
    ]
    shared.is_away = False
    await until_back(store)
    assert [kept.account for kept in await store.view([TENANT])] == ["tokens"]
    await store.close()


async def test_closed_refuses_everything() -> None:
    store, shared = guard(WhenDown.CLOSED)
    shared.is_away = True
    for number in range(3):
        with pytest.raises(StoreUnavailable):
            await store.reserve(TENANT, f"r{number}", (rate(1),))
    assert shared.asked == 2
    await store.close()


async def test_open_lets_pass_and_charges_money_afterwards() -> None:
    store, shared = guard(WhenDown.OPEN)
    await store.hydrate(TENANT, "budget", START_S, 100)
    shared.is_away = True
    asks = (rate(1000), budget(400, START_S))
    for number in range(3):
        answer = granted(await store.reserve(TENANT, f"r{number}", asks))
        store.settle(TENANT, f"r{number}", answer.holds, (10, 200))
    shared.is_away = False
    await until_back(store)
    assert {kept.account: kept.state.used for kept in await store.view([TENANT])} == {"tokens": 30, "budget": 700}
    await store.close()


async def test_servers_have_breakers_of_their_own() -> None:
    store, shared = guard()
    shared.is_away = True
    for number in range(2):
        await store.reserve("a-tenant", f"r{number}", (rate(1),))
    shared.is_away = False
    before = shared.asked
    granted(await store.reserve("b-tenant", "x", (rate(1000),)))
    assert shared.asked == before + 1
    await store.close()


async def test_those_who_wait_hear_of_both_stores() -> None:
    store, shared = guard()
    freed: list[str] = []
    lost: list[str] = []
    store.on_freed(freed.append)
    store.on_lost(lost.append)
    store.mark_waiting(TENANT, 3.0)
    store.settle(TENANT, "nobody", (), ())
    shared.is_away = True
    answer = granted(await store.reserve(TENANT, "a", (rate(1),)))
    store.settle(TENANT, "a", answer.holds, (1,))
    assert (freed, lost, shared.waiting) == ([TENANT, TENANT], [], [f"{TENANT} 3.0"])
    await store.start()
    await store.close()


async def test_a_redis_that_stands_still_under_load_delays_few_and_frees_nobody_from_limits() -> None:
    """At most this node's part passes while Redis is stopped, at once after the breaker opened; then Redis has it."""
    with own_server() as server:
        timings = Timings(connect_s=0.1, answer_s=0.05, backoff_s=0.01, backoff_max_s=0.05)
        shared = RedisLimitStore(server.url, RedisOptions(timings=timings))
        store = GuardedLimitStore(shared, DegradedRules(4, WhenDown.LOCAL, BREAKER), time.time)
        await store.start()
        ask = rate(10, limit=1000, per_s=0.001)
        for number in range(10):
            answer = granted(await store.reserve(TENANT, f"a{number}", (ask,)))
            store.settle(TENANT, f"a{number}", answer.holds, (10,))
        with server.stopped():
            await asyncio.gather(*(store.reserve(TENANT, f"b{number}", (ask,)) for number in range(20)))
            assert store.degraded
            passed = 20
            begun_s = time.perf_counter()
            for number in range(200):
                answer_then = await store.reserve(TENANT, f"c{number}", (ask,))
                passed += isinstance(answer_then, Granted)
            delay_s = (time.perf_counter() - begun_s) / 200
        assert passed == 25
        assert delay_s < 0.005
        await until_back(store)
        granted(await store.reserve(TENANT, "d", (ask,)))
        await store.close()
