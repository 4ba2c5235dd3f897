"""Gateways with chunk leases over one store in process, as a rig of tests/limit_store_suite.py."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from gateway.state.limits.chunk_leases import ChunkLeases
from gateway.state.limits.in_process import InProcessLimitStore
from policies.limits import Answer, Ask, Denied
from tests.limit_store_suite import START_S

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway.state.limits.store import LimitStore


class CountingStore(InProcessLimitStore):
    """Counts what is asked of it, and can be made to keep callers waiting."""

    trips = 0
    refusals = 0
    gate: asyncio.Event | None = None

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        self.trips += 1
        if self.gate is not None:
            await self.gate.wait()
        answer = await super().reserve(tenant, reservation, asks)
        self.refusals += isinstance(answer, Denied)
        return answer


class ChunkRig:
    """Gateways with chunks over one store."""

    def __init__(self, gateways: int = 2) -> None:
        self.now = START_S
        self.behind = CountingStore(lambda: self.now)
        self.gateways = [ChunkLeases(self.behind, lambda: self.now, gateways) for _ in range(gateways)]
        self.stores: Sequence[LimitStore] = self.gateways

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def renew(self, store: LimitStore) -> None:
        assert store in self.stores
        self.behind.renew()

    async def arrived(self) -> None:
        """Settlements arrive before they return."""

    async def flush(self) -> None:
        await self.rewind(({}, [], []))

    async def save(self) -> object:
        return copy.deepcopy((self.behind._tenants, self.behind._to_sweep, self.behind._to_forget))

    async def rewind(self, saved: object) -> None:
        tenants, to_sweep, to_forget = copy.deepcopy(cast("tuple[Any, list[Any], list[Any]]", saved))
        self.behind._tenants = tenants
        for whole, part in ((self.behind._to_sweep, to_sweep), (self.behind._to_forget, to_forget)):
            whole.clear()
            whole.extend(part)
