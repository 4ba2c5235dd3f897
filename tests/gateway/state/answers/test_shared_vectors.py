from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from gateway.state.answers.scripts import Keys
from gateway.state.answers.shared_vectors import RedisVectors
from gateway.state.answers.store import StoreUnavailable
from gateway.state.answers.vector_store import Shelf
from gateway.state.redis.dialing import Dialer
from gateway.state.redis.url import parse
from tests.answer_store_suite import beside, direction
from tests.gateway.state.answers_rig import QUICK
from tests.gateway.state.redis_rig import PATIENT, fresh_namespace
from tests.redis_servers import own_server, redis_8, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.state.redis.dialing import Timings
    from tests.redis_servers import RedisServer

SHELF = Shelf("team:acme/search", "s")
SOON_S = 60.0


def vectors_at(
    server: RedisServer, timings: Timings = PATIENT, namespace: str = "", clock: Callable[[], float] = time.time
) -> RedisVectors:
    dialer = Dialer(parse(server.url), timings.connect_s)
    return RedisVectors(dialer, timings, Keys(namespace or fresh_namespace()), clock)


@pytest.fixture
async def sets() -> AsyncIterator[RedisVectors]:
    made = vectors_at(redis_8())
    yield made
    await made.close()


async def test_redis_is_asked_once_whether_it_has_vector_sets() -> None:
    for server, has_sets in ((redis_8(), True), (redis_server(), False)):
        vectors = vectors_at(server)
        assert vectors.has_sets is None
        assert list(await vectors.nearest(SHELF, direction(1), 3)) == []
        assert vectors.has_sets is has_sets
        await vectors.close()


async def test_a_redis_that_is_away_is_asked_again(sets: RedisVectors) -> None:
    with own_server(is_8=True) as server:
        vectors = vectors_at(server, QUICK)
        with server.stopped(), pytest.raises(StoreUnavailable):
            await vectors.nearest(SHELF, direction(1), 3)
        vectors.add(SHELF, "ce_lost", direction(1), time.time() + SOON_S)  # it is still away, as far as is known
        await vectors.settled()
        deadline = time.monotonic() + 5.0
        while vectors.has_sets is None and time.monotonic() < deadline:
            try:
                await vectors.nearest(SHELF, direction(1), 3)
            except StoreUnavailable:
                continue
        assert vectors.has_sets
        await vectors.close()
    assert sets.has_sets is None


async def test_a_redis_that_is_away_as_gathering_begins_is_found_later() -> None:
    with own_server() as server:
        vectors = vectors_at(server, QUICK)
        with server.stopped():
            vectors.gather()
            await asyncio.sleep(0.15)  # longer than one answer is waited for
            assert vectors.has_sets is None
        deadline = time.monotonic() + 5.0
        while vectors.has_sets is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a server has to come up
            await asyncio.sleep(0.01)
        assert vectors.has_sets is False
        await vectors.close()


async def test_who_gathers_can_be_closed_meanwhile() -> None:
    vectors = vectors_at(redis_server())
    vectors.gather()
    await vectors.close()
    assert len(asyncio.all_tasks()) == 1


async def test_similarity_is_the_cosine(sets: RedisVectors) -> None:
    """Redis says (1 + cosine) / 2 of what it has rounded to eight bits."""
    asked = direction(1)
    cosines = {f"ce_{cosine}": cosine for cosine in (1.0, 0.95, 0.8, 0.3, 0.0, -0.5)}
    for name, cosine in cosines.items():
        sets.add(SHELF, name, beside(asked, cosine), time.time() + SOON_S)
    await sets.settled()
    found = await sets.nearest(SHELF, asked, 10)
    assert [one.entry_id for one in found] == list(cosines)
    assert all(abs(one.similarity - cosines[one.entry_id]) < 0.004 for one in found)


async def test_an_entry_has_one_vector_and_is_gone_when_removed(sets: RedisVectors) -> None:
    sets.add(SHELF, "ce_1", direction(1), time.time() + SOON_S)
    sets.add(SHELF, "ce_1", direction(2), time.time() + SOON_S)
    await sets.settled()
    assert (await sets.nearest(SHELF, direction(2), 3))[0].similarity > 0.99
    vector = await sets.vector_of(SHELF, "ce_1")
    assert vector is not None
    assert float(vector @ direction(2)) > 0.99
    sets.remove(SHELF, ["ce_1", "ce_2"])
    await sets.settled()
    assert list(await sets.nearest(SHELF, direction(2), 3)) == []
    assert await sets.vector_of(SHELF, "ce_1") is None


async def test_a_set_lives_as_long_as_its_longest_lived(sets: RedisVectors) -> None:
    server, now = redis_8(), time.time()
    namespace = fresh_namespace()
    vectors = vectors_at(server, namespace=namespace)
    for name, lives_s in (("a", 100.0), ("b", 500.0), ("c", 50.0), ("gone", -5.0)):
        vectors.add(SHELF, name, direction(ord(name[0])), now + lives_s)
    assert list(await vectors.nearest(SHELF, direction(1), 0 + 3)) is not None
    await vectors.settled()
    (key,) = [key for key in set(server.keys()) if key.startswith(f"{namespace}:")]
    assert 490_000 < server.keys()[key] <= 500_000
    assert server.ask("VCARD", key) == 3
    await vectors.close()
    assert sets.has_sets is None


async def test_a_vector_of_another_size_is_not_found_and_breaks_nothing(sets: RedisVectors) -> None:
    sets.add(SHELF, "ce_1", direction(1), time.time() + SOON_S)
    sets.add(SHELF, "ce_2", direction(2)[:64], time.time() + SOON_S)
    await sets.settled()
    assert [one.entry_id for one in await sets.nearest(SHELF, direction(1), 3)] == ["ce_1"]
    with pytest.raises(StoreUnavailable):
        await sets.nearest(SHELF, direction(1)[:64], 3)


async def test_the_nearest_of_many_are_found(sets: RedisVectors) -> None:
    dice = random.Random(7)
    for number in range(400):
        sets.add(SHELF, f"ce_{number}", direction(1000 + number), time.time() + SOON_S)
    await sets.settled()
    wanted = dice.sample(range(400), 50)
    found = [await sets.nearest(SHELF, beside(direction(1000 + number), 0.9), 1) for number in wanted]
    hits = sum(near[0].entry_id == f"ce_{number}" for near, number in zip(found, wanted, strict=True))
    assert hits >= 49


async def test_all_who_ask_while_redis_is_away_wait_for_one_answer() -> None:
    with own_server(is_8=True) as server:
        vectors = vectors_at(server, QUICK)
        with server.stopped():
            async with asyncio.timeout(0.9):
                asked = [vectors.nearest(SHELF, direction(1), 3) for _ in range(50)]
                found = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in found} == {StoreUnavailable}
        await vectors.close()
