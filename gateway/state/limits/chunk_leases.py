"""A limit store in front of a limit store that travels: busy account sets are served from chunks taken beforehand.

Only the store behind refuses. What no chunk has room for is asked there under the call's own id, and so is everything
that is not busy. A chunk that serves no longer (used up, old, idle) is settled with its last call; when half of its
calls are done it is replaced by one for the rest, so that little lies idle under a long call and use is charged soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.state.limits.store import LEASE_S, StoreUnavailable
from policies import chunks
from policies.chunks import CHUNK_S, Pace
from policies.limits import Account, Ask, Denied, Granted, Hold, Kind, Unknown, hold_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.limits.store import Kept, LimitStore
    from policies.limits import Answer

TICK_S: Final = chunks.IDLE_S
Key = tuple[str, tuple[str, ...]]


class Chunk(msgspec.Struct, eq=False):
    """One reservation behind. By account: `left` is neither used nor held by a call, `used` is settled here."""

    tenant: str
    id: str
    asks: tuple[Ask, ...]
    answer: Granted
    taken_s: float
    served_s: float
    calls: int
    left: list[int]
    used: list[int]
    shares: dict[str, Share] = msgspec.field(default_factory=dict)
    is_serving: bool = False
    is_lost: bool = False

    def fits(self, asks: Sequence[Ask]) -> bool:
        return all(ask.amount <= left for ask, left in zip(asks, self.left, strict=True))

    def held(self) -> tuple[Ask, ...]:
        """What calls hold of it, as asks."""
        totals = zip(self.asks, self.used, self.left, strict=True)
        return tuple(ask._replace(amount=max(ask.amount - used - left, 0)) for ask, used, left in totals)


class Share(msgspec.Struct, eq=False):
    """One call's part of a chunk. `has_left`: what it held at once only is given back."""

    chunk: Chunk
    holds: tuple[Hold, ...]
    has_left: bool = False


class Source(msgspec.Struct, eq=False):
    """One account set: how busy it is, what the store last said of it, and the chunk that serves."""

    pace: Pace
    accounts: tuple[Account, ...] = ()
    chunk: Chunk | None = None
    is_taking: bool = False


