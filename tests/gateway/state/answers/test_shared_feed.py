from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.state.answers import shared_feed
from gateway.state.answers.shared_feed import FedVectors
from gateway.state.answers.store import StoreUnavailable, Which
from gateway.state.answers.vector_store import Shelf, place_of, shelf_of
from gateway.state.redis.scripts import command
from tests.answer_store_suite import OTHER, OWNER, Asked, direction
from tests.gateway.state.answers_rig import QUICK, AnswersRig
from tests.gateway.state.redis_rig import until
from tests.redis_servers import own_server, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.state.answers.shared import SharedAnswers
    from tests.redis_servers import RedisServer

PLACE = Asked().place


async def index_of(store: SharedAnswers) -> FedVectors:
    vectors = await store._vectors._chosen()  # type: ignore[attr-defined]
    assert isinstance(vectors, FedVectors)
    return vectors


@pytest.fixture
async def rig() -> AsyncIterator[AnswersRig]:
    made = AnswersRig(redis_server().url)
    yield made
    await made.close()


async def near(store: SharedAnswers, seed: int = 1) -> list[str]:
    return [one.kept.entry.id for one in await store.nearest(PLACE, direction(seed), 5)]


async def test_one_that_starts_later_learns_all_there_is(rig: AnswersRig) -> None:
    first, second = rig.stores
    for number in range(5):
        await first.keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), direction(number))
    await first.settled()
    await (await index_of(second)).caught_up()
    assert (await near(second, 3))[0] == "ce_3"
    assert (await second.stock()).vectors == 5


async def test_the_first_question_of_a_process_finds_what_another_kept(rig: AnswersRig) -> None:
    first, second = rig.stores
    second.gather()
    second.gather()
    await first.keep(Asked().entry(rig.now_s), direction(1))
    await first.settled()
    deadline = time.monotonic() + 5.0
    while not (await second.stock()).vectors and time.monotonic() < deadline:  # noqa: ASYNC110 - a server is asked
        await asyncio.sleep(0.01)
    assert await near(second) == ["ce_1"]


async def test_what_goes_leaves_the_other_s_index_too(rig: AnswersRig) -> None:
    first, second = rig.stores
    await first.keep(Asked().entry(rig.now_s), direction(1))
    await rig.arrived()
    assert await near(second) == ["ce_1"]
    await first.drop(Which(id="ce_1"))
    assert await near(second) == []
    await rig.arrived()
    assert await (await index_of(second)).count() == 0


async def test_what_expires_leaves_by_itself(rig: AnswersRig) -> None:
    await rig.stores[0].keep(Asked().entry(rig.now_s), direction(1))
    await rig.arrived()
    index = await index_of(rig.stores[1])
    assert await index.count() == 1
    await rig.pass_time(61.0)
    assert list(await index.nearest(shelf_of(PLACE), direction(1), 5)) == []
    assert await index.count() == 0


async def test_over_a_cluster_the_stream_is_followed_where_it_is() -> None:
    rig = AnswersRig(redis_cluster().url)
    for number in range(6):
        asked = Asked(owner=f"team:{number}")
        await rig.stores[0].keep(asked.entry(rig.now_s, f"ce_{number}"), direction(1))
    await rig.arrived()
    await rig.stores[0].keep(Asked(owner="team:late").entry(rig.now_s, "ce_late"), direction(1))
    await rig.arrived()
    for number in range(6):
        found = await rig.stores[1].nearest(PLACE._replace(owner=f"team:{number}"), direction(1), 5)
        assert [one.kept.entry.id for one in found] == [f"ce_{number}"]
    late = await rig.stores[1].nearest(PLACE._replace(owner="team:late"), direction(1), 5)
    assert [one.kept.entry.id for one in late] == ["ce_late"]
    await rig.close()


async def test_a_reader_that_was_cut_off_catches_up_from_the_stream() -> None:
    with own_server() as server:
        rig = AnswersRig(server.url, timings=QUICK)
        await rig.stores[0].keep(Asked("a").entry(rig.now_s, "ce_a"), direction(1))
        await rig.arrived()
        index = await index_of(rig.stores[1])
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await reached(rig.stores[0])
        await rig.stores[0].keep(Asked("b").entry(rig.now_s, "ce_b"), direction(2))
        await rig.stores[0].settled()
        await reached(rig.stores[1])
        await index.caught_up()
        assert await near(rig.stores[1], 2) == ["ce_b", "ce_a"]
        assert index.rescans == 1
        await rig.close()


