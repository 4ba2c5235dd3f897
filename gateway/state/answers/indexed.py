"""Any store of answers with its vectors in a database instead of an index of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.state.answers.vector_store import looked_up, place_of, shelf_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.drops import Drops
    from gateway.state.answers.store import AnswerStore, Entry, Kept, Neighbour, Place, Stock, Which
    from gateway.state.answers.vector_store import Vectors


class IndexedAnswers:
    """An `AnswerStore`. What the index still has of entries that are gone is told to it as it is met."""

    def __init__(self, store: AnswerStore, vectors: Vectors) -> None:
        self._store = store
        self._vectors = vectors

    @property
    def drops(self) -> Drops:
        return self._store.drops

    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:
        return await self._store.find(owner, exact, near)

    async def nearest(self, place: Place, vector: Vector, count: int) -> Sequence[Neighbour]:
        async def fetch(entry_ids: Sequence[str]) -> list[Kept | None]:
            return [await self._store.get(entry_id) for entry_id in entry_ids]

        return await looked_up(self._vectors, place, vector, count, fetch)

    async def keep(self, entry: Entry, vector: Vector | None) -> None:
        await self._store.keep(entry, None)
        if vector is not None:
            self._vectors.add(shelf_of(place_of(entry)), entry.id, vector, entry.expires_at_s)

    def note(self, kept: Kept, *, hits: int = 0, good: int = 0, bad: int = 0) -> None:
        self._store.note(kept, hits=hits, good=good, bad=bad)

    async def get(self, entry_id: str) -> Kept | None:
        return await self._store.get(entry_id)

    async def drop(self, which: Which) -> int:
        return await self._store.drop(which)

    async def entries(self, which: Which | None = None) -> AsyncIterator[tuple[Kept, Vector | None]]:
        async for kept, _ in self._store.entries(which):
            has_vector = bool(kept.entry.embedder)
            shelf = shelf_of(place_of(kept.entry))
            yield kept, await self._vectors.vector_of(shelf, kept.entry.id) if has_vector else None

    async def stock(self) -> Stock:
        return (await self._store.stock())._replace(vectors=await self._vectors.count())

    async def remember(self, name: str, state: bytes) -> None:
        await self._store.remember(name, state)

    async def recall(self, name: str) -> bytes | None:
        return await self._store.recall(name)

    async def start(self) -> None:
        await self._store.start()
        await self._vectors.start()

    async def close(self) -> None:
        await self._vectors.close()
        await self._store.close()
