"""The limit store of a gateway that is one process: dictionaries, and no travelling.

Reservations have leases as everywhere, though while the store's task runs the process lives and so do its calls: a
clock that jumps or a process that slept renews them instead of taking what they hold. What is over leaves by small
steps, a few accounts per new one and a slice per renewal, so that no call pays for a million strangers before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from heapq import heapify, heappop, heappush
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.state.limits.store import LEASE_S, Kept
from policies import limits, usual_limits
from policies.limits import Account, Ask, Denied, Granted, Hold, Kind, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from policies.limits import Answer

SLICE: Final = 4096
"""How many accounts and ended reservations one renewal looks at: some milliseconds."""

MONTH_S: Final = 32 * 86_400.0


# There are as many of these two as calls in half a minute, and no cycles in them for the collector to look for.
class Reservation(msgspec.Struct, gc=False):
    """One that is held. `has_left`: what it held at once only is given back."""

    holds: tuple[Hold, ...]
    expires_s: float
    has_left: bool = False

    def gave_back(self, hold: Hold) -> bool:
        return self.has_left and hold.kind == Kind.CONCURRENT


class Ended(msgspec.Struct, frozen=True, gc=False):
    """How a reservation ended, and until when that is remembered. `holds` is what a reap charged."""

    phase: Phase
    until_s: float
    holds: tuple[Hold, ...] = ()


_SETTLED: Final = Phase.SETTLED  # to read a member of an enum takes as long as to make a tuple
NEVER_SEEN: Final = Ended(Phase.MISSING, 0.0)


class Tenant(msgspec.Struct):
    """What one tenant has. `asks` are the last ones of each account, `leases` a heap; it may name what has ended."""

    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    asks: dict[str, Ask] = msgspec.field(default_factory=dict)
    held: dict[str, Reservation] = msgspec.field(default_factory=dict)
    ended: dict[str, Ended] = msgspec.field(default_factory=dict)
    leases: list[tuple[float, str]] = msgspec.field(default_factory=list)


class InProcessLimitStore:
    """A `LimitStore` for one process; `clock` tells seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._to_sweep: deque[tuple[str, str]] = deque()
        self._to_forget: deque[tuple[float, str, str]] = deque()
        self._new = 0
        self._task: asyncio.Task[None] | None = None
        self._lost: list[Callable[[str], None]] = []
        self._freed: list[Callable[[str], None]] = []

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        return self.reserve_now(tenant, reservation, asks)

    def reserve_now(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        """`reserve`, which waits for nothing here, for callers who would rather not await it."""
        now = self._clock()
        if self._new or (self._to_forget and not now < self._to_forget[0][0] <= now + 2 * LEASE_S):
            self._tidy(now)
        kept = self._tenants.get(tenant) or self._begin(tenant)
        if kept.leases and kept.leases[0][0] <= now:
            self._reap(tenant, kept, now)
        accounts = kept.accounts
        if reservation in kept.held or (reservation in kept.ended and kept.ended[reservation].until_s > now):
            return _again(kept, reservation, asks, now)
        answer: Answer | None = usual_limits.granted(asks, accounts, now)
        if answer is None:
            answer = limits.reserve(asks, [accounts.get(ask.account) for ask in asks], now)
        if type(answer) is Granted:
            self._hold(tenant, kept, asks, answer.accounts)
            expires_s = now + LEASE_S
            kept.held[reservation] = Reservation(answer.holds, expires_s)
            heappush(kept.leases, (expires_s, reservation))
        else:
            if type(answer) is Denied:
                _set_back(accounts, asks, answer.accounts)
            self._drop_if_empty(tenant, kept)
        return answer

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> None:
        now = self._clock()
        kept = self._tenants.get(tenant) or self._begin(tenant)
        record = kept.held.pop(reservation, None)
        if record is None:
            ended = kept.ended.get(reservation, NEVER_SEEN)
            phase = ended.phase if ended.until_s > now else Phase.MISSING
            if phase == _SETTLED:
                return
            holds = ended.holds if phase == Phase.REAPED else holds
            self._settle(tenant, kept, zip(holds, chain(actual, repeat(0)), strict=False), (phase, now))
        elif not _settle_usual(kept, record, actual, now):
            left = [
                (h, n) for h, n in zip(record.holds, chain(actual, repeat(0)), strict=False) if not record.gave_back(h)
            ]
            self._settle(tenant, kept, left, (Phase.HELD, now))
        self._end(tenant, kept, reservation, Ended(_SETTLED, now + LEASE_S))
        for tell in self._freed:
            tell(tenant)

    def _settle(self, tenant: str, kept: Tenant, used: Iterable[tuple[Hold, int]], moment: tuple[Phase, float]) -> None:
        for hold, actual in used:
            self._charge(tenant, kept, limits.settle(kept.accounts.get(hold.account), hold, actual, *moment), hold)

    def release(self, tenant: str, reservation: str) -> None:
        kept = self._tenants.get(tenant)
        record = kept.held.get(reservation) if kept else None
        if kept is None or record is None or record.has_left:
            return
        record.has_left = True
        at_once = [hold for hold in record.holds if hold.kind == Kind.CONCURRENT]
        for hold in at_once:
            after = limits.settle(kept.accounts.get(hold.account), hold, 0, Phase.HELD, self._clock())
            self._charge(tenant, kept, after, hold)
        for tell in self._freed if at_once else ():
            tell(tenant)

    async def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> None:
        kept = self._tenants.get(tenant) or self._begin(tenant)
        if account not in kept.accounts:
            edges = (window_s, window_s + MONTH_S, window_s + 2 * MONTH_S)
            begun = Account(float(used), window_s)
            self._hold(tenant, kept, (Ask(account, Kind.CALENDAR, 0, 0, 0.0, edges),), (begun,))

    async def correct(self, kept: Kept, spent: int) -> bool:
        tenant = self._tenants.get(kept.tenant)
        if tenant is None or kept.kind != Kind.CALENDAR:
            return False
        self._reap(kept.tenant, tenant, self._clock())
        if tenant.accounts.get(kept.account) != kept.state:
            return False
        tenant.accounts[kept.account] = kept.state._replace(used=float(spent))
        for tell in self._freed:
            tell(kept.tenant)
        return True

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        now = self._clock()
        seen: list[Kept] = []
        for tenant in tenants:
            if kept := self._tenants.get(tenant):
                self._reap(tenant, kept, now)
                seen += [Kept(tenant, name, state, kept.asks[name].kind) for name, state in kept.accounts.items()]
        return seen

    def on_lost(self, tell: Callable[[str], None]) -> None:
        self._lost.append(tell)

    def on_freed(self, tell: Callable[[str], None]) -> None:
        self._freed.append(tell)

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        """Nobody else gives back what is kept in this process."""

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="limit leases")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def renew(self) -> None:
        """Every reservation whose lease has not run out lasts a lease from now on."""
        now = self._clock()
        for tenant, kept in list(self._tenants.items()):
            self._reap(tenant, kept, now)
            self._extend(kept, now)

    def _extend(self, kept: Tenant, now: float) -> None:
        expires_s = now + LEASE_S
        for record in kept.held.values():
            record.expires_s = expires_s
        kept.leases = [(expires_s, reservation) for reservation in kept.held]
        heapify(kept.leases)

    def sweep(self, most: int = SLICE) -> None:
        """Forget those of so many accounts that are empty again, and as many reservations that ended a lease ago."""
        now = self._clock()
        self._forget(most, now)
        self._drop(most, now)

    def _tidy(self, now: float) -> None:
        """What each call does of the sweeping, before anything else since it drops tenants: twice what was made."""
        self._forget(2, now)
        if self._new:
            self._drop(2 * self._new, now)
            self._new = 0

    def _drop(self, most: int, now: float) -> None:
        for _ in range(min(most, len(self._to_sweep))):
            tenant, name = self._to_sweep.popleft()
            kept = self._tenants[tenant]
            if _is_empty(kept.accounts[name], kept.asks[name], now):
                del kept.accounts[name], kept.asks[name]
                self._drop_if_empty(tenant, kept)
            else:
                self._to_sweep.append((tenant, name))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            self.renew()
            self.sweep()

    def _begin(self, tenant: str) -> Tenant:
        kept = self._tenants[tenant] = Tenant()
        return kept

    def _hold(self, tenant: str, kept: Tenant, asks: Sequence[Ask], accounts: Iterable[Account]) -> None:
        for ask, account in zip(asks, accounts, strict=True):
            name = ask.account
            if name not in kept.accounts:
                self._to_sweep.append((tenant, name))
                self._new += 1
            kept.accounts[name] = account
            kept.asks[name] = ask

    def _charge(self, tenant: str, kept: Tenant, account: Account | None, hold: Hold) -> None:
        """Keep what became of an account; one that only a late settlement knows of is kept as the hold describes it."""
        if account is not None and hold.account in kept.accounts:
            kept.accounts[hold.account] = account
        elif account is not None and hold.kind == Kind.RATE:
            self._hold(tenant, kept, (Ask(hold.account, hold.kind, 0, 0, hold.rate_per_s),), (account,))

    def _reap(self, tenant: str, kept: Tenant, now: float) -> None:
        """Charge in full what outlived its lease, unless this process still looks after it."""
        if self._task is not None and kept.leases and kept.leases[0][0] <= now:
            self._extend(kept, now)
        leases = kept.leases
        freed = False
        while leases and leases[0][0] <= now:
            _, reservation = heappop(leases)
            record = kept.held.get(reservation)
            if record is not None and record.expires_s <= now:
                self._reap_one(tenant, kept, reservation, now)
                freed = True
        for tell in self._freed if freed else ():
            tell(tenant)

    def _reap_one(self, tenant: str, kept: Tenant, reservation: str, now: float) -> None:
        record = kept.held.pop(reservation)
        for hold in record.holds:
            if not record.gave_back(hold):
                self._charge(tenant, kept, limits.reap(kept.accounts.get(hold.account), hold, now), hold)
        self._end(tenant, kept, reservation, Ended(Phase.REAPED, now + LEASE_S, record.holds))
        for tell in self._lost:
            tell(reservation)

    def _end(self, tenant: str, kept: Tenant, reservation: str, ended: Ended) -> None:
        """Remember for a lease how a reservation ended, for those who ask twice or come late."""
        kept.ended[reservation] = ended
        self._to_forget.append((ended.until_s, tenant, reservation))

    def _forget(self, most: int, now: float) -> None:
        waiting = self._to_forget
        while most and waiting and not now < waiting[0][0] <= now + 2 * LEASE_S:
            until_s, tenant, reservation = waiting.popleft()
            most -= 1
            kept = self._tenants.get(tenant)
            ended = kept.ended.get(reservation, NEVER_SEEN) if kept else NEVER_SEEN
            if kept is None or ended.until_s != until_s:
                continue  # it ended again since, late
            if until_s > now:  # the clock went back, and memory must not wait for it
                self._end(tenant, kept, reservation, msgspec.structs.replace(ended, until_s=now + LEASE_S))
                continue
            del kept.ended[reservation]
            self._drop_if_empty(tenant, kept)

    def _drop_if_empty(self, tenant: str, kept: Tenant) -> None:
        if not (kept.accounts or kept.held or kept.ended):
            del self._tenants[tenant]


