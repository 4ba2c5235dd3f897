"""Answers that all processes of a fleet share, on any Redis from 6 on: what one keeps all find, what one drops none.

Every key has a time to live. How much an owner's entries may take is kept by the script that stores them, and how much
all owners have together, about, by every process now and then. What Redis says an entry is counts only after it has
been checked; what a Redis that is full, away or forgetful did not keep is a miss.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.state.answers.drops import Drops
from gateway.state.answers.line import Line
from gateway.state.answers.notes import Notes
from gateway.state.answers.packed import Packing
from gateway.state.answers.scripts import SCRIPTS, Keys
from gateway.state.answers.shared_vectors import RedisVectors
from gateway.state.answers.store import Stock, StoreUnavailable, Which
from gateway.state.answers.tending import Tender
from gateway.state.answers.vector_store import Shelf, looked_up, place_of, shelf_of
from gateway.state.answers.walking import Walker
from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.router import Router
from gateway.state.redis.scripts import call, command, tag_of
from gateway.state.redis.url import parse
from policies.cache_eviction import Bounds
from policies.cache_rules import Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.notes import Counts
    from gateway.state.answers.sealing import Sealing
    from gateway.state.answers.store import Entry, Kept, Neighbour, Place
    from gateway.state.answers.vector_store import Vectors
    from gateway.state.redis.scripts import Script

log = logging.getLogger(__name__)

LEVELS: Final = {1: Level.EXACT, 2: Level.NEAR}
LEARNT_TTL_MS: Final = 90 * 86_400_000
LEARNT_BYTES_MAX: Final = 4 << 20
ID_CHARS_MAX: Final = 128
NOTED_AT_ONCE: Final = 200
FETCHED_AT_ONCE: Final = 8
EVERY_S: Final = 60.0


class AnswerOptions(NamedTuple):
    """`namespace` begins every key. `vectors`: an index elsewhere; without one they are kept on Redis too."""

    namespace: str = "pointsman"
    timings: Timings = Timings()
    sealing: Sealing | None = None
    vectors: Vectors | None = None
    clock: Callable[[], float] = time.time


USUAL: Final = AnswerOptions()


class SharedAnswers:
    """An `AnswerStore`; `url` is as in `gateway.state.redis.url`. `bounds` are those of all owners together."""

    def __init__(self, url: str, bounds: Bounds | None = None, options: AnswerOptions = USUAL) -> None:
        self._bounds = bounds or Bounds()
        self._clock = options.clock
        self._packing = Packing(options.sealing)
        self._keys = Keys(options.namespace)
        dialer = Dialer(parse(url), options.timings.connect_s)
        self._line = Line(Router(dialer, options.timings, SCRIPTS, lambda: None))
        self._vectors = options.vectors or RedisVectors(dialer, options.timings, self._keys, self._clock)
        self._walker = Walker(self._line, self._keys, self._clock, self._forget)
        self._notes = Notes(self._write)
        self._tending: asyncio.Task[None] | None = None
        self._tender = Tender(self._line, self._keys, self._walker, self._bounds)
        self.drops = Drops()
        self.unkept = 0
        self.refused = 0

    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:
        names = (self._packing.name_of(owner, exact).encode(), self._packing.name_of(owner, near).encode())
        said = await self._ask(owner, SCRIPTS.find, names)
        if not isinstance(said, list) or len(said) != 6 or said[0] not in LEVELS:
            return None
        kept = self._checked(owner, said[1], said[2:], LEVELS[said[0]])
        if kept is None:
            return None
        if (kept.entry.exact != exact) if kept.level is Level.EXACT else (kept.entry.near != near):
            self._refuse()
            return None
        return kept

    async def nearest(self, place: Place, vector: Vector, count: int) -> Sequence[Neighbour]:
        def fetch(entry_ids: Sequence[str]) -> Awaitable[list[Kept | None]]:
            return self._fetch(place.owner, entry_ids)

        return await looked_up(self._vectors, place, vector, count, fetch)

    async def keep(self, entry: Entry, vector: Vector | None) -> None:
        """Returns at once: it is on its way."""
        packed = self._packing.pack(entry, has_vector=vector is not None)
        lives_ms = int(entry.expires_at_s * 1000) - self._now_ms
        if lives_ms <= 0 or packed.size_bytes > self._bounds.entry_bytes_max:
            return

        def heard(said: object) -> None:
            if not isinstance(said, list) or len(said) != 3:
                self._not_kept(said)
                return
            self._tender.evicted += said[0]
            self._tender.expired += said[1]
            self._forget(entry.owner, said[2], entry.id)
            if vector is not None:
                self._vectors.add(Shelf(entry.owner, packed.shelf), entry.id, vector, entry.expires_at_s)

        whose = self._keys.owner_of_id(entry.id)
        self._line.tell(command(b"SET", whose, entry.owner.encode(), b"PX", b"%d" % lives_ms), tag_of(entry.id))
        room = (b"%d" % self._bounds.entries_max, b"%d" % self._bounds.bytes_max)
        arguments = (entry.id.encode(), packed.value, packed.known, b"%d" % self._now_ms, *room)
        self._line.tell(self._call(entry.owner, SCRIPTS.keep, arguments), tag_of(entry.owner), SCRIPTS.keep, heard)

    def note(self, kept: Kept, *, hits: int = 0, good: int = 0, bad: int = 0) -> None:
        self._notes.add(kept.entry, (hits, good, bad))

    async def get(self, entry_id: str) -> Kept | None:
        owner = await self._owner_of(entry_id)
        return None if owner is None else (await self._fetch(owner, [entry_id]))[0]

    async def drop(self, which: Which) -> int:
        self.drops.note(which, self._clock())
        dropped = await self._drop(which)
        if dropped:
            self._tender.forget_sums()
        return dropped

    async def entries(self, which: Which | None = None) -> AsyncIterator[tuple[Kept, Vector | None]]:
        which = which or Which()
        for owner in await self._walker.owners() if which.owner is None else [which.owner]:
            seen: set[str] = set()
            async for met in self._walker.steps(owner, which, drops=False):
                new = [one for one in dict.fromkeys(met) if one not in seen]
                seen.update(new)
                for start in range(0, len(new), FETCHED_AT_ONCE):
                    for kept in await self._fetch(owner, new[start : start + FETCHED_AT_ONCE]):
                        if kept is not None:
                            yield kept, await self._vector_of(kept.entry)

    async def stock(self) -> Stock:
        sums = await self._tender.sums()
        vectors = await self._vectors.count()
        entries, size_bytes = (None, None) if sums is None else sums
        return Stock(entries, size_bytes, vectors, self._tender.evicted, self._tender.expired, self._line.unsent)

    async def remember(self, name: str, state: bytes) -> None:
        if len(state) <= LEARNT_BYTES_MAX:
            packed = command(b"SET", self._keys.learnt(name), state, b"PX", b"%d" % LEARNT_TTL_MS)
            self._line.tell(packed, tag_of(name))

    async def recall(self, name: str) -> bytes | None:
        with contextlib.suppress(StoreUnavailable):
            said = await self._line.ask(command(b"GET", self._keys.learnt(name)), tag_of(name))
            return said if isinstance(said, bytes) else None
        return None

    async def start(self) -> None:
        """Connects with the first question."""
        await self._vectors.start()
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend(), name="answers-tending")

    def gather(self) -> None:
        """Vectors are here before the first question that they are compared with."""
        if isinstance(self._vectors, RedisVectors):
            self._vectors.gather()

    async def settled(self) -> None:
        """Returns when all that was kept and noted here so far has arrived, or has not."""
        self._notes.flush()
        await self._line.settled()
        await self._vectors.settled()

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
            self._tending = None
        await self.settled()
        await self._vectors.close()
        await self._line.close()

    @property
    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311 - so that processes take turns
            with contextlib.suppress(StoreUnavailable):
                await self._tender.sums()

    async def _drop(self, which: Which) -> int:
        if which.owner is not None:
            return await self._walker.drop(which.owner, which)
        if which.id is not None and (owner := await self._owner_of(which.id)) is not None:
            return await self._walker.drop(owner, which)
        return sum([await self._walker.drop(owner, which) for owner in await self._walker.owners()])

    async def _fetch(self, owner: str, entry_ids: Sequence[str]) -> list[Kept | None]:
        if not entry_ids:
            return []
        ids = [entry_id.encode() for entry_id in entry_ids]
        said = await self._ask(owner, SCRIPTS.fetch, ids)
        if not isinstance(said, list) or len(said) != len(ids):
            raise StoreUnavailable("Redis answered what was not asked")
        return [None if one is None else self._checked(owner, name, one) for name, one in zip(ids, said, strict=True)]

    def _checked(self, owner: str, entry_id: bytes, said: Any, level: Level | None = None) -> Kept | None:  # noqa: ANN401
        """An entry that is this owner's, has that id and has not expired."""
        kept = self._packing.unpacked(owner, entry_id.decode(errors="replace"), said, level)
        if kept is None:
            self._refuse()
            return None
        return kept if kept.entry.expires_at_s > self._clock() else None

    async def _vector_of(self, entry: Entry) -> Vector | None:
        return await self._vectors.vector_of(shelf_of(place_of(entry)), entry.id) if entry.embedder else None

    async def _owner_of(self, entry_id: str) -> str | None:
        if len(entry_id) > ID_CHARS_MAX:
            return None
        said = await self._line.ask(command(b"GET", self._keys.owner_of_id(entry_id)), tag_of(entry_id))
        return said.decode(errors="replace") if isinstance(said, bytes) else None

    def _write(self, owner: str, counts: Mapping[str, Counts]) -> None:
        listed = list(counts.items())
        for start in range(0, len(listed), NOTED_AT_ONCE):
            arguments = [b"%d" % self._now_ms]
            for entry_id, numbers in listed[start : start + NOTED_AT_ONCE]:
                arguments += [entry_id.encode(), *(b"%d" % number for number in numbers)]
            self._line.tell(self._call(owner, SCRIPTS.note, arguments), tag_of(owner), SCRIPTS.note)

    def _forget(self, owner: str, gone: Sequence[bytes], but: str | None = None) -> None:
        """Of what went: its vectors, and whose it was, unless it is `but`, which is there again."""
        by_shelf: dict[str, list[str]] = {}
        for at in range(0, len(gone), 2):
            entry_id = gone[at].decode(errors="replace")
            if gone[at + 1]:
                by_shelf.setdefault(gone[at + 1].decode(errors="replace"), []).append(entry_id)
            if entry_id != but:
                self._line.tell(command(b"DEL", self._keys.owner_of_id(entry_id)), tag_of(entry_id))
        for name, entry_ids in by_shelf.items():
            self._vectors.remove(Shelf(owner, name), entry_ids)

    def _refuse(self) -> None:
        if not self.refused:
            log.warning("an answer in Redis is not what its key says, and is not served: somebody else writes there")
        self.refused += 1

    def _not_kept(self, said: object) -> None:
        if not self.unkept:
            log.warning("an answer was not kept: %s", said if isinstance(said, Exception) else "Redis said nothing")
        self.unkept += 1

    async def _ask(self, owner: str, script: Script, arguments: Sequence[bytes]) -> object:
        return await self._line.ask(self._call(owner, script, arguments), tag_of(owner), script)

    def _call(self, owner: str, script: Script, arguments: Sequence[bytes]) -> bytes:
        return call(script, (self._keys.known(owner),), arguments)
