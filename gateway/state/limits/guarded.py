"""A shared limit store that may be away: a breaker keeps calls from waiting for it, and this node decides meanwhile.

Each server of the store has a breaker. While one is open nobody waits: a task asks now and then whether the server is
back. What this node granted on its own is told when it is: each rate as far as it has not drained yet, and money whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.store import LimitStore, StoreUnavailable
from policies.breaker import BreakerState, Ended, Phase, admit, record
from policies.degraded import DegradedRules, as_whole, own_part, shares
from policies.limits import Account, Ask, Granted, Hold, Kind, as_of
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from gateway.state.limits.store import Kept
    from policies.limits import Answer

log = logging.getLogger(__name__)

AWAY: Final = Failure(FailureKind.CONNECT)


class SharedStore(LimitStore, Protocol):
    """A store on servers that can be away, each with the accounts of some tenants."""

    def server_of(self, tenant: str) -> Hashable: ...

    async def reap(self, tenant: str) -> int: ...

    def mark_waiting(self, tenant: str, for_s: float) -> None: ...


class _Local(NamedTuple):
    """A reservation that this node granted. `holds` are in the terms of the whole limits."""

    outage: _Outage
    holds: tuple[Hold, ...]


class _Outage:
    """One server's trouble, from its first failure until it answers again."""

    def __init__(self, tenant: str, clock: Callable[[], float]) -> None:
        self.tenant = tenant
        self.breaker = BreakerState()
        self.store = InProcessLimitStore(clock)
        self.asks: dict[tuple[str, str], Ask] = {}
        self.spent: dict[tuple[str, Hold], int] = {}
        self.probing: asyncio.Task[None] | None = None
        self.is_over = False


