from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.store import Kept, Record, Which
from tests.answer_machine import AnswerMachine
from tests.answer_store_suite import OTHER, OWNER, TTL_S, AnswerStoreSuite, Asked, beside, direction, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.cache_eviction import Bounds


class Rig:
    has_vectors = True

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.now_s = 1_800_000_000.0
        self.store = InProcessAnswers(bounds, lambda: self.now_s)
        self.stores: Sequence[InProcessAnswers] = [self.store]

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    async def arrived(self) -> None: ...


class TestInProcess(AnswerStoreSuite):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig()


TestHistories = AnswerMachine.TestCase


async def test_a_full_place_s_expired_neighbours_do_not_hide_the_others() -> None:
    rig, vector = Rig(), direction(1)
    for number in range(10):
        entry = Asked(str(number)).entry(rig.now_s, f"ce_{number}")
        cosine = 0.9 - number / 100
        ttl_s = 5.0 if number < 8 else 50.0
        entry = msgspec.structs.replace(entry, expires_at_s=rig.now_s + ttl_s)
        await rig.store.keep(entry, beside(vector, cosine, number + 10))
    await rig.pass_time(6.0)
    found = await rig.store.nearest(Asked().place, vector, 2)
    assert [one.kept.entry.id for one in found] == ["ce_8", "ce_9"]
    assert (await rig.store.stock()).expired == 8


async def test_a_place_that_takes_long_is_searched_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, vector = Rig(), direction(1)
    await rig.store.keep(Asked().entry(rig.now_s), vector)
    threads: list[str] = []
    nearest = rig.store._vectors.nearest

    def noted(*asked: Any) -> Any:
        threads.append(threading.current_thread().name)
        found = nearest(*asked)
        for one in list(rig.store._shelves.by_id.values()):
            rig.store._shelves.remove(one)  # while it looked
        return found

    monkeypatch.setattr(rig.store._vectors, "takes_long", lambda _: True)
    monkeypatch.setattr(rig.store._vectors, "nearest", noted)
    assert await rig.store.nearest(Asked().place, vector, 2) == []
    assert len(threads) == 2
    assert threading.main_thread().name not in threads


async def test_a_vector_of_another_length_is_not_kept_but_its_entry_is() -> None:
    rig = Rig()
    await rig.store.keep(Asked("1").entry(rig.now_s, "ce_1"), direction(1))
    await rig.store.keep(Asked("2").entry(rig.now_s, "ce_2"), direction(1)[:8])
    assert set(await listed(rig.store)) == {"ce_1", "ce_2"}
    assert (await rig.store.stock()).vectors == 1


async def test_what_expires_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.in_process.SWEEP_EVERY_S", 0.001)
    monkeypatch.setattr("gateway.state.answers.in_process.SWEPT_AT_ONCE", 5)
    rig = Rig()
    await rig.store.start()
    for number in range(12):
        await rig.store.keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), None)
    await rig.pass_time(TTL_S + 1.0)
    async with asyncio.timeout(5):
        while len(rig.store._shelves):  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)
    stock = await rig.store.stock()
    assert (stock.entries, stock.size_bytes, stock.expired) == (0, 0, 12)
    await rig.store.close()


async def test_what_is_learnt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.in_process.LEARNT_MAX", 2)
    monkeypatch.setattr("gateway.state.answers.in_process.LEARNT_BYTES_MAX", 3)
    store = Rig().store
    for name, state in (("a", b"1"), ("b", b"1234"), ("c", b"12"), ("d", b"1"), ("a", b"2")):
        await store.remember(name, state)
    assert [await store.recall(name) for name in "abcd"] == [b"2", None, b"12", None]


async def test_many_entries_do_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.in_process.SLICE_S", 0.0)
    rig = Rig()
    for number in range(50):
        await rig.store.keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), None)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert len(await listed(rig.store)) == 50
    assert await rig.store.drop(Which(owner=OWNER)) == 50
    counting.cancel()
    assert turns > 90


async def test_whose_an_entry_is_is_looked_at_on_the_way_out_as_well() -> None:
    rig, vector = Rig(), direction(1)
    theirs = Asked(owner=OTHER)
    await rig.store.keep(theirs.entry(rig.now_s), None)
    one = rig.store._shelves.by_id["ce_1"]
    rig.store._vectors.add(Asked().place, one, vector)  # cross-wired, by whatever mistake
    rig.store._shelves._by_owner[OWNER] = rig.store._shelves._by_owner[OTHER]
    assert await rig.store.nearest(Asked().place, vector, 5) == []
    assert await rig.store.find(OWNER, theirs.exact, theirs.near) is None
    rig.store.note(Kept(Asked().entry(rig.now_s), Record()), bad=1)
    assert one.record == Record()
