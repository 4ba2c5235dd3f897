"""Redis stores with a hand on their clock, for the suite that every limit store passes."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

from gateway.state.limits.shared import RedisLimitStore, RedisOptions
from gateway.state.redis.dialing import Timings
from gateway.state.redis.scripts import assembled, read_texts
from tests.limit_store_suite import START_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.state.limits.store import LimitStore
    from tests.redis_servers import RedisServer

PATIENT = Timings(connect_s=5.0, answer_s=5.0)
TIME_IS_TOLD = assembled(read_texts() | {"clock": "local now = tonumber(ARGV[#ARGV])\n"})

_names = itertools.count()


def fresh_namespace() -> str:
    """Keys that no other test has."""
    return f"test{next(_names)}"


async def until(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    """Returns once it is so; for what nothing announces."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)


class RedisRig:
    """A `Rig` of tests/limit_store_suite.py over one server or the masters of a Cluster."""

    def __init__(self, url: str, servers: Sequence[RedisServer], nodes: int = 2) -> None:
        self.now = START_S
        self.namespace = fresh_namespace()
        self._servers = servers
        options = RedisOptions(self.namespace, PATIENT, scripts=TIME_IS_TOLD, clock=lambda: self.now)
        self.redis_stores = [RedisLimitStore(url, options) for _ in range(nodes)]
        self.stores: Sequence[LimitStore] = self.redis_stores

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def renew(self, store: LimitStore) -> None:
        assert isinstance(store, RedisLimitStore)
        assert await store.renew()

    async def arrived(self) -> None:
        for store in self.redis_stores:
            await until(lambda store=store: not store._under_way)  # type: ignore[misc]

    async def flush(self) -> None:
        for server, keys in self._keys():
            if keys:
                server.ask("DEL", *keys)

    async def save(self) -> object:
        await self.arrived()
        return [{key: server.ask("DUMP", key) for key in keys} for server, keys in self._keys()]

    async def rewind(self, saved: object) -> None:
        assert isinstance(saved, list)
        await self.arrived()
        await self.flush()
        for server, dumps in zip(self._servers, saved, strict=True):
            for key, dump in dumps.items():
                server.ask("RESTORE", key, 3_600_000, dump)

    def ttls(self) -> dict[str, int]:
        """Every key of this rig and its time to live in milliseconds."""
        found: dict[str, int] = {}
        for server in self._servers:
            found |= {key: ttl for key, ttl in server.keys().items() if key.startswith(f"{self.namespace}:")}
        return found

    def _keys(self) -> list[tuple[RedisServer, list[bytes]]]:
        found = []
        for server in self._servers:
            with closing(server.client()) as client:
                found.append((server, list(client.scan_iter(match=f"{self.namespace}:*", count=1000))))
        return found


@asynccontextmanager
async def redis_rig(url: str, servers: Sequence[RedisServer], nodes: int = 2) -> AsyncIterator[RedisRig]:
    rig = RedisRig(url, servers, nodes)
    for store in rig.redis_stores:
        await store.start()
    try:
        yield rig
    finally:
        for store in rig.redis_stores:
            await store.close()
