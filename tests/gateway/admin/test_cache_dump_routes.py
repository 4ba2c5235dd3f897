from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np
import pytest

from gateway.admin.answers import Unavailable
from gateway.admin.cache_dump_routes import CacheDumpRoutes
from gateway.admin.cache_routes import CACHE
from gateway.admin.cache_shapes import CachePart, CacheToImport
from gateway.admin.gate import ALL
from gateway.admin.routes import Asked, Operator
from gateway.caching.curves import Curves
from gateway.errors import RequestError
from gateway.signals.cache_metrics import CacheMetrics, RouteStanding
from gateway.signals.metrics import Registry
from gateway.state.answers.store import Entry, Kept, Record
from tests.gateway.admin.cached_answers import StillStore, an_entry

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector
    from gateway.server import Inbound
    from gateway.state.answers.store import AnswerStore

NOBODY: Any = cast("Inbound", None)
DIGEST = bytes(range(32))


class Home(NamedTuple):
    store: AnswerStore
    metrics: CacheMetrics
    kind: str = "memory"

    @property
    def curves(self) -> Curves:
        return Curves(self.store)

    def standings(self) -> list[RouteStanding]:
        return []


class TakingStore(StillStore):
    """One that keeps, too."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__(*entries)
        self.vectors: dict[str, Vector | None] = {}

    async def keep(self, entry: Entry, vector: Vector | None) -> None:
        self.kept[entry.id] = Kept(entry, Record())
        self.vectors[entry.id] = vector

    def note(self, kept: Kept, *, hits: int = 0, good: int = 0, bad: int = 0) -> None:
        self.kept[kept.entry.id] = Kept(kept.entry, Record(hits, good, bad))


def an_answer(number: int) -> Entry:
    return an_entry(f"ce_{number:04}", scope=DIGEST, exact=DIGEST[:-1] + bytes([number]), near=b"")


async def ask(store: StillStore | None, what: str, query: Any = None, body: Any = None) -> Any:
    home = None if store is None else Home(store.as_store, CacheMetrics(Registry()))
    table = {route.path.removeprefix(CACHE): route for route in CacheDumpRoutes(lambda: home, lambda: 2000.0).routes()}
    answer = await table[what].respond(Asked(NOBODY, Operator("op", ALL), {}, query, body))
    return msgspec.json.decode(answer.body)


async def test_what_is_exported_in_parts_is_taken_over_whole() -> None:
    store, other = TakingStore(*map(an_answer, range(40))), TakingStore()
    parts = [await ask(store, "/export", CachePart(part=part, parts=3)) for part in range(3)]
    assert all(len(part["lines"]) > 3 for part in parts)
    for part in parts:
        told = await ask(other, "/import", body=CacheToImport(heading=part["heading"], lines=part["lines"]))
        assert told == {"kept": len(part["lines"]), "refused": []}
    assert other.kept == store.kept


async def test_vectors_come_along() -> None:
    vector = np.zeros(384, np.float32)
    vector[7] = 1.0
    store, other = TakingStore(), TakingStore()

    async def entries(_: object = None) -> Any:
        yield Kept(an_answer(1), Record()), vector

    store.entries = entries  # type: ignore[method-assign,assignment]
    told = await ask(store, "/export", CachePart())
    await ask(other, "/import", body=CacheToImport(heading=told["heading"], lines=told["lines"]))
    taken = other.vectors["ce_0001"]
    assert taken is not None
    assert np.allclose(taken, vector)


async def test_lines_that_are_no_entries_are_refused_with_their_numbers_and_the_others_taken() -> None:
    store, other = (
        TakingStore(an_answer(1), an_entry("ce_2", scope=DIGEST, exact=DIGEST, expires_at_s=1999.0)),
        TakingStore(),
    )
    told = await ask(store, "/export", CachePart())
    fresh, stale = sorted(told["lines"], key=lambda line: "ce_2" in line)
    lines = ["{}", fresh, stale, "", '{"id": "\n"}', "[" * 5000]
    found = await ask(other, "/import", body=CacheToImport(heading=told["heading"], lines=lines))
    assert found["kept"] == 1
    assert [(one["line"], one["why"]) for one in found["refused"]][1:3] == [(3, "it has expired"), (4, "it is empty")]
    assert [one["line"] for one in found["refused"]] == [1, 3, 4, 5, 6]
    assert list(other.kept) == ["ce_0001"]


@pytest.mark.parametrize("heading", ["", "{}", '{"pointsman_cache": 99}', "nonsense"])
async def test_another_file_is_refused(heading: str) -> None:
    with pytest.raises(RequestError, match="heading"):
        await ask(TakingStore(), "/import", body=CacheToImport(heading=heading, lines=[]))


async def test_there_are_as_many_parts_as_were_asked_for() -> None:
    with pytest.raises(RequestError, match="no such part"):
        await ask(TakingStore(), "/export", CachePart(part=2, parts=2))


async def test_where_no_route_has_a_cache_nothing_is_kept() -> None:
    assert (await ask(None, "/export", CachePart()))["lines"] == []
    with pytest.raises(RequestError, match="has a cache"):
        await ask(None, "/import", body=CacheToImport(heading="{}", lines=[]))


async def test_a_store_that_is_away_is_told() -> None:
    store = TakingStore()
    store.is_away = True
    with pytest.raises(Unavailable):
        await ask(store, "/export", CachePart())
