"""Entries in memory, found by owner and digest, by id, route and tag, and let go of by expiry and by value.

Every operation takes O(log n) at most, spread over many. Nothing here waits: the event loop alone may use it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.state.answers.store import Entry, Record, Used
from policies.cache_eviction import rank, saved_nanousd

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gateway.state.answers.store import Which
    from policies.cache_eviction import Bounds

NO_RECORD: Final = Record()
GONE: Final = Entry("", "", "", b"", b"", b"", "", "", b"", False, (), "", "", Used(), 0.0, 0.0)
"""Stands in for an entry that is gone, since a row may hold on to its place for a while."""
SWEPT_PER_PUT: Final = 8
_GONE_ALLOWED: Final = 64


class Shelved(msgspec.Struct, gc=False, eq=False):
    """An entry in its place. `number` is its own for as long as the shelves stand; the store `has_vector` of it.

    Out of the garbage collector's sight, as entries are: nothing in them can lead back to them, and walking a hundred
    thousand would hold up the event loop for longer than most calls take.
    """

    number: int
    entry: Entry
    record: Record
    size_bytes: int
    rank: float = 0.0
    has_vector: bool = False
    is_gone: bool = False


class Row:
    """Shelved entries in a row whose first is known. A key may only grow, which is made good when it comes first."""

    def __init__(self, key: Callable[[Shelved], float]) -> None:
        self._key = key
        self._heap: list[tuple[float, int, Shelved]] = []
        self._gone = 0

    def put(self, one: Shelved) -> None:
        heappush(self._heap, (self._key(one), one.number, one))

    def first(self) -> Shelved | None:
        heap = self._heap
        while heap:
            key, _, one = heap[0]
            if one.is_gone:
                heappop(heap)
                self._gone -= 1
            elif key < self._key(one):
                heapreplace(heap, (self._key(one), one.number, one))
            else:
                return one
        return None

    def forget(self) -> None:
        """One that is in it is gone. What is gone is let go of when it has become half of all."""
        self._gone += 1
        if self._gone > len(self._heap) // 2 + _GONE_ALLOWED:
            self._heap = [held for held in self._heap if not held[2].is_gone]
            heapify(self._heap)
            self._gone = 0


class Holding:
    """What one owner has."""

    __slots__ = ("by_exact", "by_near", "ranking", "size_bytes")

    def __init__(self) -> None:
        self.by_exact: dict[bytes, Shelved] = {}
        self.by_near: dict[bytes, Shelved] = {}
        self.ranking = Row(_rank_of)
        self.size_bytes = 0


class Shelves:
    """All entries within `bounds`; `on_gone` hears of each that is not there any more."""

    def __init__(self, bounds: Bounds, on_gone: Callable[[Shelved], None]) -> None:
        self.bounds = bounds
        self.size_bytes = self.evicted = self.expired = 0
        self.by_id: dict[str, Shelved] = {}
        self._on_gone = on_gone
        self._age = 0.0
        self._numbered = 0
        self._by_owner: dict[str, Holding] = {}
        self._by_route: dict[str, set[Shelved]] = {}
        self._by_tag: dict[str, set[Shelved]] = {}
        self._greedy: dict[str, Holding] = {}
        self._ranking = Row(_rank_of)
        self._by_expiry = Row(_expiry_of)

    def __len__(self) -> int:
        return len(self.by_id)

    def by_digest(self, owner: str, exact: bytes, near: bytes) -> Shelved | None:
        """By the whole request, else by its plain form."""
        held = self._by_owner.get(owner)
        if held is None:
            return None
        return held.by_exact.get(exact) or (held.by_near.get(near) if near else None)

    def put(self, entry: Entry, record: Record, now_s: float, *, vector_bytes: int = 0) -> Shelved | None:
        """In the place of what has its digest or its id. None where it is too large or worth less than all others, or
        another owner's has its id.
        """
        self.sweep(now_s, SWEPT_PER_PUT)
        self._numbered += 1
        one = Shelved(self._numbered, entry, record, entry.size_bytes + vector_bytes)
        if one.size_bytes > self.bounds.entry_bytes_max:
            return None
        namesake = self.by_id.get(entry.id)
        if namesake is not None and namesake.entry.owner != entry.owner:
            return None
        for older in (namesake, self.by_digest(entry.owner, entry.exact, b"")):
            if older is not None and not older.is_gone:
                self.remove(older)
        self._shelve(one)
        self._make_room(entry.owner, now_s)
        return None if one.is_gone else one

    def add(self, one: Shelved, record: Record) -> None:
        """More became of it: what was served again is worth more."""
        one.record = Record(one.record.hits + record.hits, one.record.good + record.good, one.record.bad + record.bad)
        if record.hits:
            one.rank = max(one.rank, self._rank(one))

    def remove(self, one: Shelved) -> None:
        entry = one.entry
        one.is_gone = True
        held = self._by_owner[entry.owner]
        del self.by_id[entry.id], held.by_exact[entry.exact]
        if held.by_near.get(entry.near) is one:
            del held.by_near[entry.near]
        _take_out(self._by_route, entry.route, one)
        for tag in entry.tags:
            _take_out(self._by_tag, tag, one)
        self.size_bytes -= one.size_bytes
        held.size_bytes -= one.size_bytes
        for row in (held.ranking, self._ranking, self._by_expiry):
            row.forget()
        self._weigh(entry.owner, held)
        self._on_gone(one)
        one.entry = GONE

    def expire(self, one: Shelved) -> None:
        self.expired += 1
        self.remove(one)

    def sweep(self, now_s: float, most: int) -> int:
        """Let go of up to so many that have expired; how many those were."""
        for swept in range(most):
            one = self._by_expiry.first()
            if one is None or one.entry.expires_at_s > now_s:
                return swept
            self.expire(one)
        return most

    def matching(self, which: Which | None) -> Iterator[Shelved]:
        """Those that are there now, in no order; they may go while they are looked at."""
        found: Collection[Shelved] = self.by_id.values()
        if which is None:
            return iter(list(found))
        if which.id is not None:
            one = self.by_id.get(which.id)
            found = () if one is None else (one,)
        elif which.tag is not None:
            found = self._by_tag.get(which.tag, ())
        elif which.owner is not None:
            held = self._by_owner.get(which.owner)
            found = () if held is None else held.by_exact.values()
        elif which.route is not None:
            found = self._by_route.get(which.route, ())
        return iter([one for one in found if is_meant(one.entry, which)])

    def _shelve(self, one: Shelved) -> None:
        entry = one.entry
        held = self._by_owner.setdefault(entry.owner, Holding())
        one.rank = self._rank(one)
        self.by_id[entry.id] = held.by_exact[entry.exact] = one
        if entry.near:
            namesake = held.by_near.get(entry.near)
            if namesake is None or namesake.entry.stored_at_s <= entry.stored_at_s:
                held.by_near[entry.near] = one
        self._by_route.setdefault(entry.route, set()).add(one)
        for tag in entry.tags:
            self._by_tag.setdefault(tag, set()).add(one)
        self.size_bytes += one.size_bytes
        held.size_bytes += one.size_bytes
        for row in (held.ranking, self._ranking, self._by_expiry):
            row.put(one)
        self._weigh(entry.owner, held)

    def _make_room(self, owner: str, now_s: float) -> None:
        while self.bounds.are_exceeded(len(self.by_id), self.size_bytes):
            if self.sweep(now_s, 1):
                continue
            held = self._greedy.get(owner) or next(iter(self._greedy.values()), None)
            one = (self._ranking if held is None else held.ranking).first()
            if one is None:  # cannot be: what is held is in both rows
                return
            self._age = max(self._age, one.rank)
            self.evicted += 1
            self.remove(one)

    def _weigh(self, owner: str, held: Holding) -> None:
        if not held.by_exact:
            del self._by_owner[owner]
        if self.bounds.is_greedy(len(held.by_exact), held.size_bytes):
            self._greedy[owner] = held
        else:
            self._greedy.pop(owner, None)

    def _rank(self, one: Shelved) -> float:
        used = one.entry.used
        return rank(self._age, saved_nanousd(used.cost_nanousd, used.output_tokens), one.record.hits, one.size_bytes)


def is_meant(entry: Entry, which: Which) -> bool:
    return (
        (which.id is None or entry.id == which.id)
        and (which.owner is None or entry.owner == which.owner)
        and (which.route is None or entry.route == which.route)
        and (which.tag is None or which.tag in entry.tags)
        and (which.stored_before_s is None or entry.stored_at_s < which.stored_before_s)
    )


def _rank_of(one: Shelved) -> float:
    return one.rank


def _expiry_of(one: Shelved) -> float:
    return one.entry.expires_at_s


def _take_out(index: dict[str, set[Shelved]], name: str, one: Shelved) -> None:
    found = index.get(name)
    if found is None:
        return  # a tag that stands twice
    found.discard(one)
    if not found:
        del index[name]
