"""The reservations of this process that are held in Redis, kept alive together: one call per tenant and slice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from policies.limits import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

SLICE: Final = 200


class Leases:
    """`renew` asks for one slice of a tenant's reservations and returns the phase of each; None if nobody answered."""

    def __init__(self, lease_s: float, renew: Callable[[str, Sequence[str]], Awaitable[list[int] | None]]) -> None:
        self._lease_s = lease_s
        self._renew = renew
        self._held: dict[str, dict[str, None]] = {}
        self._lost: list[Callable[[str], None]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, tenant: str, reservation: str) -> None:
        held = self._held.get(tenant)
        if held is None:
            held = self._held[tenant] = {}
        held[reservation] = None

    def remove(self, tenant: str, reservation: str) -> bool:
        """Whether it was held here."""
        held = self._held.get(tenant)
        if held is None or reservation not in held:
            return False
        del held[reservation]
        if not held:
            del self._held[tenant]
        return True

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def on_lost(self, tell: Callable[[str], None]) -> None:
        self._lost.append(tell)

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="redis-leases")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def renew(self) -> bool:
        """Renews all of them, now. Whether Redis answered for every one."""
        complete = True
        for tenant in list(self._held):
            held = list(self._held.get(tenant, ()))
            for start in range(0, len(held), SLICE):
                complete &= await self._renew_slice(tenant, held[start : start + SLICE])
        return complete

    async def _renew_slice(self, tenant: str, reservations: Sequence[str]) -> bool:
        phases = await self._renew(tenant, reservations)
        if phases is None:
            return False
        for reservation, phase in zip(reservations, phases, strict=True):
            # One that Redis has forgotten was not taken from its call: it settles by what it says it held.
            if phase == Phase.REAPED and self.remove(tenant, reservation):
                for tell in self._lost:
                    tell(reservation)
        return True

    async def _keep(self) -> None:
        pause_s = self._lease_s / 3
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._lease_s / 3 if await self.renew() else min(1.0, self._lease_s / 3)