class GuardedLimitStore:
    """A `LimitStore` over a shared one; `clock` tells seconds since the epoch."""

    def __init__(self, store: SharedStore, rules: DegradedRules, clock: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._outages: dict[Hashable, _Outage] = {}
        self._local: dict[str, _Local] = {}
        self._freed: list[Callable[[str], None]] = []
        self.store_failures = 0
        self.degraded_decisions = 0

    @property
    def degraded(self) -> bool:
        """Whether a breaker is open: this node decides for itself."""
        return any(outage.breaker.phase is not Phase.CLOSED for outage in self._outages.values())

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        outage = self._outages.get(self._store.server_of(tenant)) if self._outages else None
        if outage is None or outage.breaker.phase is Phase.CLOSED:
            try:
                answer = await self._store.reserve(tenant, reservation, asks)
            except StoreUnavailable as error:
                outage = await self._failed(tenant, error)
            else:
                if outage is not None:
                    await self._end(outage)
                return answer
        return await self._decide(outage, tenant, reservation, asks)

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> None:
        local = self._local.pop(reservation, None) if self._local else None
        if local is None:
            self._store.settle(tenant, reservation, holds, actual)
            return
        outage = local.outage
        outage.store.settle(tenant, reservation, (), own_part(local.holds, actual))
        if outage.is_over:
            # Under its own id the store may have it as given up, from when it was first asked.
            self._store.settle(tenant, f"{reservation}~degraded", local.holds, actual)
            return
        for hold, used in zip(local.holds, actual, strict=False):
            if hold.kind == Kind.CALENDAR:
                key = (tenant, hold._replace(amount=0))
                outage.spent[key] = outage.spent.get(key, 0) + used

    def release(self, tenant: str, reservation: str) -> None:
        local = self._local.get(reservation) if self._local else None
        (self._store if local is None else local.outage.store).release(tenant, reservation)

    async def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> None:
        await self._store.hydrate(tenant, account, window_s, used)

    async def correct(self, kept: Kept, spent: int) -> bool:
        """While a server is away nothing of it can be put right, and what this node has of it needs none."""
        if self._outages and self._store.server_of(kept.tenant) in self._outages:
            raise StoreUnavailable("limits cannot be put right at the moment")
        return await self._store.correct(kept, spent)

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        """Nothing while a server is away: what this node has of its tenants is not what was used."""
        for tenant in tenants if self._outages else ():
            outage = self._outages.get(self._store.server_of(tenant))
            if outage is not None and outage.breaker.phase is not Phase.CLOSED:
                raise StoreUnavailable("the limit store is away")
        return await self._store.view(tenants)

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        """Somebody here waits so long for this tenant."""
        self._store.mark_waiting(tenant, for_s)

    def on_lost(self, tell: Callable[[str], None]) -> None:
        self._store.on_lost(tell)

    def on_freed(self, tell: Callable[[str], None]) -> None:
        self._store.on_freed(tell)
        self._freed.append(tell)

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        for outage in list(self._outages.values()):
            if outage.probing is not None:
                outage.probing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await outage.probing
                outage.probing = None
            await self._end(outage)
        await self._store.close()

    async def _decide(self, outage: _Outage, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        own = shares(asks, self._rules)
        if own is None or outage.is_over:
            raise StoreUnavailable("limits cannot be checked at the moment")
        self.degraded_decisions += 1
        answer = as_whole(await outage.store.reserve(tenant, reservation, own), asks, self._rules, self._clock())
        if isinstance(answer, Granted):
            self._local[reservation] = _Local(outage, answer.holds)
            for ask in asks:
                outage.asks[tenant, ask.account] = ask
        return answer

    async def _failed(self, tenant: str, error: StoreUnavailable) -> _Outage:
        self.store_failures += 1
        server = self._store.server_of(tenant)
        outage = self._outages.get(server)
        if outage is None:
            log.warning("the limit store does not answer: %s", error)
            outage = self._outages[server] = _Outage(tenant, self._clock)
            for tell in self._freed:
                outage.store.on_freed(tell)
            await outage.store.start()
        loop = asyncio.get_running_loop()
        outage.breaker = record(outage.breaker, Ended(AWAY), loop.time(), self._rules.breaker)
        if outage.breaker.phase is Phase.OPEN and outage.probing is None and not outage.is_over:
            log.warning("the limit store is away: this node decides by itself (%s)", self._rules.when_down)
            outage.probing = loop.create_task(self._probe(outage), name="limit-store-probe")
        return outage

    async def _probe(self, outage: _Outage) -> None:
        loop = asyncio.get_running_loop()
        while outage.breaker.phase is not Phase.CLOSED:
            await asyncio.sleep(max(0.0, outage.breaker.until_s - loop.time()))
            admission = admit(outage.breaker, loop.time(), self._rules.breaker)
            failure = None
            try:
                await self._store.reap(outage.tenant)
            except StoreUnavailable:
                failure = AWAY
            ended = Ended(failure, probe=admission.probe)
            outage.breaker = record(admission.state, ended, loop.time(), self._rules.breaker)
        log.warning("the limit store is back")
        await self._end(outage)

    async def _end(self, outage: _Outage) -> None:
        """The shared store decides again, and is told what was used of it meanwhile."""
        if outage.is_over:
            return
        outage.is_over = True
        for server in [server for server, other in self._outages.items() if other is outage]:
            del self._outages[server]
        for tenant, charges in (await self._charges(outage)).items():
            holds = [hold for hold, _ in charges]
            self._store.settle(tenant, f"degraded-{uuid.uuid4().hex}", holds, [used for _, used in charges])
        await outage.store.close()

    async def _charges(self, outage: _Outage) -> dict[str, list[tuple[Hold, int]]]:
        now = self._clock()
        found: dict[str, list[tuple[Hold, int]]] = {}
        for (tenant, hold), used in outage.spent.items():
            found.setdefault(tenant, []).append((hold, used))
        tenants = list(dict.fromkeys(tenant for tenant, _ in outage.asks))
        for kept in await outage.store.view(tenants):
            ask = outage.asks.get((kept.tenant, kept.account))
            if ask is not None and ask.kind == Kind.RATE:
                own = as_of(kept.state, ask._replace(rate_per_s=ask.rate_per_s / self._rules.nodes), now) or Account()
                hold = Hold(ask.account, ask.kind, 0, ask.rate_per_s)
                found.setdefault(kept.tenant, []).append((hold, math.ceil(own.used)))
        return found
