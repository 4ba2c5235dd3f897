from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StartError
from gateway.state.answers.pgvector import PgVectors
from gateway.state.answers.store import StoreUnavailable
from gateway.state.answers.vector_store import Shelf
from tests.answer_store_suite import AnswerStoreSuite, beside, direction
from tests.gateway.state.answers_rig import AnswersRig
from tests.postgres_server import pgvector_server, postgres_server
from tests.redis_servers import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MINE, THEIRS = Shelf("team:a", "s"), Shelf("team:b", "s")


@pytest.fixture
async def vectors() -> AsyncIterator[PgVectors]:
    made = PgVectors(pgvector_server().fresh_url(), answer_s=5.0)
    await made.start()
    yield made
    await made.close()


class TestWithAnswersOnRedis(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[AnswersRig]:
        url = pgvector_server().fresh_url()
        rig = AnswersRig(redis_server().url, vectors=lambda clock: PgVectors(url, answer_s=5.0, clock=clock))
        await rig.start()
        yield rig
        await rig.close()


async def test_a_shelf_is_nobody_else_s(vectors: PgVectors) -> None:
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    vectors.add(THEIRS, "ce_1", direction(2), time.time() + 60)
    await vectors.settled()
    found = await vectors.nearest(MINE, direction(1), 5)
    assert [one.entry_id for one in found] == ["ce_1"]
    assert found[0].similarity == pytest.approx(1.0, abs=0.001)
    vectors.remove(THEIRS, ["ce_1", "ce_2"])
    await vectors.settled()
    assert [one.entry_id for one in await vectors.nearest(MINE, direction(1), 5)] == ["ce_1"]
    assert list(await vectors.nearest(THEIRS, direction(1), 5)) == []
    assert await vectors.count() == 1


async def test_many_of_others_hide_none(vectors: PgVectors) -> None:
    """An approximate index over everybody's would find theirs first."""
    asked = direction(1)
    for number in range(60):
        vectors.add(THEIRS, f"ce_{number}", beside(asked, 0.99, 100 + number), time.time() + 60)
    vectors.add(MINE, "ce_mine", beside(asked, 0.3), time.time() + 60)
    await vectors.settled()
    assert [one.entry_id for one in await vectors.nearest(MINE, asked, 3)] == ["ce_mine"]


async def test_an_embedder_of_another_size_has_a_table_of_its_own(vectors: PgVectors) -> None:
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    vectors.add(MINE, "ce_2", direction(1)[:64], time.time() + 60)
    await vectors.settled()
    assert [one.entry_id for one in await vectors.nearest(MINE, direction(1)[:64], 5)] == ["ce_2"]
    assert await vectors.count() == 2


async def test_what_has_expired_is_swept_away() -> None:
    now = [1000.0]
    vectors = PgVectors(pgvector_server().fresh_url(), answer_s=5.0, clock=lambda: now[0])
    await vectors.start()
    vectors.add(MINE, "ce_1", direction(1), 1010.0)
    await vectors.settled()
    now[0] = 1020.0
    assert list(await vectors.nearest(MINE, direction(1), 5)) == []
    await vectors._sweep()
    assert await vectors.count() == 0
    await vectors.close()


async def test_a_database_without_the_extension_is_the_operator_s_to_mend() -> None:
    server = postgres_server()
    if "vector" in server.sql("SELECT name FROM pg_available_extensions"):
        pytest.skip("this PostgreSQL has the extension")
    vectors = PgVectors(server.fresh_url())
    with pytest.raises(StartError, match="no extension `vector`"):
        await vectors.start()
    await vectors.close()


async def test_a_database_that_is_away_is_a_miss_and_no_reason_not_to_start() -> None:
    vectors = PgVectors("postgresql://nobody@127.0.0.1:1/none", answer_s=0.3)
    await vectors.start()
    with pytest.raises(StoreUnavailable, match="PostgreSQL"):
        await vectors.nearest(MINE, direction(1), 5)
    with pytest.raises(StoreUnavailable, match="is away"):
        await vectors.nearest(MINE, direction(1), 5)
    vectors.add(MINE, "ce_1", direction(1), time.time() + 60)
    await vectors.settled()
    await vectors.close()
