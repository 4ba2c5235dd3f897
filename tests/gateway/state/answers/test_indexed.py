from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.indexed import IndexedAnswers
from gateway.state.answers.store import Which
from gateway.state.answers.vector_store import Near, Shelf, place_of, shelf_of
from tests.answer_store_suite import AnswerStoreSuite, Asked, direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import AnswerStore


class Plain:
    """An index that is a dictionary, and never forgets by itself."""

    def __init__(self) -> None:
        self.there: dict[Shelf, dict[str, Vector]] = {}

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        assert expires_at_s > 0
        self.there.setdefault(shelf, {})[entry_id] = vector

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        for entry_id in entry_ids:
            self.there.get(shelf, {}).pop(entry_id, None)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        found = [Near(name, float(one @ vector)) for name, one in self.there.get(shelf, {}).items()]
        return sorted(found, key=lambda near: -near.similarity)[:count]

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        return self.there.get(shelf, {}).get(entry_id)

    async def count(self) -> int | None:
        return sum(map(len, self.there.values()))

    async def settled(self) -> None:
        return

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


class Rig:
    has_vectors = True

    def __init__(self) -> None:
        self.now_s = time.time()
        self.index = Plain()
        store = InProcessAnswers(clock=lambda: self.now_s)
        self.stores: Sequence[AnswerStore] = [IndexedAnswers(store, self.index)]

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    async def arrived(self) -> None:
        return


class TestIndexed(AnswerStoreSuite):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig()


async def test_what_was_dropped_leaves_the_index_when_it_is_met() -> None:
    rig = Rig()
    entry = Asked().entry(rig.now_s)
    await rig.stores[0].keep(entry, direction(1))
    assert (await rig.stores[0].stock()).vectors == 1
    await rig.stores[0].drop(Which(id="ce_1"))
    assert list(await rig.stores[0].nearest(place_of(entry), direction(1), 3)) == []
    assert rig.index.there == {shelf_of(place_of(entry)): {}}
