from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.answers.store import StoreUnavailable, Which
from gateway.state.answers.walking import level
from tests.answer_store_suite import OWNER, Asked, listed
from tests.gateway.state.answers_rig import AnswersRig
from tests.redis_servers import own_server, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AMOUNTS = st.lists(st.integers(0, 1000), max_size=12)


@given(AMOUNTS, st.integers(0, 5000))
def test_what_all_may_have_is_no_more_than_there_is_and_nobody_gives_in_vain(amounts: list[int], most: int) -> None:
    share = level(amounts, most)
    assert sum(min(amount, share) for amount in amounts) <= max(most, 0) or sum(amounts) <= most
    if sum(amounts) <= most:
        assert all(amount <= share for amount in amounts)
    elif amounts:
        assert sum(min(amount, share) for amount in amounts) > most - len(amounts)


@pytest.fixture(params=[redis_server, redis_cluster])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[AnswersRig]:
    made = AnswersRig(request.param().url)
    yield made
    await made.close()


async def test_a_drop_meets_all_that_was_there_while_others_come_and_go(rig: AnswersRig) -> None:
    """Many slices long: a walk must not lose its way when what it walks through changes under it."""
    store, other = rig.stores
    for number in range(1500):
        await store.keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}", tags=("old",)), None)
    await rig.arrived()

    async def come_and_go() -> None:
        for number in range(200):
            await other.keep(Asked(f"new {number}").entry(rig.now_s, f"ce_new_{number}"), None)
            await other.drop(Which(owner=OWNER, id=f"ce_{number * 7}"))

    dropped, _ = await asyncio.gather(store.drop(Which(tag="old")), come_and_go())
    await rig.arrived()
    assert dropped >= 1500 - 200
    assert set(await listed(other)) == {f"ce_new_{number}" for number in range(200)}


async def test_owners_are_found_wherever_they_are(rig: AnswersRig) -> None:
    owners = {f"team:acme/{number}" for number in range(40)}
    for owner in owners:
        await rig.stores[0].keep(Asked(owner=owner).entry(rig.now_s, f"ce_{owner[10:]}"), None)
    await rig.arrived()
    assert await rig.stores[1]._walker.owners() == owners
    assert await rig.stores[1].drop(Which(route="faq")) == 40
    assert await rig.stores[1]._walker.owners() == set()


async def test_what_expired_without_being_told_is_let_go_of(rig: AnswersRig) -> None:
    """Redis drops a value by itself; what is known of it goes when it is met."""
    for number in range(30):
        await rig.stores[0].keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), None)
    await rig.arrived()
    await rig.pass_time(100.0)
    held = await rig.stores[1]._walker.holdings([OWNER], rig.stores[1]._bounds)
    assert [(one.entries, one.size_bytes, one.expired) for one in held] == [(0, 0, 30)]


async def test_a_redis_that_is_away_makes_no_walk_look_finished() -> None:
    with own_server() as server:
        made = AnswersRig(server.url)
        await made.stores[0].keep(Asked().entry(made.now_s), None)
        await made.arrived()
        server.kill()
        with pytest.raises(StoreUnavailable):
            await made.stores[0].drop(Which(route="faq"))
        with pytest.raises(StoreUnavailable):
            await made.stores[0].stock()
        await made.close()
