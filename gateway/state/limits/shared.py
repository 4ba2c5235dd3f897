"""Limits that all nodes of a fleet share: policies/limits.py executed inside Redis, one script call per operation.

Everything here travels. So a reservation whose answer is overdue is asked for once more under the same id, which Redis
knows if it was made; if that fails too, it is given back in the background whenever Redis is there again. Settlements
wait for Redis to return. Reservations are kept alive as long as this process lives. Redis may lose what it holds in
memory: the ledger is what budgets begin from, and a reservation that is not known any more is charged all the same.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.limits.store import LEASE_S, Kept, StoreUnavailable
from gateway.state.redis.calls import Calls, reserved, seen
from gateway.state.redis.connections import Asked, Command, Unanswered
from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.leases import Leases
from gateway.state.redis.router import Router
from gateway.state.redis.scripts import SCRIPTS, channel_of, tag_of
from gateway.state.redis.subscription import Subscription
from gateway.state.redis.unsent import Unsent
from gateway.state.redis.url import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.redis.scripts import Script, Scripts
    from policies.limits import Answer, Ask, Hold


class RedisOptions(NamedTuple):
    """`namespace` begins every key; `unsent_max` settlements wait for Redis to return; `clock` is as in `Calls`."""

    namespace: str = "pointsman"
    timings: Timings = Timings()
    lease_s: float = LEASE_S
    unsent_max: int = 100_000
    scripts: Scripts = SCRIPTS
    clock: Callable[[], float] | None = None


USUAL: Final = RedisOptions()


class _Telling(Command):
    """A settlement or a release on its way; it comes back to the store until it has arrived."""

    __slots__ = ("since_s", "store", "tenant")

    def __init__(self, store: RedisLimitStore, tenant: str, packed: bytes, script: Script) -> None:
        super().__init__(packed, tag_of(tenant), script)
        self.store = store
        self.tenant = tenant
        self.since_s = time.monotonic()

    def answered(self, answer: object) -> None:
        self.store.told(self, answer)


class RedisLimitStore:
    """A `LimitStore`; `url` is as in `redis_url`."""

    def __init__(self, url: str, options: RedisOptions = USUAL) -> None:
        timings = options.timings
        self._options = options
        self._scripts = options.scripts
        self._calls = Calls(options.namespace, options.lease_s, options.scripts, options.clock)
        self._dialer = Dialer(parse(url), timings.connect_s)
        self._router = Router(self._dialer, timings, options.scripts, self._connected)
        self._leases = Leases(options.lease_s, self._renew)
        self._unsent = Unsent(self._router.send, timings, options.unsent_max, 2 * options.lease_s)
        self._subscription = Subscription(self._dialer, timings, channel_of(options.namespace), self._tell_freed)
        self._freed: list[Callable[[str], None]] = []
        self._under_way = 0
        self._arrived = asyncio.Event()

    @property
    def evicts(self) -> bool:
        """Whether Redis was found to throw keys away when it is full."""
        return self._router.evicts

    @property
    def unsent(self) -> int:
        """How many settlements wait for Redis."""
        return len(self._unsent)

    @property
    def lost_settlements(self) -> int:
        """How many settlements were given up."""
        return self._unsent.lost

    @property
    def held(self) -> int:
        """How many reservations of this process are held."""
        return len(self._leases)

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        packed = self._calls.reserve(tenant, reservation, asks)
        try:
            first = said = await self._ask(packed, tenant, self._scripts.reserve)
            if isinstance(first, Unanswered):
                said = await self._ask(packed, tenant, self._scripts.reserve)
        except asyncio.CancelledError:
            self.settle(tenant, reservation, (), ())
            raise
        if not isinstance(said, list):
            if isinstance(first, Unanswered):
                self.settle(tenant, reservation, (), ())
            raise _unavailable(said)
        answer, is_held = reserved(asks, said)
        if is_held:
            self._leases.add(tenant, reservation)
        return answer

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> None:
        self._leases.remove(tenant, reservation)
        self._tell(tenant, self._calls.settle(tenant, reservation, holds, actual), self._scripts.settle)

    def release(self, tenant: str, reservation: str) -> None:
        self._tell(tenant, self._calls.release(tenant, reservation), self._scripts.release)

    async def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> None:
        said = await self._ask(self._calls.hydrate(tenant, account, window_s, used), tenant, self._scripts.hydrate)
        if not isinstance(said, int):
            raise _unavailable(said)

    async def correct(self, kept: Kept, spent: int) -> bool:
        said = await self._ask(self._calls.correct(kept, spent), kept.tenant, self._scripts.correct)
        if not isinstance(said, int):
            raise _unavailable(said)
        return said == 1

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        asked = [self._view(tenant) for tenant in tenants]
        return [kept for of_tenant in await asyncio.gather(*asked) for kept in of_tenant]

    async def _view(self, tenant: str) -> list[Kept]:
        said: object = 0
        while said == 0:
            said = await self._ask(self._calls.view(tenant), tenant, self._scripts.view)
        if not isinstance(said, bytes):
            raise _unavailable(said)
        return seen(tenant, said)

    def server_of(self, tenant: str) -> tuple[str, int] | None:
        """The server of a Cluster that has this tenant; None where there is only one to ask."""
        return self._router.address_of(tag_of(tenant))

    async def reap(self, tenant: str) -> int:
        """Charges what this tenant's leases ran out on, as `reserve` and `view` do too; how many there were."""
        said = await self._ask(self._calls.reap(tenant), tenant, self._scripts.reap)
        if not isinstance(said, int):
            raise _unavailable(said)
        return said

    async def renew(self) -> bool:
        """Renews every reservation of this process now. Whether Redis answered for all."""
        return await self._leases.renew()

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        """Somebody here waits so long for this tenant: other processes say when they give something of it back."""
        self._subscription.start()
        self._router.send(Asked(self._calls.wait(tenant, for_s), tag_of(tenant), self._scripts.wait))

    def on_lost(self, tell: Callable[[str], None]) -> None:
        self._leases.on_lost(tell)

    def on_freed(self, tell: Callable[[str], None]) -> None:
        self._freed.append(tell)

    async def start(self) -> None:
        await self._router.start()
        self._leases.start()

    async def close(self) -> None:
        """Waits until Redis was told everything, no longer than one more try takes, and hangs up."""
        await self._leases.close()
        await self._subscription.close()
        await self._tell_the_rest()
        await self._router.close()  # what it was still sending comes back as unsent
        self._unsent.close()

    def told(self, telling: _Telling, answer: object) -> None:
        """A settlement or release arrived, or comes back to be sent again."""
        self._arrived.set()
        if isinstance(answer, StoreUnavailable):
            self._unsent.add(telling, telling.since_s)
            return
        self._under_way -= 1
        self._unsent.told()
        if answer != 0 or telling.script is self._scripts.settle:
            self._tell_freed(telling.tenant)

    def _ask(self, packed: bytes, tenant: str, script: Script) -> asyncio.Future[object]:
        asked = Asked(packed, tag_of(tenant), script)
        self._router.send(asked)
        return asked.answer

    def _tell(self, tenant: str, packed: bytes, script: Script) -> None:
        self._under_way += 1
        self._router.send(_Telling(self, tenant, packed, script))

    async def _renew(self, tenant: str, reservations: Sequence[str]) -> list[int] | None:
        said = await self._ask(self._calls.renew(tenant, reservations), tenant, self._scripts.renew)
        return said if isinstance(said, list) else None

    def _connected(self) -> None:
        if self._unsent:
            self._unsent.flush()

    def _tell_freed(self, tenant: str) -> None:
        for tell in self._freed:
            tell(tenant)

    async def _tell_the_rest(self) -> None:
        self._connected()
        timings = self._options.timings
        try:
            async with asyncio.timeout(timings.connect_s + 2 * timings.answer_s):
                while self._under_way > len(self._unsent):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return


def _unavailable(said: object) -> StoreUnavailable:
    return said if isinstance(said, StoreUnavailable) else StoreUnavailable("Redis answered what was not asked")
