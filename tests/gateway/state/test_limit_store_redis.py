from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.state.redis_rig import RedisRig, redis_rig
from tests.limit_store_suite import LimitStoreSuite
from tests.redis_servers import redis_cluster, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestOverOneServer(LimitStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RedisRig]:
        server = redis_server()
        async with redis_rig(server.unix_url, [server]) as rig:
            yield rig


class TestOverACluster(LimitStoreSuite):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RedisRig]:
        cluster = redis_cluster()
        async with redis_rig(cluster.url, cluster.nodes) as rig:
            yield rig