async def reached(store: SharedAnswers) -> None:
    """Once Redis can be talked to again, about answers and about vectors."""
    index = await index_of(store)
    async with asyncio.timeout(5.0):
        while True:
            with contextlib.suppress(StoreUnavailable):
                await store.find(OWNER, b"?" * 32, b"")
                await index._line.ask(command(b"PING"), "")
                return
            await asyncio.sleep(0.01)


async def test_where_the_stream_does_not_reach_back_all_is_gone_through_again() -> None:
    with own_server() as server:
        rig = AnswersRig(server.url, timings=QUICK)
        await rig.stores[0].keep(Asked("a").entry(rig.now_s, "ce_a"), direction(1))
        await rig.arrived()
        index = await index_of(rig.stores[1])
        assert index._following is not None
        await index.close()  # it hears nothing for a while
        await rig.stores[0].keep(Asked("b").entry(rig.now_s, "ce_b"), direction(2))
        await rig.stores[0].settled()
        feed = _feed(server)
        server.ask("XTRIM", feed, "MAXLEN", 0)
        await rig.stores[0].keep(Asked("c").entry(rig.now_s, "ce_c"), direction(3))
        await rig.stores[0].settled()
        await index.start()
        await index.caught_up()
        assert index.rescans == 2
        assert (await near(rig.stores[1], 2))[0] == "ce_b"
        await rig.close()


async def test_a_stream_that_ran_ahead_while_it_was_read_is_noticed(
    rig: AnswersRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_feed, "AT_ONCE", 2)
    index = await index_of(rig.stores[1])
    await rig.arrived()
    for number in range(12):
        await rig.stores[0].keep(Asked(str(number)).entry(rig.now_s, f"ce_{number}"), direction(number))
    await rig.arrived()
    assert await index.count() == 12


def _feed(server: RedisServer) -> str:
    return next(key for key in set(server.keys()) if key.endswith(":feed"))


async def test_the_stream_is_not_believed() -> None:
    """Who writes into it can at most have a gateway look up what is there."""
    with own_server() as server:
        rig = AnswersRig(server.url)
        await rig.stores[0].keep(Asked().entry(rig.now_s), direction(1))
        await rig.stores[0].keep(Asked(owner=OTHER).entry(rig.now_s, "ce_2"), direction(2))
        await rig.arrived()
        index, feed = await index_of(rig.stores[1]), _feed(server)
        shelf = shelf_of(place_of(Asked().entry(0.0)))
        for fields in (
            ("came", b"\xc1"),
            ("came", msgspec.msgpack.encode(("team:nobody", "s", ["ce_1"]))),
            ("came", msgspec.msgpack.encode((OWNER, shelf.name, ["ce_2", "ce_99"]))),
            ("odd", b"", "more", b""),
        ):
            server.ask("XADD", feed, "*", *fields)
        await index.caught_up()
        assert await index.count() == 2
        assert await near(rig.stores[1], 2) == ["ce_1"]
        await rig.close()


async def test_a_vector_on_redis_that_is_none_is_passed_over() -> None:
    with own_server() as server:
        rig = AnswersRig(server.url)
        for name in ("a", "b"):
            await rig.stores[0].keep(Asked(name).entry(rig.now_s, f"ce_{name}"), direction(ord(name)))
        await rig.stores[0].settled()
        key = next(key for key in set(server.keys()) if key.endswith(":e:ce_a"))
        server.ask("HSET", key, "v", b"\xff\xff" * 384)
        await (await index_of(rig.stores[1])).caught_up()
        assert await (await index_of(rig.stores[1])).count() == 1
        await rig.close()


async def test_it_goes_on_when_redis_comes_back() -> None:
    with own_server() as server:
        rig = AnswersRig(server.url, timings=QUICK)
        await rig.stores[0].keep(Asked("a").entry(rig.now_s, "ce_a"), direction(1))
        await rig.arrived()
        index = await index_of(rig.stores[1])
        with server.stopped():
            await asyncio.sleep(0.05)
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline and index._index.count < 2:
            await rig.stores[0].keep(Asked("b").entry(rig.now_s, "ce_b"), direction(2))
            await asyncio.sleep(0.02)
        await until(lambda: index._position > (0, 0))
        assert await index.count() == 2
        await rig.close()


def test_a_shelf_is_a_place_of_its_own() -> None:
    assert shared_feed._place(Shelf("a", "b")) != shared_feed._place(Shelf("a", "c"))
