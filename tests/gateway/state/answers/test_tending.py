from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.state.answers import tending
from gateway.state.answers.store import Which
from gateway.state.answers.tending import Sums
from policies.cache_eviction import Bounds
from tests.answer_store_suite import OWNER, Asked
from tests.gateway.state.answers_rig import AnswersRig
from tests.redis_servers import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def rig() -> AsyncIterator[AnswersRig]:
    made = AnswersRig(redis_server().url, bounds=Bounds(entries_max=10))
    yield made
    await made.close()


async def keep(rig: AnswersRig, owner: str, count: int) -> None:
    for number in range(count):
        await rig.stores[0].keep(Asked(str(number), owner=owner).entry(rig.now_s, f"ce_{owner[-1]}{number}"), None)
    await rig.arrived()


async def test_the_sums_of_a_few_are_found_out_anew_soon(rig: AnswersRig) -> None:
    """What is counted before the first answer is kept is nearly right for a moment only."""
    assert await rig.stores[0]._tender.sums() == Sums(0, 0)
    assert 0 < redis_server().ask("PTTL", rig.stores[0]._keys.sums) <= 5_000


async def test_the_sums_are_found_out_once_for_all(rig: AnswersRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "REST_S", 60.0)
    await keep(rig, OWNER, 3)
    first, second = (store._tender for store in rig.stores)
    sums = await first.sums()
    assert sums is not None
    assert sums.entries == 3
    await keep(rig, "team:b", 2)
    assert await second.sums() == sums  # a moment old
    await rig.stores[1].drop(Which(owner=OWNER, id="ce_h0"))
    await rig.arrived()
    after = await second.sums()
    assert after is not None
    assert after.entries == 4


async def test_one_at_a_time_goes_through_all(rig: AnswersRig) -> None:
    await keep(rig, OWNER, 3)
    redis_server().ask("SET", rig.stores[0]._keys.tending, "1", "PX", 60_000)
    assert await rig.stores[1]._tender.sums() is None
    assert (await rig.stores[1].stock()).entries is None


async def test_sums_that_nobody_of_ours_wrote_are_found_out_anew(rig: AnswersRig) -> None:
    await keep(rig, OWNER, 3)
    for garbage in (b"", b"\xc1", b"\x92\xa1x\x01"):
        redis_server().ask("SET", rig.stores[0]._keys.sums, garbage, "PX", 60_000)
        sums = await rig.stores[1]._tender.sums()
        await rig.arrived()
        assert sums is not None
        assert sums.entries == 3


async def test_what_is_too_much_together_goes_and_is_counted(rig: AnswersRig) -> None:
    await keep(rig, "team:a", 8)
    await keep(rig, "team:b", 4)
    sums = await rig.stores[0]._tender.tend()
    assert (sums.entries, rig.stores[0]._tender.evicted) == (10, 2)
    await rig.pass_time(100.0)
    assert await rig.stores[0]._tender.tend() == Sums(0, 0)
    assert rig.stores[0]._tender.expired == 10
