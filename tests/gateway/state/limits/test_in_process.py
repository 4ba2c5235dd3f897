from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, cast

import pytest

from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.store import LEASE_S
from policies.limits import Denied
from tests.limit_machine import LimitMachine
from tests.limit_store_suite import START_S, TENANT, LimitStoreSuite, at_once, budget, granted, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.limits.store import LimitStore


class InProcessRig:
    def __init__(self) -> None:
        self.now = START_S
        self.store = InProcessLimitStore(lambda: self.now)
        self.stores: Sequence[LimitStore] = (self.store,)

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def renew(self, store: LimitStore) -> None:
        cast("InProcessLimitStore", store).renew()

    async def arrived(self) -> None:
        """Settlements arrive before they return."""

    async def flush(self) -> None:
        await self.rewind(({}, [], []))

    async def save(self) -> object:
        return copy.deepcopy((self.store._tenants, self.store._to_sweep, self.store._to_forget))

    async def rewind(self, saved: object) -> None:
        tenants, to_sweep, to_forget = copy.deepcopy(
            cast("tuple[dict[str, object], list[object], list[object]]", saved)
        )
        for whole, part in ((self.store._to_sweep, to_sweep), (self.store._to_forget, to_forget)):
            whole.clear()
            whole.extend(part)  # type: ignore[arg-type]
        self.store._tenants = tenants  # type: ignore[assignment]


class TestInProcessLimitStore(LimitStoreSuite):
    @pytest.fixture
    def rig(self) -> InProcessRig:
        return InProcessRig()


class InProcessMachine(LimitMachine):
    renews_what_it_finds = True

    async def open_rig(self) -> InProcessRig:
        return InProcessRig()


TestInProcessHistories = InProcessMachine.TestCase


async def one_off(rig: InProcessRig, name: str, tenant: str = TENANT) -> None:
    asks = (rate(5, f"tokens:{name}"), at_once(name=f"calls:{name}"))
    answer = granted(await rig.store.reserve(tenant, name, asks))
    rig.store.settle(tenant, name, answer.holds, (5, 1))


def kept(store: InProcessLimitStore) -> int:
    """How many things the store remembers."""
    tenants = store._tenants.values()
    sizes = [len(t.accounts) + len(t.asks) + len(t.held) + len(t.ended) + len(t.leases) for t in tenants]
    return sum(sizes) + len(tenants) + len(store._to_sweep) + len(store._to_forget)


async def test_holders_who_never_come_back_do_not_stay_in_memory() -> None:
    rig = InProcessRig()
    for i in range(10_000):
        await one_off(rig, f"r{i}")
        rig.move(0.1)
        if i % 1000 == 0:
            rig.store.renew()  # as every third of a lease
    assert kept(rig.store) < 10_000  # what 30 s of them leave behind
    for _ in range(8):
        rig.move(31)
        rig.store.renew()
        rig.store.sweep()
    assert kept(rig.store) == 0


async def test_tenants_who_never_come_back_do_not_stay_in_memory() -> None:
    rig = InProcessRig()
    for i in range(500):
        await one_off(rig, "r", f"tenant{i}")
        await rig.store.reserve(f"refused{i}", "r", (rate(11, limit=10),))
        rig.move(0.1)
    rig.move(60)
    rig.store.renew()
    rig.store.sweep()
    assert kept(rig.store) == 0


async def test_what_is_in_force_is_not_swept_away() -> None:
    rig = InProcessRig()
    await rig.store.hydrate(TENANT, "budget", START_S, 100)
    granted(await rig.store.reserve(TENANT, "held", (at_once(), budget(50, START_S))))
    answer = granted(await rig.store.reserve(TENANT, "used", (rate(900, per_s=1.0),)))
    rig.store.settle(TENANT, "used", answer.holds, (900,))
    rig.move(20)
    rig.store.sweep()
    seen = {one.account: one.state for one in await rig.store.view([TENANT])}
    assert {name: (state.used, state.held) for name, state in seen.items()} == {
        "budget": (100, 50),
        "calls": (0, 1),
        "tokens": (900, 0),
    }


async def test_one_sweep_looks_at_so_many_only() -> None:
    rig = InProcessRig()
    for i in range(100):
        await one_off(rig, f"r{i}")
    rig.move(60)
    before = len(rig.store._to_sweep)
    rig.store.sweep(10)
    assert len(rig.store._to_sweep) == before - 10


async def test_endings_are_forgotten_though_the_clock_went_far_back() -> None:
    rig = InProcessRig()
    for i in range(100):
        await one_off(rig, f"r{i}")
    rig.move(-86_400)
    for _ in range(2):
        rig.store.sweep()
        rig.move(31)
    rig.store.sweep()
    assert len(rig.store._to_forget) == 0


async def test_while_its_task_runs_no_jump_of_the_clock_takes_anything_from_a_call() -> None:
    rig = InProcessRig()
    lost: list[str] = []
    rig.store.on_lost(lost.append)
    await rig.store.start()
    granted(await rig.store.reserve(TENANT, "a", (rate(900),)))
    rig.move(3600)
    assert isinstance(await rig.store.reserve(TENANT, "b", (rate(900),)), Denied)
    await rig.store.close()
    rig.move(31)
    granted(await rig.store.reserve(TENANT, "b", (rate(100),)))
    assert lost == ["a"]


async def test_the_store_renews_and_sweeps_every_third_of_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = InProcessRig()
    slept: list[float] = []
    twice = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 2:
            twice.set()
            await asyncio.Event().wait()
        rig.move(seconds)

    await one_off(rig, "over")
    granted(await rig.store.reserve(TENANT, "held", (rate(900),)))
    monkeypatch.setattr("gateway.state.limits.in_process.asyncio.sleep", sleep)
    await rig.store.start()
    await twice.wait()
    await rig.store.close()
    assert slept == [LEASE_S / 3] * 3
    assert rig.store._tenants[TENANT].leases == [(START_S + 2 * LEASE_S / 3 + LEASE_S, "held")]
    assert list(rig.store._tenants[TENANT].accounts) == ["tokens"]


async def test_reserving_never_gives_way_to_another_task() -> None:
    """So that what was looked at is still so when it is written."""
    asking = InProcessRig().store.reserve(TENANT, "a", (rate(900),))
    with pytest.raises(StopIteration) as finished:
        asking.send(None)
    granted(finished.value.value)
