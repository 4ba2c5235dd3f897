from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.limits import Ask, Granted, Kind, Unknown
from tests.chunk_rig import ChunkRig
from tests.limit_store_suite import (
    START_S,
    TENANT,
    LimitStoreSuite,
    at_once,
    budget,
    granted,
    held,
    rate,
    state,
    used,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.limits.chunk_leases import ChunkLeases


HOT_TOKENS = Ask("tokens", Kind.RATE, 5, 10_000, 100.0)
HOT_CALLS = Ask("calls", Kind.CONCURRENT, 1, 1000)
HOT = (HOT_TOKENS, HOT_CALLS)


class TestChunkLeases(LimitStoreSuite):
    """Where nothing is busy, it is the store behind."""

    @pytest.fixture
    def rig(self) -> ChunkRig:
        return ChunkRig()


async def busy(rig: ChunkRig, calls: int = 300, asks: Sequence[Ask] = HOT) -> ChunkLeases:
    """A gateway that has served so many calls, a thousand a second, and holds a chunk."""
    gateway = rig.gateways[0]
    for i in range(calls):
        rig.move(0.001)
        answer = granted(await gateway.reserve(TENANT, f"warm{i}", asks))
        gateway.settle(TENANT, f"warm{i}", answer.holds, [1] * len(asks))
    return gateway


async def test_busy_callers_travel_once_per_chunk() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    before = rig.behind.trips
    for i in range(1000):
        answer = granted(await gateway.reserve(TENANT, f"r{i}", HOT))
        gateway.settle(TENANT, f"r{i}", answer.holds, (5, 1))
        rig.move(0.001)
    assert rig.behind.trips - before <= 1000 / 10 + 10
    rig.move(1)
    await gateway.tick()
    assert [await held(rig.behind, "tokens"), await held(rig.behind, "calls")] == [0, 0]


async def test_all_that_was_used_is_charged() -> None:
    rig = ChunkRig()
    asks = (budget(5, START_S, 1_000_000), HOT_CALLS)
    await rig.behind.hydrate(TENANT, "budget", START_S, 0)
    gateway = await busy(rig, 500, asks)
    rig.move(1)
    await gateway.tick()
    assert await used(rig.behind, "budget") == 500
    assert rig.behind.trips < 300


async def test_an_idle_chunk_goes_back() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    assert await held(rig.behind, "calls") > 0
    rig.move(0.3)
    await gateway.tick()
    assert await held(rig.behind, "calls") == 0


async def test_closing_gives_chunks_back() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    await gateway.start()
    await gateway.close()
    assert await held(rig.behind, "calls") == 0


async def test_under_a_long_call_no_more_stays_held_than_it_holds() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    trips = rig.behind.trips
    answer = granted(await gateway.reserve(TENANT, "long", HOT))
    assert rig.behind.trips == trips
    rig.move(1)
    await gateway.tick()
    assert [await held(rig.behind, "tokens"), await held(rig.behind, "calls")] == [5, 1]
    gateway.release(TENANT, "long")
    gateway.settle(TENANT, "long", answer.holds, (3, 1))
    assert [await held(rig.behind, "tokens"), await held(rig.behind, "calls")] == [0, 0]


async def hold_from_chunk(
    rig: ChunkRig, gateway: ChunkLeases, calls: int, asks: Sequence[Ask] = HOT
) -> dict[str, Granted]:
    """So many calls of a chunk that serves no longer."""
    gateway._retire(gateway._sources[TENANT, tuple(ask.account for ask in asks)])
    trips = rig.behind.trips
    answers = {f"r{i}": granted(await gateway.reserve(TENANT, f"r{i}", asks)) for i in range(calls)}
    assert rig.behind.trips == trips + 1
    rig.move(1)
    return answers


async def test_a_chunk_shrinks_with_its_calls_each_time_half_of_them_are_done() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    answers = await hold_from_chunk(rig, gateway, 10)
    seen = []
    for name, answer in answers.items():
        gateway.settle(TENANT, name, answer.holds, (1, 1))
        await gateway.tick()
        seen.append((await held(rig.behind, "tokens"), await held(rig.behind, "calls")))
    assert [calls for _, calls in seen] == [10, 10, 10, 10, 5, 5, 5, 2, 1, 0]
    assert [tokens for tokens, _ in seen] == [50, 50, 50, 50, 25, 25, 25, 10, 5, 0]


@pytest.mark.parametrize("settled_meanwhile", [1, 4])
async def test_calls_may_be_settled_while_their_chunk_shrinks(settled_meanwhile: int) -> None:
    rig = ChunkRig()
    asks = (budget(5, START_S, 10_000), HOT_CALLS)
    await rig.behind.hydrate(TENANT, "budget", START_S, 0)
    gateway = await busy(rig, 300, asks)
    answers = await hold_from_chunk(rig, gateway, 8, asks)
    names = list(answers)
    for name in names[:4]:
        gateway.settle(TENANT, name, answers[name].holds, (1, 1))
    rig.behind.gate = asyncio.Event()
    ticking = asyncio.create_task(gateway.tick())
    await asyncio.sleep(0)
    for name in names[4 : 4 + settled_meanwhile]:
        gateway.settle(TENANT, name, answers[name].holds, (1, 1))
    rig.behind.gate.set()
    await ticking
    for name in names[4 + settled_meanwhile : -1]:
        gateway.settle(TENANT, name, answers[name].holds, (1, 1))
    await gateway.tick()
    assert await held(rig.behind, "calls") == (0 if settled_meanwhile == 4 else 1)
    gateway.settle(TENANT, names[-1], answers[names[-1]].holds, (1, 1))
    assert [await held(rig.behind, "budget"), await held(rig.behind, "calls")] == [0, 0]
    assert await used(rig.behind, "budget") == 308
    assert not gateway._chunks


async def test_what_the_ledger_knows_and_a_chunk_has_yet_to_tell_is_not_put_right_twice() -> None:
    rig = ChunkRig()
    asks = (budget(5, START_S, 10_000), HOT_CALLS)
    await rig.behind.hydrate(TENANT, "budget", START_S, 0)
    gateway = await busy(rig, 300, asks)
    (seen,) = [kept for kept in await gateway.view([TENANT]) if kept.account == "budget"]
    assert not await gateway.correct(seen, 300)
    rig.move(1)
    await gateway.tick()
    (seen,) = [kept for kept in await gateway.view([TENANT]) if kept.account == "budget"]
    assert await gateway.correct(seen, 300)
    assert await used(rig.behind, "budget") == 300


async def test_asking_again_for_what_a_chunk_granted_takes_no_more_of_it() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    chunk = gateway._sources[TENANT, ("tokens", "calls")].chunk
    assert chunk is not None
    first = granted(await gateway.reserve(TENANT, "a", HOT))
    left = list(chunk.left)
    assert granted(await gateway.reserve(TENANT, "a", HOT)).holds == first.holds
    assert chunk.left == left
    for actual in (5, 900):
        gateway.settle(TENANT, "a", first.holds, (actual, 1))
    assert granted(await gateway.reserve(TENANT, "a", HOT)).holds == first.holds
    assert chunk.left == [left[0], left[1] + 1]


async def test_what_the_store_granted_is_not_granted_again_from_a_chunk() -> None:
    rig = ChunkRig()
    granted(await rig.gateways[0].reserve(TENANT, "first", HOT))
    gateway = await busy(rig)
    trips = rig.behind.trips
    granted(await gateway.reserve(TENANT, "first", HOT))
    assert rig.behind.trips == trips + 1


async def test_calls_of_a_lost_chunk_are_told_and_their_late_counts_correct_money() -> None:
    rig = ChunkRig()
    asks = (budget(5, START_S, 10_000), HOT_CALLS)
    await rig.behind.hydrate(TENANT, "budget", START_S, 0)
    gateway = await busy(rig, 300, asks)
    lost: list[str] = []
    gateway.on_lost(lost.append)
    answers = {name: granted(await gateway.reserve(TENANT, name, asks)) for name in "ab"}
    rig.move(30)
    await rig.renew(gateway)
    assert lost == ["a", "b"]
    assert await used(rig.behind, "budget") > 302
    for name, answer in answers.items():
        gateway.settle(TENANT, name, answer.holds, (1, 1))
    assert await used(rig.behind, "budget") == 302
    assert await held(rig.behind, "calls") == 0


async def test_a_chunk_that_cannot_be_taken_or_is_being_taken_keeps_nobody_waiting() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    source = gateway._sources[TENANT, ("tokens", "calls")]
    gateway._retire(source)
    rig.behind.gate = asyncio.Event()
    asking = [asyncio.create_task(gateway.reserve(TENANT, f"r{i}", HOT)) for i in range(3)]
    await asyncio.sleep(0)
    rig.behind.gate.set()
    assert [type(answer) for answer in await asyncio.gather(*asking)] == [Granted] * 3
    assert source.chunk is not None
    assert await held(rig.behind, "calls") == source.chunk.calls + 2


async def test_a_caller_who_leaves_while_a_chunk_is_taken_leaves_nothing_held() -> None:
    rig = ChunkRig()
    gateway = await busy(rig)
    gateway._retire(gateway._sources[TENANT, ("tokens", "calls")])
    rig.behind.gate = asyncio.Event()
    asking = asyncio.create_task(gateway.reserve(TENANT, "a", HOT))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    rig.behind.gate = None
    assert await held(rig.behind, "calls") == 0
    granted(await gateway.reserve(TENANT, "b", HOT))


async def test_what_lies_idle_here_refuses_nobody_here() -> None:
    rig = ChunkRig(1)
    gateway = await busy(rig)
    room = 1000 - await held(rig.behind, "calls")
    granted(await rig.behind.reserve(TENANT, "other", (HOT_CALLS._replace(amount=room),)))
    big = (HOT_TOKENS, HOT_CALLS._replace(amount=1000 - room))
    granted(await gateway.reserve(TENANT, "big", big))


async def test_an_unknown_budget_is_said_to_be_unknown() -> None:
    rig = ChunkRig()
    asks = (budget(5, START_S, 10_000), HOT_CALLS)
    await rig.behind.hydrate(TENANT, "budget", START_S, 0)
    gateway = await busy(rig, 300, asks)
    await rig.flush()
    rig.move(0.3)
    gateway._sources[TENANT, ("budget", "calls")].pace = gateway._sources[TENANT, ("budget", "calls")].pace._replace(
        per_s=1000.0, since_s=rig.now
    )
    assert await gateway.reserve(TENANT, "a", asks) == Unknown((0,))


async def test_account_sets_that_are_quiet_again_are_forgotten() -> None:
    rig = ChunkRig()
    gateway = rig.gateways[0]
    for i in range(100):
        answer = granted(await gateway.reserve(TENANT, f"r{i}", (rate(1, f"holder{i}"),)))
        gateway.settle(TENANT, f"r{i}", answer.holds, (1,))
    rig.move(60)
    await gateway.tick()
    for i in range(100):
        await gateway.reserve(TENANT, f"s{i}", (at_once(limit=1000),))
    assert len(gateway._sources) == 1
    assert len(gateway._ended) == 0


class Fleet:
    """Three gateways, random callers, and what really happened."""

    TOKENS, PER_S, CALLS = 1000, 50.0, 200

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = ChunkRig(3)
        self.live: dict[str, tuple[ChunkLeases, Granted, int]] = {}
        self.settled: list[tuple[float, int]] = []
        self.count = 0

    async def reserve(self) -> None:
        self.count += 1
        name, amount = f"r{self.count}", self.random.randint(1, 5)
        gateway = self.random.choice(self.rig.gateways)
        refusals = self.rig.behind.refusals
        asks = (Ask("tokens", Kind.RATE, amount, self.TOKENS, self.PER_S), Ask("calls", Kind.CONCURRENT, 1, self.CALLS))
        answer = await gateway.reserve(TENANT, name, asks)
        if isinstance(answer, Granted):
            self.live[name] = (gateway, answer, amount)
        else:
            assert self.rig.behind.refusals > refusals, "only the store refuses"

    def settle(self) -> None:
        name = self.random.choice(list(self.live))
        gateway, answer, amount = self.live.pop(name)
        used_tokens = self.random.randint(0, amount)
        if self.random.random() < 0.2:
            gateway.release(TENANT, name)
        self.settled.append((self.rig.now, used_tokens))
        gateway.settle(TENANT, name, answer.holds, (used_tokens, 1))

    async def step(self, busyness: float) -> None:
        self.rig.move(self.random.choice((0.0, 0.0005, 0.002)))
        if self.random.random() < busyness or not self.live:
            await self.reserve()
        else:
            self.settle()
        if self.random.random() < 0.01:
            self.rig.move(self.random.choice((0.1, 0.3, 1.1)))
            await self.random.choice(self.rig.gateways).tick()

    async def check(self) -> None:
        """T2, T3 and T7 of limits.md: nothing held or used beyond a limit, here or behind."""
        tokens, calls = await state(self.rig.behind, "tokens"), await held(self.rig.behind, "calls")
        assert tokens is not None
        drained = max(0.0, tokens.used - (self.rig.now - tokens.at_s) * self.PER_S)
        live = sum(amount for _, _, amount in self.live.values())
        assert live <= tokens.held
        assert tokens.held + drained <= self.TOKENS + 1e-6
        assert len(self.live) <= calls <= self.CALLS

    def check_rate(self) -> None:
        """T1, with each settlement when it was told to its gateway, not when its chunk was charged."""
        for i, (begin_s, _) in enumerate(self.settled):
            total = 0
            for end_s, amount in self.settled[i:]:
                total += amount
                assert total <= self.TOKENS + self.PER_S * (end_s - begin_s) + 1e-6


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.floats(0.5, 0.7))
def test_a_fleet_with_chunks_exceeds_nothing_and_refuses_only_what_the_store_refuses(
    seed: int, busyness: float
) -> None:
    async def play() -> ChunkRig:
        fleet = Fleet(seed)
        for number in range(900):
            await fleet.step(busyness)
            if number % 10 == 0 and fleet.live:
                await fleet.check()
        fleet.check_rate()
        while fleet.live:
            fleet.settle()
        fleet.rig.move(1.1)
        for gateway in fleet.rig.gateways:
            await gateway.tick()
        assert [await held(fleet.rig.behind, name) for name in ("tokens", "calls")] == [0, 0]
        return fleet.rig

    rig = asyncio.run(play())
    assert not any(gateway._chunks or gateway._shares for gateway in rig.gateways)
