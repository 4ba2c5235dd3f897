from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.state.redis.leases import SLICE, Leases
from policies.limits import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence


class Renewals:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.phases: dict[str, Phase] = {}
        self.is_away = False
        self.done = asyncio.Event()

    async def __call__(self, tenant: str, reservations: Sequence[str]) -> list[int] | None:
        self.asked.append((tenant, len(reservations)))
        self.done.set()
        return None if self.is_away else [self.phases.get(name, Phase.HELD) for name in reservations]


async def test_all_of_a_tenant_is_renewed_in_one_call_and_slices_of_it() -> None:
    renewals = Renewals()
    leases = Leases(30.0, renewals)
    for number in range(SLICE + 1):
        leases.add("a", f"r{number}")
    leases.add("b", "x")
    assert await leases.renew()
    assert renewals.asked == [("a", SLICE), ("a", 1), ("b", 1)]


async def test_one_that_was_reaped_is_told_once_and_one_that_was_forgotten_is_not() -> None:
    renewals = Renewals()
    renewals.phases = {"reaped": Phase.REAPED, "lost": Phase.MISSING}
    leases = Leases(30.0, renewals)
    told: list[str] = []
    leases.on_lost(told.append)
    for name in ("reaped", "lost", "held"):
        leases.add("a", name)
    assert await leases.renew()
    assert await leases.renew()
    assert (told, len(leases)) == (["reaped"], 2)


async def test_what_is_over_is_not_renewed() -> None:
    renewals = Renewals()
    leases = Leases(30.0, renewals)
    leases.add("a", "x")
    assert leases.remove("a", "x")
    assert not leases.remove("a", "x")
    assert await leases.renew()
    assert renewals.asked == []


async def test_the_task_renews_within_a_third_of_the_lease_and_again_sooner_where_nobody_answered() -> None:
    renewals = Renewals()
    renewals.is_away = True
    leases = Leases(0.03, renewals)
    leases.add("a", "x")
    leases.start()
    for _ in range(2):
        renewals.done.clear()
        await asyncio.wait_for(renewals.done.wait(), 1.0)
    assert not await leases.renew()
    await leases.close()
    assert len(leases) == 1
