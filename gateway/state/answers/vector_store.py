"""Where vectors can be kept beside the entries they belong to: a database's index in place of a store's own.

Such an index is believed in nothing but who may be near: what it names is looked up in the store of entries, and is
checked there. So what it still has of an entry that is gone does no harm, and is told to it as it is met.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.state.answers.store import Neighbour, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Entry, Kept

ROUNDS: Final = 3
"""How often is asked again where what is near turns out to be gone."""


class Shelf(NamedTuple):
    """Where an index has the vectors of a place. `name` tells it apart among the owner's."""

    owner: str
    name: str


class Near(NamedTuple):
    """An entry's id, and the cosine of its vector with the one that was asked for."""

    entry_id: str
    similarity: float


class Vectors(Protocol):
    """Vectors on shelves, by entry. `add` and `remove` happen soon, in their order, and never raise."""

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        """Takes the place of the entry's last one. What cannot be added is not found."""

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None: ...

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        """The nearest there, best first; they may be gone. Raises `StoreUnavailable`."""

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        """About what was added, for exports. Raises `StoreUnavailable`."""

    async def count(self) -> int | None:
        """How many there are; None where that cannot be told. Raises `StoreUnavailable`."""

    async def settled(self) -> None:
        """Returns when all that was added and removed here so far is so, or has failed."""

    async def start(self) -> None:
        """Raises `StartError` for what the operator must mend. A database that is away is none of that."""

    async def close(self) -> None: ...


def shelf_of(place: Place) -> Shelf:
    embedder = place.embedder.encode()
    text = b"%d:%b%b" % (len(embedder), embedder, place.scope)
    return Shelf(place.owner, hashlib.blake2b(text, digest_size=18).hexdigest())


def place_of(entry: Entry) -> Place:
    return Place(entry.owner, entry.scope, entry.embedder)


async def looked_up(
    vectors: Vectors,
    place: Place,
    vector: Vector,
    count: int,
    fetch: Callable[[Sequence[str]], Awaitable[Sequence[Kept | None]]],
) -> list[Neighbour]:
    """The nearest that `fetch` knows and that are of this place; the index is told of the others. Raises
    `StoreUnavailable`.
    """
    shelf, gone = shelf_of(place), set[str]()
    found: list[Neighbour] = []
    for _ in range(ROUNDS):
        near = await vectors.nearest(shelf, vector, count + len(gone))
        near = [one for one in near if one.entry_id not in gone][:count]
        fetched = await fetch([one.entry_id for one in near])
        found = [
            Neighbour(kept, one.similarity)
            for one, kept in zip(near, fetched, strict=True)
            if kept is not None and place_of(kept.entry) == place
        ]
        if len(found) == len(near):
            break
        missing = {one.entry_id for one in near} - {neighbour.kept.entry.id for neighbour in found}
        vectors.remove(shelf, sorted(missing))
        gone |= missing
    return found
