"""Answers kept in this process, and in a file beside it where there is a snapshot."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gateway.state.answers.drops import Drops
from gateway.state.answers.shelves import NO_RECORD, Shelves
from gateway.state.answers.snapshot_rows import LEARNT_BYTES_MAX, LEARNT_MAX
from gateway.state.answers.store import Kept, Neighbour, Place, Record, Stock
from gateway.state.answers.vectors import VectorIndex
from policies.cache_eviction import Bounds
from policies.cache_rules import Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.shelves import Shelved
    from gateway.state.answers.snapshot import Snapshot
    from gateway.state.answers.snapshot_rows import Loaded
    from gateway.state.answers.store import Entry, Which

SWEEP_EVERY_S: Final = 5.0
SWEPT_AT_ONCE: Final = 500
SLICE_S: Final = 0.001
"""The longest that the event loop is kept by work on many entries at a time."""
AHEAD_MAX_S: Final = 3600.0
"""What a loaded entry may be stored in the future of a clock that was set back."""


class InProcessAnswers:
    """An `AnswerStore`. `clock` tells Unix seconds. It belongs to the event loop."""

    def __init__(
        self, bounds: Bounds | None = None, clock: Callable[[], float] = time.time, snapshot: Snapshot | None = None
    ) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._shelves = Shelves(bounds or Bounds(), self._gone)
        self._vectors: VectorIndex[Shelved] = VectorIndex()
        self.drops = Drops()
        self._learnt: dict[str, bytes] = {}
        self._kept_while_loading: set[tuple[str, bytes]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None

    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:
        one = self._shelves.by_digest(owner, exact, near)
        if one is not None and self._has_expired(one):
            one = self._shelves.by_digest(owner, exact, near)  # an entry of the plain form may be left
        if one is None or self._has_expired(one) or one.entry.owner != owner:
            return None
        return Kept(one.entry, one.record, Level.EXACT if one.entry.exact == exact else Level.NEAR)

    async def nearest(self, place: Place, vector: Vector, count: int) -> Sequence[Neighbour]:
        ask = self._vectors.nearest
        while True:
            takes_long = self._vectors.takes_long(place)
            asked = asyncio.to_thread(ask, place, vector, count) if takes_long else None
            found = ask(place, vector, count) if asked is None else await asked
            expired = [one for one, _ in found if self._has_expired(one)]
            if not expired:
                break  # else they have taken the places of others
        return [
            Neighbour(Kept(one.entry, one.record), cosine) for one, cosine in found if place == _place_of(one.entry)
        ]

    async def keep(self, entry: Entry, vector: Vector | None) -> None:
        self.keep_now(entry, vector)

    def keep_now(self, entry: Entry, vector: Vector | None) -> None:
        if self._kept_while_loading is not None:
            self._kept_while_loading.add((entry.owner, entry.exact))
        one = self._shelve(entry, NO_RECORD, vector)
        if one is not None and self._snapshot is not None:
            self._snapshot.keep(entry, NO_RECORD, vector if one.has_vector else None)

    def note(self, kept: Kept, *, hits: int = 0, good: int = 0, bad: int = 0) -> None:
        one = self._shelves.by_id.get(kept.entry.id)
        if one is None or one.entry.owner != kept.entry.owner:
            return
        self._shelves.add(one, Record(hits, good, bad))
        if self._snapshot is not None:
            self._snapshot.note(one.entry.id, one.record)

    async def get(self, entry_id: str) -> Kept | None:
        one = self._shelves.by_id.get(entry_id)
        return None if one is None or self._has_expired(one) else Kept(one.entry, one.record)

    async def drop(self, which: Which) -> int:
        self.drops.note(which, self._clock())
        dropped = await self._drop(which)
        if self._loading is not None:
            await asyncio.wait([self._loading])
            dropped += await self._drop(which)
        if self._snapshot is not None and dropped:
            await self._snapshot.written()
        return dropped

    async def entries(self, which: Which | None = None) -> AsyncIterator[tuple[Kept, Vector | None]]:
        await self.loaded()
        pause = _Pauses()
        for one in self._shelves.matching(which):
            await pause.if_due()
            if not self._has_expired(one):
                yield Kept(one.entry, one.record), self._vector_of(one)

    async def stock(self) -> Stock:
        shelves = self._shelves
        shelves.sweep(self._clock(), SWEPT_AT_ONCE)
        unsent = 0 if self._snapshot is None else self._snapshot.unwritten
        return Stock(len(shelves), shelves.size_bytes, self._vectors.count, shelves.evicted, shelves.expired, unsent)

    async def remember(self, name: str, state: bytes) -> None:
        if len(state) > LEARNT_BYTES_MAX or (name not in self._learnt and len(self._learnt) >= LEARNT_MAX):
            return
        self._learnt[name] = state
        if self._snapshot is not None:
            self._snapshot.remember(name, state)

    async def recall(self, name: str) -> bytes | None:
        return self._learnt.get(name)

    async def start(self) -> None:
        if self._snapshot is not None:
            self._learnt |= await self._snapshot.start(self._write_all)
            self._kept_while_loading = set()
            self._loading = asyncio.create_task(self._load(self._snapshot), name="answers: load")
        self._tasks.append(asyncio.create_task(self._sweep_now_and_then(), name="answers: sweep"))

    async def close(self) -> None:
        tasks = self._tasks if self._loading is None else [*self._tasks, self._loading]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._vectors.close()
        if self._snapshot is not None:
            await self._snapshot.close()

    async def loaded(self) -> None:
        """Returns when all that the snapshot had can be found."""
        if self._loading is not None:
            await asyncio.wait([self._loading])

    # -- the inside --------------------------------------------------------------------------------------------------

    def _shelve(self, entry: Entry, record: Record, vector: Vector | None) -> Shelved | None:
        now_s = self._clock()
        if entry.expires_at_s <= now_s:
            return None
        one = self._shelves.put(entry, record, now_s, vector_bytes=0 if vector is None else vector.nbytes)
        if one is not None and vector is not None:
            one.has_vector = self._vectors.add(_place_of(entry), one, vector)
        return one

    def _gone(self, one: Shelved) -> None:
        if one.has_vector:
            self._vectors.remove(_place_of(one.entry), one)
        if self._snapshot is not None:
            self._snapshot.drop(one.entry.id)

    def _has_expired(self, one: Shelved) -> bool:
        if one.is_gone:
            return True
        if one.entry.expires_at_s > self._clock():
            return False
        self._shelves.expire(one)
        return True

    def _vector_of(self, one: Shelved) -> Vector | None:
        return self._vectors.vector(_place_of(one.entry), one) if one.has_vector else None

    async def _drop(self, which: Which) -> int:
        dropped, pause = 0, _Pauses()
        for one in self._shelves.matching(which):
            await pause.if_due()
            if not self._has_expired(one):
                self._shelves.remove(one)
                dropped += 1
        return dropped

    async def _load(self, snapshot: Snapshot) -> None:
        pause = _Pauses()
        try:
            async for found in snapshot.slices():
                for loaded in found:
                    await pause.if_due()
                    self._load_one(loaded, snapshot)
        finally:
            self._kept_while_loading = None

    def _load_one(self, loaded: Loaded, snapshot: Snapshot) -> None:
        """An entry of an earlier run; what was kept since goes before it."""
        entry, shelves = loaded.entry, self._shelves
        is_newer_here = (entry.owner, entry.exact) in (self._kept_while_loading or ())
        is_newer_here = is_newer_here or shelves.by_digest(entry.owner, entry.exact, b"") is not None
        is_ahead = entry.stored_at_s > self._clock() + AHEAD_MAX_S
        if is_newer_here or is_ahead or self._shelve(entry, loaded.record, loaded.vector) is None:
            snapshot.drop(entry.id)

    def _write_all(self) -> None:
        """For a snapshot that lost what it had."""
        if self._snapshot is None:
            return
        for one in self._shelves.matching(None):
            self._snapshot.keep(one.entry, one.record, self._vector_of(one))
        for name, state in self._learnt.items():
            self._snapshot.remember(name, state)

    async def _sweep_now_and_then(self) -> None:
        while True:
            has_more = self._shelves.sweep(self._clock(), SWEPT_AT_ONCE) == SWEPT_AT_ONCE
            await asyncio.sleep(0 if has_more else SWEEP_EVERY_S)


class _Pauses:
    """Lets others have the event loop whenever this has had it for long enough."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    async def if_due(self) -> None:
        if time.perf_counter() - self._since_s > SLICE_S:
            await asyncio.sleep(0)
            self._since_s = time.perf_counter()


def _place_of(entry: Entry) -> Place:
    return Place(entry.owner, entry.scope, entry.embedder)