class ChunkLeases:
    """A `LimitStore` over `store`. `nodes` gateways are configured to share it."""

    def __init__(self, store: LimitStore, clock: Callable[[], float], nodes: int = 1) -> None:
        self._store = store
        self._clock = clock
        self._nodes = nodes
        self._name = secrets.token_hex(8)
        self._taken = 0
        self._sources: dict[Key, Source] = {}
        self._chunks: dict[str, Chunk] = {}
        self._shares: dict[tuple[str, str], Share] = {}
        self._asked: set[tuple[str, str]] = set()
        self._ended: dict[tuple[str, str], bool] = {}  # whether it was a chunk that had served it
        self._to_forget: deque[tuple[float, tuple[str, str]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._lost: list[Callable[[str], None]] = []
        self._freed: list[Callable[[str], None]] = []
        store.on_lost(self._lose)
        store.on_freed(self._tell_freed)

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        name = (tenant, reservation)
        if share := self._shares.get(name):
            return Granted(share.holds, share.chunk.answer.accounts)
        was_served = self._ended.get(name)
        if was_served:
            states = (Account(),) * len(asks)
            return Granted(tuple(map(hold_of, asks, states)), states)
        if was_served is not None or name in self._asked:
            return await self._store.reserve(tenant, reservation, asks)
        now = self._clock()
        key = (tenant, tuple([ask.account for ask in asks]))
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = Source(Pace(0.0, 0, now))
        source.pace = chunks.paced(source.pace, now)
        self._forget(now)
        if served := self._serve(source, reservation, asks, now):
            return served
        if unknown := await self._take(source, tenant, asks, now):
            return unknown
        return self._serve(source, reservation, asks, now) or await self._ask(source, tenant, reservation, asks)

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> None:
        name = (tenant, reservation)
        share = self._shares.pop(name, None)
        if share is None:
            if name not in self._ended:
                self._asked.discard(name)
                self._end(name, was_served=False)
                self._store.settle(tenant, reservation, holds, actual)
            return
        chunk = share.chunk
        for i, (hold, told) in enumerate(zip(share.holds, chain(actual, repeat(0)), strict=False)):
            used = 0 if hold.kind == Kind.CONCURRENT else max(told, 0)
            chunk.used[i] += used
            chunk.left[i] += (0 if share.has_left and hold.kind == Kind.CONCURRENT else hold.amount) - used
        del chunk.shares[reservation]
        self._end(name, was_served=True)
        if chunk.is_serving:
            self._tell_freed(tenant)
        else:
            self._finish(chunk)

    def release(self, tenant: str, reservation: str) -> None:
        share = self._shares.get((tenant, reservation))
        if share is None:
            self._store.release(tenant, reservation)
        elif not share.has_left:
            share.has_left = True
            for i, hold in enumerate(share.holds):
                if hold.kind == Kind.CONCURRENT:
                    share.chunk.left[i] += hold.amount
            self._tell_freed(tenant)

    async def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> None:
        await self._store.hydrate(tenant, account, window_s, used)

    async def correct(self, kept: Kept, spent: int) -> bool:
        """Not while a chunk here has used of it what the ledger knows and the store will only be told."""
        for chunk in self._chunks.values():
            for ask, used in zip(chunk.asks, chunk.used, strict=True):
                if used and (chunk.tenant, ask.account) == (kept.tenant, kept.account):
                    return False
        return await self._store.correct(kept, spent)

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        return await self._store.view(tenants)

    def on_lost(self, tell: Callable[[str], None]) -> None:
        self._lost.append(tell)

    def on_freed(self, tell: Callable[[str], None]) -> None:
        self._freed.append(tell)

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        self._store.mark_waiting(tenant, for_s)

    async def start(self) -> None:
        await self._store.start()
        self._task = asyncio.create_task(self._keep(), name="limit chunks")

    async def close(self) -> None:
        """Gives back every chunk that no call holds of; leases end the others."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for source in self._sources.values():
            self._retire(source)
        await self._store.close()

    async def tick(self) -> None:
        """Gives back chunks that are due, and replaces those that are half done with."""
        now = self._clock()
        for key, source in list(self._sources.items()):
            if source.chunk and chunks.is_due(source.chunk.taken_s, source.chunk.served_s, now):
                self._retire(source)
            if not (source.chunk or source.is_taking or 0.0 <= now - source.pace.since_s <= 4 * CHUNK_S):
                del self._sources[key]
        for chunk in list(self._chunks.values()):
            is_over = chunk.is_serving or chunk.is_lost
            if not is_over and chunks.is_worth_shrinking(len(chunk.shares), chunk.calls):
                await self._shrink(chunk)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            with contextlib.suppress(StoreUnavailable):
                await self.tick()

    def _serve(self, source: Source, reservation: str, asks: Sequence[Ask], now: float) -> Granted | None:
        """A grant from the chunk, if there is one with room."""
        chunk = source.chunk
        if chunk is None or chunks.is_due(chunk.taken_s, chunk.served_s, now):
            self._retire(source)
            return None
        if not chunk.fits(asks):
            return None
        holds = tuple(map(hold_of, asks, chunk.answer.accounts))
        chunk.left = [left - ask.amount for left, ask in zip(chunk.left, asks, strict=True)]
        chunk.served_s = now
        chunk.shares[reservation] = self._shares[chunk.tenant, reservation] = Share(chunk, holds)
        return Granted(holds, chunk.answer.accounts)

    async def _take(self, source: Source, tenant: str, asks: Sequence[Ask], now: float) -> Unknown | None:
        """Puts a new chunk in place where it pays and nobody is at it already."""
        calls = 0 if source.is_taking or not source.accounts else chunks.calls_in_chunk(asks, source.pace)
        wanted = tuple(ask._replace(amount=ask.amount * calls) for ask in asks)
        if not calls or not chunks.is_roomy(wanted, source.accounts, self._nodes, now):
            return None
        source.is_taking = True
        try:
            chunk_id, answer = await self._reserve_chunk(tenant, wanted)
        finally:
            source.is_taking = False
        if isinstance(answer, Unknown):
            return answer
        source.accounts = answer.accounts
        if isinstance(answer, Granted):
            self._retire(source)
            left, used = [ask.amount for ask in wanted], [0] * len(wanted)
            source.chunk = Chunk(tenant, chunk_id, wanted, answer, now, now, calls, left, used, is_serving=True)
            self._chunks[chunk_id] = source.chunk
        return None

    async def _ask(self, source: Source, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        """The store's own answer, after what lies idle here has been given back if that could have refused it."""
        answer = None
        self._asked.add((tenant, reservation))
        try:
            answer = await self._store.reserve(tenant, reservation, asks)
            if isinstance(answer, Denied) and source.chunk and not source.chunk.shares:
                self._retire(source)
                answer = await self._store.reserve(tenant, reservation, asks)
        finally:
            if not isinstance(answer, Granted):
                self._asked.discard((tenant, reservation))
        if not isinstance(answer, Unknown):
            source.accounts = answer.accounts
        return answer

    async def _reserve_chunk(self, tenant: str, asks: Sequence[Ask]) -> tuple[str, Answer]:
        self._taken += 1
        chunk_id = f"chunk:{self._name}:{self._taken}"
        try:
            return chunk_id, await self._store.reserve(tenant, chunk_id, asks)
        except BaseException:
            self._store.settle(tenant, chunk_id, (), ())
            raise

    def _retire(self, source: Source) -> None:
        chunk, source.chunk = source.chunk, None
        if chunk is not None:
            chunk.is_serving = False
            self._finish(chunk)

    def _finish(self, chunk: Chunk) -> None:
        """Settles a chunk that serves no longer and whose calls are all settled."""
        if not chunk.shares:
            del self._chunks[chunk.id]
            self._store.settle(chunk.tenant, chunk.id, chunk.answer.holds, chunk.used)

    async def _shrink(self, chunk: Chunk) -> None:
        """Settles what is used of a retired chunk and moves its calls into one that holds no more than they do."""
        before = chunk.held()
        rest_id, answer = await self._reserve_chunk(chunk.tenant, before)
        if not isinstance(answer, Granted):
            return
        windows = [[hold.window_s for hold in granted.holds] for granted in (answer, chunk.answer)]
        if chunk.is_lost or not chunk.shares or windows[0] != windows[1]:
            self._store.settle(chunk.tenant, rest_id, (), ())
            return
        left = [was.amount - now.amount for was, now in zip(before, chunk.held(), strict=True)]
        shares, chunk.shares = chunk.shares, {}
        rest = Chunk(
            chunk.tenant,
            rest_id,
            before,
            answer,
            chunk.taken_s,
            chunk.served_s,
            len(shares),
            left,
            [0] * len(left),
            shares,
        )
        for share in shares.values():
            share.chunk = rest
        self._chunks[rest_id] = rest
        self._finish(chunk)

    def _lose(self, reservation: str) -> None:
        """The lease of a call, or that of a chunk and so of all its calls, ran out."""
        chunk = self._chunks.get(reservation)
        if chunk is not None:
            chunk.is_lost = True
            for source in self._sources.values():
                if source.chunk is chunk:
                    self._retire(source)
        for name in (reservation,) if chunk is None else list(chunk.shares):
            for tell in self._lost:
                tell(name)

    def _tell_freed(self, tenant: str) -> None:
        for tell in self._freed:
            tell(tenant)

    def _end(self, name: tuple[str, str], *, was_served: bool) -> None:
        self._ended[name] = was_served
        self._to_forget.append((self._clock() + LEASE_S, name))

    def _forget(self, now: float) -> None:
        """Two calls that ended a lease ago, or more from a time that the clock no longer knows."""
        for _ in range(min(2, len(self._to_forget))):
            if now < self._to_forget[0][0] <= now + 2 * LEASE_S:
                return
            self._ended.pop(self._to_forget.popleft()[1], None)
