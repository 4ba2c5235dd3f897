"""What every store of answers must do, whatever keeps them: `AnswerStoreSuite` is collected by a test class for each.

An `AnswerRig` makes gateways over one state: one in process, two on a shared one. Vectors need numpy; where a store has
no index of them, `has_vectors` says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest

from gateway.state.answers.store import Entry, Kept, Place, Record, Used, Which
from policies.cache_rules import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import AnswerStore

DIMENSIONS = 384
TTL_S = 60.0
EMBEDDER = "minilm-test"
OWNER = "team:acme/search"
OTHER = "team:acme/sales"


class AnswerRig(Protocol):
    """`now_s` is what the stores take for the time, in Unix seconds."""

    stores: Sequence[AnswerStore]
    has_vectors: bool

    @property
    def now_s(self) -> float: ...

    async def pass_time(self, seconds: float) -> None: ...

    async def arrived(self) -> None:
        """Returns when all that was kept, noted and dropped so far is known to every store."""


def digest(text: str) -> bytes:
    return text.encode().ljust(32, b".")


class Asked:
    """A request and its answer, from which entries are made: what is not said is usual."""

    def __init__(self, question: str = "how do I log in", scope: str = "s", owner: str = OWNER) -> None:
        self.owner = owner
        self.scope = digest(scope)
        self.exact = digest(f"{scope}/{question}")
        self.near = digest(f"{scope}~{question.lower().strip(' ?')}")
        self.question = question
        self.place = Place(owner, self.scope, EMBEDDER)

    def entry(self, now_s: float, entry_id: str = "ce_1", *, route: str = "faq", tags: tuple[str, ...] = ()) -> Entry:
        return Entry(
            entry_id, self.owner, route, self.scope, self.exact, self.near, self.question, "/v1/chat/completions",
            f'{{"id":"{entry_id}"}}'.encode(), False, (("x-served-by", "one"), ("x-é", "ü")), "gpt-4o", "gpt-4o-eu",
            Used(10, 20, 3, 4, 5_000), now_s, now_s + TTL_S, tags, "req_1", EMBEDDER,
        )  # fmt: skip


def direction(seed: int) -> Vector:
    """One of many that are all nearly at right angles."""
    import numpy as np  # noqa: PLC0415 - an extra: the suite skips what needs it

    found = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def beside(vector: Vector, cosine: float, seed: int = 99) -> Vector:
    """A vector of length one whose cosine with `vector` is the one given."""
    import numpy as np  # noqa: PLC0415 - an extra: the suite skips what needs it

    away = direction(seed)
    away = away - vector * float(vector @ away)
    found = vector * cosine + away / np.linalg.norm(away) * (1.0 - cosine**2) ** 0.5
    return np.asarray(found, np.float32)


async def listed(store: AnswerStore, which: Which | None = None) -> dict[str, Kept]:
    return {kept.entry.id: kept async for kept, _ in store.entries(which)}


class AnswerStoreSuite:
    async def test_what_is_kept_is_found_as_it_was(self, rig: AnswerRig) -> None:
        asked = Asked()
        plain = asked.entry(rig.now_s)
        events = msgspec.structs.replace(
            Asked("stream it").entry(rig.now_s, "ce_2"), is_events=True, body=bytes(range(256)) * 40,
            used=Used(1, 2), near=b"", question="", tags=("a", "é b"), embedder="",
        )  # fmt: skip
        for entry in (plain, events):
            await rig.stores[0].keep(entry, None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, plain.exact, b"") == Kept(plain, Record(), Level.EXACT)
            assert await store.find(OWNER, events.exact, b"") == Kept(events, Record(), Level.EXACT)

    async def test_what_was_never_kept_is_not_found(self, rig: AnswerRig) -> None:
        asked = Asked()
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, asked.near) is None
            assert await store.get("ce_1") is None
            assert await listed(store) == {}

    async def test_the_plain_form_finds_where_the_whole_request_does_not(self, rig: AnswerRig) -> None:
        entry = Asked("How do I log in?").entry(rig.now_s)
        asked = Asked("how do I log in")
        await rig.stores[0].keep(entry, None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, b"") is None
            assert await store.find(OWNER, asked.exact, Asked("another").near) is None
            assert await store.find(OWNER, asked.exact, entry.near) == Kept(entry, Record(), Level.NEAR)

    async def test_an_empty_plain_form_is_nobody_s(self, rig: AnswerRig) -> None:
        entry = msgspec.structs.replace(Asked("a").entry(rig.now_s), near=b"")
        await rig.stores[0].keep(entry, None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, Asked("b").exact, b"") is None

    async def test_the_whole_request_goes_before_its_plain_form(self, rig: AnswerRig) -> None:
        exact, other = Asked("log in"), Asked("Log in?")
        assert exact.near == other.near
        await rig.stores[0].keep(exact.entry(rig.now_s, "ce_exact"), None)
        await rig.stores[0].keep(other.entry(rig.now_s, "ce_other"), None)
        await rig.arrived()
        for store in rig.stores:
            for asked, entry_id in ((exact, "ce_exact"), (other, "ce_other")):
                found = await store.find(OWNER, asked.exact, asked.near)
                assert found is not None
                assert (found.entry.id, found.level) == (entry_id, Level.EXACT)

    async def test_no_owner_finds_another_s(self, rig: AnswerRig) -> None:
        mine, theirs = Asked(), Asked(owner=OTHER)
        await rig.stores[0].keep(mine.entry(rig.now_s, "ce_mine"), None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OTHER, mine.exact, mine.near) is None
        await rig.stores[-1].keep(theirs.entry(rig.now_s, "ce_theirs"), None)
        await rig.arrived()
        for store in rig.stores:
            for owner, entry_id in ((OWNER, "ce_mine"), (OTHER, "ce_theirs")):
                found = await store.find(owner, mine.exact, b"")
                assert found is not None
                assert found.entry.id == entry_id

    async def test_a_newer_answer_takes_the_place_of_an_older(self, rig: AnswerRig) -> None:
        asked = Asked()
        older = asked.entry(rig.now_s, "ce_old", tags=("old",))
        newer = asked.entry(rig.now_s, "ce_new", route="other")
        await rig.stores[0].keep(older, None)
        await rig.arrived()
        await rig.stores[-1].keep(newer, None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, b"") == Kept(newer, Record(), Level.EXACT)
            assert await store.find(OWNER, b"?" * 32, asked.near) == Kept(newer, Record(), Level.NEAR)
            assert await store.get("ce_old") is None
            assert set(await listed(store)) == {"ce_new"}

    async def test_what_has_expired_is_never_found(self, rig: AnswerRig) -> None:
        asked, later = Asked("a"), Asked("b")
        await rig.stores[0].keep(asked.entry(rig.now_s, "ce_a", tags=("t",)), None)
        await rig.pass_time(TTL_S / 2)
        await rig.stores[0].keep(later.entry(rig.now_s, "ce_b", tags=("t",)), None)
        await rig.arrived()
        assert set(await listed(rig.stores[-1])) == {"ce_a", "ce_b"}
        await rig.pass_time(TTL_S / 2 + 2.0)
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, asked.near) is None
            assert await store.get("ce_a") is None
            assert set(await listed(store, Which(tag="t"))) == {"ce_b"}
        assert await rig.stores[0].drop(Which(tag="t")) == 1

    async def test_what_has_expired_already_is_not_kept(self, rig: AnswerRig) -> None:
        asked = Asked()
        await rig.stores[0].keep(asked.entry(rig.now_s - 2 * TTL_S), None)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, asked.near) is None
            assert await listed(store) == {}

    async def test_an_entry_is_got_by_its_id(self, rig: AnswerRig) -> None:
        entry = Asked().entry(rig.now_s)
        await rig.stores[0].keep(entry, None)
        await rig.arrived()
        for store in rig.stores:
            found = await store.get("ce_1")
            assert found is not None
            assert found.entry == entry
            assert await store.get("ce_2") is None

    async def test_what_becomes_of_answers_adds_up(self, rig: AnswerRig) -> None:
        asked = Asked()
        await rig.stores[0].keep(asked.entry(rig.now_s), None)
        await rig.arrived()
        for store in rig.stores:
            found = await store.find(OWNER, asked.exact, b"")
            assert found is not None
            store.note(found, hits=2)
            store.note(found, good=1, bad=3)
        await rig.arrived()
        times = len(rig.stores)
        for store in rig.stores:
            found = await store.find(OWNER, asked.exact, b"")
            assert found is not None
            assert found.record == Record(2 * times, times, 3 * times)

    async def test_a_newer_answer_begins_with_a_record_of_its_own(self, rig: AnswerRig) -> None:
        asked = Asked()
        await rig.stores[0].keep(asked.entry(rig.now_s, "ce_old"), None)
        await rig.arrived()
        old = await rig.stores[0].get("ce_old")
        assert old is not None
        await rig.stores[0].keep(asked.entry(rig.now_s, "ce_new"), None)
        await rig.arrived()
        rig.stores[-1].note(old, hits=1, bad=1)
        await rig.arrived()
        for store in rig.stores:
            assert {name: kept.record for name, kept in (await listed(store)).items()} == {"ce_new": Record()}

    async def test_what_is_dropped_is_found_by_nobody(self, rig: AnswerRig) -> None:
        asked = Asked()
        await rig.stores[0].keep(asked.entry(rig.now_s), None)
        await rig.arrived()
        found = await rig.stores[-1].get("ce_1")
        assert found is not None
        assert await rig.stores[-1].drop(Which(id="ce_1")) == 1
        await rig.arrived()
        rig.stores[0].note(found, hits=1)
        await rig.arrived()
        for store in rig.stores:
            assert await store.find(OWNER, asked.exact, asked.near) is None
            assert await store.get("ce_1") is None
            assert await listed(store) == {}
            assert await store.drop(Which(id="ce_1")) == 0

    @pytest.mark.parametrize(
        ("which", "dropped"),
        [
            (Which(id="ce_2"), {"ce_2"}),
            (Which(owner=OWNER), {"ce_1", "ce_2", "ce_3"}),
            (Which(route="faq"), {"ce_1", "ce_4"}),
            (Which(tag="x"), {"ce_2", "ce_4"}),
            (Which(tag="y"), {"ce_2"}),
            (Which(owner=OWNER, tag="x"), {"ce_2"}),
            (Which(owner=OTHER, route="faq", tag="x"), {"ce_4"}),
            (Which(owner=OTHER, id="ce_1"), set()),
            (Which(tag="nowhere"), set()),
            (Which(owner="team:nobody"), set()),
        ],
        ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # workers must agree on names
    )
    async def test_entries_are_listed_and_dropped_together(
        self, rig: AnswerRig, which: Which, dropped: set[str]
    ) -> None:
        entries = [
            Asked("1").entry(rig.now_s, "ce_1"),
            Asked("2").entry(rig.now_s, "ce_2", route="chat", tags=("x", "y")),
            Asked("3").entry(rig.now_s, "ce_3", route="chat"),
            Asked("1", owner=OTHER).entry(rig.now_s, "ce_4", tags=("x",)),
        ]
        for entry in entries:
            await rig.stores[0].keep(entry, None)
        await rig.arrived()
        assert set(await listed(rig.stores[-1], which)) == dropped
        assert await rig.stores[-1].drop(which) == len(dropped)
        await rig.arrived()
        for store in rig.stores:
            assert set(await listed(store)) == {"ce_1", "ce_2", "ce_3", "ce_4"} - dropped

    async def test_what_is_older_is_dropped(self, rig: AnswerRig) -> None:
        await rig.stores[0].keep(Asked("old").entry(rig.now_s, "ce_old"), None)
        await rig.pass_time(10.0)
        await rig.stores[0].keep(Asked("new").entry(rig.now_s, "ce_new"), None)
        await rig.arrived()
        assert await rig.stores[0].drop(Which(stored_before_s=rig.now_s - 5.0)) == 1
        await rig.arrived()
        assert set(await listed(rig.stores[-1])) == {"ce_new"}

    async def test_the_nearest_come_best_first(self, rig: AnswerRig) -> None:
        vector = _vector_of(rig)
        cosines = {"ce_far": 0.55, "ce_near": 0.97, "ce_middle": 0.8}
        for name, cosine in cosines.items():
            await rig.stores[0].keep(Asked(name).entry(rig.now_s, name), beside(vector, cosine, len(name)))
        await rig.stores[0].keep(Asked("none").entry(rig.now_s, "ce_none"), None)
        await rig.arrived()
        for store in rig.stores:
            found = await store.nearest(Asked().place, vector, 10)
            assert [one.kept.entry.id for one in found] == ["ce_near", "ce_middle", "ce_far"]
            for one in found:
                assert one.similarity == pytest.approx(cosines[one.kept.entry.id], abs=0.02)
                assert one.kept.level is None
            assert [one.kept.entry.id for one in await store.nearest(Asked().place, vector, 1)] == ["ce_near"]

    async def test_neighbours_are_of_the_same_owner_scope_and_embedder(self, rig: AnswerRig) -> None:
        vector = _vector_of(rig)
        await rig.stores[0].keep(Asked(owner=OTHER).entry(rig.now_s, "ce_owner"), vector)
        await rig.stores[0].keep(Asked(scope="t").entry(rig.now_s, "ce_scope"), vector)
        other = msgspec.structs.replace(Asked("embedder").entry(rig.now_s, "ce_embedder"), embedder="another")
        await rig.stores[0].keep(other, vector)
        await rig.arrived()
        for store in rig.stores:
            assert list(await store.nearest(Asked().place, vector, 10)) == []
            found = await store.nearest(Asked().place._replace(embedder="another"), vector, 10)
            assert [one.kept.entry for one in found] == [other]

    async def test_what_is_gone_is_no_neighbour(self, rig: AnswerRig) -> None:
        vector = _vector_of(rig)
        await rig.stores[0].keep(Asked("replaced").entry(rig.now_s, "ce_replaced"), vector)
        await rig.stores[0].keep(Asked("dropped").entry(rig.now_s, "ce_dropped"), vector)
        await rig.stores[0].keep(Asked("expired").entry(rig.now_s - TTL_S / 2, "ce_expired"), vector)
        await rig.arrived()
        assert len(await rig.stores[-1].nearest(Asked().place, vector, 10)) == 3
        await rig.stores[0].keep(Asked("replaced").entry(rig.now_s, "ce_newer"), beside(vector, 0.9))
        await rig.stores[-1].drop(Which(id="ce_dropped"))
        await rig.pass_time(TTL_S / 2 + 2.0)
        await rig.arrived()
        for store in rig.stores:
            found = await store.nearest(Asked().place, vector, 10)
            assert [one.kept.entry.id for one in found] == ["ce_newer"]

    async def test_exports_have_the_vectors(self, rig: AnswerRig) -> None:
        vector = _vector_of(rig)
        await rig.stores[0].keep(Asked("with").entry(rig.now_s, "ce_with"), vector)
        await rig.stores[0].keep(Asked("without").entry(rig.now_s, "ce_without"), None)
        await rig.arrived()
        vectors = {kept.entry.id: found async for kept, found in rig.stores[-1].entries()}
        found = vectors["ce_with"]
        assert found is not None
        assert float(found @ vector) == pytest.approx(1.0, abs=0.02)
        assert vectors["ce_without"] is None

    async def test_the_stock_is_counted(self, rig: AnswerRig) -> None:
        for name in ("a", "b"):
            await rig.stores[0].keep(Asked(name).entry(rig.now_s, f"ce_{name}"), None)
        await rig.arrived()
        for store in rig.stores:
            stock = await store.stock()
            assert stock.entries in {2, None}
            assert stock.size_bytes is None or stock.size_bytes > 0
            assert stock.unsent == 0

    async def test_what_was_learnt_is_recalled(self, rig: AnswerRig) -> None:
        await rig.stores[0].remember("faq", b"first")
        await rig.stores[0].remember("chat", bytes(range(256)))
        await rig.stores[0].remember("faq", b"second")
        await rig.arrived()
        assert await rig.stores[0].recall("faq") == b"second"
        assert await rig.stores[0].recall("chat") == bytes(range(256))
        assert await rig.stores[0].recall("none") is None

    async def test_many_at_once_get_what_they_asked_for(self, rig: AnswerRig) -> None:
        asked = [Asked(str(number), owner=f"team:acme/{number % 7}") for number in range(100)]
        await asyncio.gather(
            *(rig.stores[0].keep(one.entry(rig.now_s, f"ce_{number}"), None) for number, one in enumerate(asked))
        )
        await rig.arrived()
        found = await asyncio.gather(*(rig.stores[-1].find(one.owner, one.exact, b"") for one in asked))
        names = [None if one is None else one.entry.id for one in found]
        assert names == [f"ce_{number}" for number in range(100)]


def _vector_of(rig: AnswerRig) -> Vector:
    if not rig.has_vectors:
        pytest.skip("this store has no index of vectors here")
    pytest.importorskip("numpy")
    return direction(1)
