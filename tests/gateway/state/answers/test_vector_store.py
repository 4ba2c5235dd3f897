from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from gateway.state.answers.store import Kept, Place, Record
from gateway.state.answers.vector_store import Near, Shelf, looked_up, place_of, shelf_of
from tests.answer_store_suite import Asked, direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector

ENTRY = Asked().entry(1000.0)
PLACE = place_of(ENTRY)


class Listed:
    """An index that is sure of what it has: these, best first."""

    def __init__(self, *entry_ids: str) -> None:
        self.entry_ids = list(entry_ids)
        self.removed: list[str] = []
        self.asked = 0

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        raise NotImplementedError

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        assert shelf == shelf_of(PLACE)
        self.removed += entry_ids

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        assert shelf == shelf_of(PLACE)
        assert len(vector) > 0
        self.asked += 1
        return [Near(name, 1.0 - 0.1 * at) for at, name in enumerate(self.entry_ids)][:count]

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        raise NotImplementedError

    async def count(self) -> int | None:
        return len(self.entry_ids)

    async def settled(self) -> None:
        return

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


class Answers:
    """Entries by id; those that are not named do not exist."""

    def __init__(self, **places: Place) -> None:
        self.places = places

    async def fetch(self, entry_ids: Sequence[str]) -> list[Kept | None]:
        return [self._kept(name) for name in entry_ids]

    def _kept(self, name: str) -> Kept | None:
        place = self.places.get(name)
        if place is None:
            return None
        entry = Asked(owner=place.owner).entry(1000.0, name)
        return Kept(structs.replace(entry, scope=place.scope, embedder=place.embedder), Record())


async def names(index: Listed, answers: Answers, count: int) -> list[str]:
    found = await looked_up(index, PLACE, direction(1), count, answers.fetch)
    return [one.kept.entry.id for one in found]


async def test_the_nearest_are_looked_up_once_where_all_are_there() -> None:
    index = Listed("a", "b", "c")
    assert await names(index, Answers(a=PLACE, b=PLACE, c=PLACE), 2) == ["a", "b"]
    assert (index.asked, index.removed) == (1, [])


async def test_what_is_gone_takes_nobody_s_place() -> None:
    index = Listed("gone", "gone too", "a", "b", "c")
    assert await names(index, Answers(a=PLACE, b=PLACE, c=PLACE), 2) == ["a", "b"]
    assert sorted(index.removed) == ["gone", "gone too"]


async def test_an_index_of_nothing_but_what_is_gone_is_given_up() -> None:
    index = Listed(*(f"gone {number}" for number in range(100)))
    assert await names(index, Answers(), 3) == []
    assert index.asked == 3
    assert len(index.removed) == 9


async def test_an_entry_of_another_place_is_no_neighbour_whatever_the_index_says() -> None:
    others = {
        "owner": PLACE._replace(owner="team:other"),
        "scope": PLACE._replace(scope=b"o" * 32),
        "embedder": PLACE._replace(embedder="other"),
    }
    index = Listed("owner", "scope", "embedder", "a")
    assert await names(index, Answers(a=PLACE, **others), 4) == ["a"]
    assert sorted(index.removed) == ["embedder", "owner", "scope"]


def test_places_have_shelves_of_their_own() -> None:
    """Also where an embedder's name and a scope, put together, read the same."""
    places = [
        PLACE,
        PLACE._replace(scope=b"o" * 32),
        PLACE._replace(embedder="other"),
        PLACE._replace(embedder="a", scope=b"b" * 32),
        PLACE._replace(embedder="ab", scope=b"b" * 31),
    ]
    assert len({shelf_of(place) for place in places}) == 5
    assert shelf_of(PLACE) == shelf_of(Place(*PLACE))
    assert shelf_of(PLACE).owner == PLACE.owner
