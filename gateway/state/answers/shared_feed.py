"""An index in this process of vectors that the fleet shares, fed by a stream on Redis: for a Redis without vector sets.

A vector lies on Redis with its entry, and the stream says whose entries came and went. A gateway that starts, or that
was away for longer than the stream reaches back, goes through all entries. What the index has of entries that are gone
is found out as they are looked up.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from redis.exceptions import RedisError

from gateway.state.answers.scripts import FLEET_TAG, SCRIPTS
from gateway.state.answers.store import Place, StoreUnavailable, Which
from gateway.state.answers.vector_bytes import from_bytes, to_bytes
from gateway.state.answers.vector_store import Near, Shelf
from gateway.state.answers.vectors import VectorIndex
from gateway.state.answers.walking import Walker
from gateway.state.limits import store as limits_store
from gateway.state.redis.dialing import asked
from gateway.state.redis.scripts import call, command, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.line import Line
    from gateway.state.answers.scripts import Keys
    from gateway.state.redis.dialing import Dialer, Timings

log = logging.getLogger(__name__)

FEED_MAX: Final = b"10000"
FEED_TTL_MS: Final = b"%d" % (7 * 86_400_000)
AT_ONCE: Final = 200
BLOCK_S: Final = 5.0
NEVER: Final = (0, 0)

Position = tuple[int, int]
Known = tuple[int, int, int, str, str, str, str, tuple[str, ...]]
_decode_known: Final = msgspec.msgpack.Decoder(Known).decode


class _Held(NamedTuple):
    place: Place
    entry_id: str


class _Event(NamedTuple):
    position: Position
    came: bool
    owner: str
    shelf: str
    entry_ids: list[str]


class FedVectors:
    """`Vectors` in this process. `line` is for what is asked and told; the stream has a connection of its own."""

    def __init__(self, line: Line, dialer: Dialer, timings: Timings, keys: Keys, clock: Callable[[], float]) -> None:
        self._line = line
        self._dialer = dialer
        self._timings = timings
        self._keys = keys
        self._clock = clock
        self._index: VectorIndex[str] = VectorIndex()
        self._ends_of: dict[_Held, float] = {}
        self._ends: list[tuple[float, _Held]] = []
        self._position: Position = NEVER
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self.rescans = 0

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        self._put(shelf, entry_id, vector, expires_at_s)
        arguments = (entry_id.encode(), to_bytes(vector))
        packed = call(SCRIPTS.vector, (self._keys.known(shelf.owner),), arguments)

        def heard(said: object) -> None:
            if said == 1:
                self._publish(shelf, [entry_id], came=True)

        self._line.tell(packed, tag_of(shelf.owner), SCRIPTS.vector, heard)

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        known = [entry_id for entry_id in entry_ids if self._take(shelf, entry_id)]
        if known:
            self._publish(shelf, known, came=False)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        self._expire()
        place = _place(shelf)
        if self._index.takes_long(place):
            found = await asyncio.to_thread(self._index.nearest, place, vector, count)
        else:
            found = self._index.nearest(place, vector, count)
        return [Near(entry_id, cosine) for entry_id, cosine in found]

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        return self._index.vector(_place(shelf), entry_id)

    async def count(self) -> int | None:
        return self._index.count

    async def settled(self) -> None:
        await self._line.settled()

    async def start(self) -> None:
        """Goes through what is there in the background."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="answers-feed")

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        self._index.close()

    async def caught_up(self) -> None:
        """Returns when this index has heard all that the stream says now."""
        said = await self._line.ask(command(b"XREVRANGE", self._keys.feed, b"+", b"-", b"COUNT", b"1"), FLEET_TAG)
        until = _position_of(said[0][0]) if isinstance(said, list) and said else NEVER
        while self._position < until or not self.rescans:
            self._moved.clear()
            await self._moved.wait()

    def _put(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        held = _Held(_place(shelf), entry_id)
        if expires_at_s > self._clock() and self._index.add(held.place, entry_id, vector):
            self._ends_of[held] = expires_at_s
            heapq.heappush(self._ends, (expires_at_s, held))
        self._expire()

    def _take(self, shelf: Shelf, entry_id: str) -> bool:
        place = _place(shelf)
        self._ends_of.pop(_Held(place, entry_id), None)
        return self._index.remove(place, entry_id)

    def _expire(self) -> None:
        now_s = self._clock()
        while self._ends and self._ends[0][0] <= now_s:
            ends_at_s, held = heapq.heappop(self._ends)
            if self._ends_of.get(held) == ends_at_s:
                del self._ends_of[held]
                self._index.remove(held.place, held.entry_id)

    def _publish(self, shelf: Shelf, entry_ids: Sequence[str], *, came: bool) -> None:
        fields = (b"came" if came else b"went", msgspec.msgpack.encode((shelf.owner, shelf.name, entry_ids)))
        packed = command(b"XADD", self._keys.feed, b"MAXLEN", b"~", FEED_MAX, b"*", *fields)
        self._line.tell(packed, FLEET_TAG)
        self._line.tell(command(b"PEXPIRE", self._keys.feed, FEED_TTL_MS), FLEET_TAG)

    async def _follow(self) -> None:
        failures = 0
        while True:
            with contextlib.suppress(RedisError, OSError, StoreUnavailable, limits_store.StoreUnavailable):
                connection = await self._dialer.dial(await self._line.server_of(FLEET_TAG))
                try:
                    await self._begin(connection)
                    failures = 0
                    while True:
                        await self._hear(connection)
                finally:
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
            failures += 1
            await asyncio.sleep(min(self._timings.backoff_s * 2 ** min(failures, 10), self._timings.backoff_max_s))

    async def _begin(self, connection: AbstractConnection) -> None:
        """Goes through all there is, unless the stream still has everything since it was last heard."""
        async with asyncio.timeout(self._timings.connect_s + self._timings.answer_s):
            last = await asked(connection, b"XREVRANGE", self._keys.feed, b"+", b"-", b"COUNT", b"1")
        if self.rescans and not await self._has_gap(connection):
            return
        until = _position_of(last[0][0]) if last else NEVER
        await self._rescan()
        self._move_to(until)
        self.rescans += 1

    async def _has_gap(self, connection: AbstractConnection) -> bool:
        async with asyncio.timeout(self._timings.connect_s + self._timings.answer_s):
            first = await asked(connection, b"XRANGE", self._keys.feed, b"-", b"+", b"COUNT", b"1")
        return not first or _position_of(first[0][0]) > self._position

    async def _rescan(self) -> None:
        def forget(owner: str, gone: Sequence[bytes]) -> None:
            for at in range(0, len(gone), 2):
                self._take(Shelf(owner, gone[at + 1].decode(errors="replace")), gone[at].decode(errors="replace"))

        walker = Walker(self._line, self._keys, self._clock, forget)
        for owner in await walker.owners():
            async for met in walker.steps(owner, Which(), drops=False):
                await self._learn(owner, met)

    async def _hear(self, connection: AbstractConnection) -> None:
        since = b"%d-%d" % self._position
        block = b"%d" % int(BLOCK_S * 1000)
        words = (b"XREAD", b"COUNT", b"%d" % AT_ONCE, b"BLOCK", block, b"STREAMS", self._keys.feed, since)
        await connection.send_packed_command(command(*words), check_health=False)
        said = await connection.read_response(timeout=BLOCK_S + self._timings.connect_s, disconnect_on_error=False)
        if not said:
            return
        rows = said[0][1]
        if len(rows) == AT_ONCE and await self._has_gap(connection):  # the stream ran away from here
            await self._rescan()
            self.rescans += 1
        for row in rows:
            event = _event_in(row)
            if event is not None:
                await self._apply(event)
        self._move_to(_position_of(rows[-1][0]))

    async def _apply(self, event: _Event) -> None:
        shelf = Shelf(event.owner, event.shelf)
        if event.came:
            place = _place(shelf)
            await self._learn(event.owner, [one for one in event.entry_ids if _Held(place, one) not in self._ends_of])
        else:
            for entry_id in event.entry_ids:
                self._take(shelf, entry_id)

    async def _learn(self, owner: str, entry_ids: Sequence[str]) -> None:
        """What Redis has of these is what counts, not who said so."""
        for ids in _sliced(entry_ids):
            packed = call(SCRIPTS.vectors, (self._keys.known(owner),), [one.encode() for one in ids])
            said = await self._line.ask(packed, tag_of(owner), SCRIPTS.vectors)
            if not isinstance(said, list) or len(said) != len(ids):
                raise StoreUnavailable("Redis answered what was not asked")
            for entry_id, one in zip(ids, said, strict=True):
                self._learn_one(owner, entry_id, one)

    def _learn_one(self, owner: str, entry_id: str, said: Any) -> None:  # noqa: ANN401 - an answer as it came
        with contextlib.suppress(ValueError, TypeError, msgspec.MsgspecError):
            data, packed = said
            known, vector = _decode_known(packed), from_bytes(data)
            if vector is not None and known[5]:
                self._put(Shelf(owner, known[5]), entry_id, vector, known[2] / 1000)

    def _move_to(self, position: Position) -> None:
        self._position = position
        self._moved.set()


def _place(shelf: Shelf) -> Place:
    return Place(shelf.owner, shelf.name.encode(), "")


def _sliced(entry_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (entry_ids[at : at + AT_ONCE] for at in range(0, len(entry_ids), AT_ONCE))


def _position_of(text: bytes) -> Position:
    """Raises ValueError."""
    time_ms, _, number = text.partition(b"-")
    return int(time_ms), int(number)


def _event_in(row: Any) -> _Event | None:  # noqa: ANN401 - an answer as it came
    """None for what no gateway wrote."""
    try:
        position, (kind, packed) = row
        owner, shelf, entry_ids = msgspec.msgpack.decode(packed, type=tuple[str, str, list[str]])
        return _Event(_position_of(position), kind == b"came", owner, shelf, entry_ids)
    except (ValueError, TypeError, msgspec.MsgspecError):
        return None
