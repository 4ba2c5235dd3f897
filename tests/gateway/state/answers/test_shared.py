from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.answer_store_suite import AnswerStoreSuite
from tests.gateway.state.answers_rig import AnswersRig
from tests.redis_servers import redis_8, redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def rigs() -> AsyncIterator[list[AnswersRig]]:
    made: list[AnswersRig] = []
    yield made
    for rig in made:
        await rig.close()


async def begun(rigs: list[AnswersRig], rig: AnswersRig) -> AnswersRig:
    rigs.append(rig)
    await rig.start()
    return rig


class TestOverRedis7(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_server().url))


class TestOverRedis8(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_8().url))


class TestOverACluster(AnswerStoreSuite):
    @pytest.fixture
    async def rig(self, rigs: list[AnswersRig]) -> AnswersRig:
        return await begun(rigs, AnswersRig(redis_cluster().url))