def _settle_usual(kept: Tenant, record: Reservation, actual: Sequence[int], now: float) -> bool:
    """Whether that was all: nothing of it was given back before, and all of its accounts are known."""
    if record.has_left or len(actual) != len(record.holds):
        return False
    after = usual_limits.settled(record.holds, actual, kept.accounts, now)
    if after is None:
        return False
    for hold, account in zip(record.holds, after, strict=True):
        kept.accounts[hold[0]] = account
    return True


def _again(kept: Tenant, reservation: str, asks: Sequence[Ask], now: float) -> Answer:
    """The answer that this reservation had, with the accounts as they are now."""
    states = [limits.as_of(kept.accounts.get(ask.account), ask, now) or Account() for ask in asks]
    if record := kept.held.get(reservation):
        return Granted(record.holds, tuple(states))
    return Granted(tuple(map(limits.hold_of, asks, states)), tuple(states))


def _set_back(accounts: dict[str, Account], asks: Sequence[Ask], states: Sequence[Account]) -> None:
    for ask, state in zip(asks, states, strict=True):
        if (before := accounts.get(ask.account)) is not None and state.at_s < before.at_s:
            accounts[ask.account] = state


def _is_empty(account: Account, ask: Ask, now: float) -> bool:
    """Whether the account says no more than none would: drained, or of a window that is over; and nothing held."""
    if account.held:
        return False
    if ask.kind == Kind.CALENDAR:
        return account.at_s < limits.window_of(ask, now) <= now
    return ask.kind == Kind.CONCURRENT or limits.drained(account, ask.rate_per_s, now).used == 0.0
