"""What reserving and settling cost in process: `python -m benchmarks.admission`. Redis is in admission_redis.py.

Microseconds for both together, the best of several rounds. A dimension is an account: requests and tokens a minute,
calls at once, money a month, tokens a day. "Through chunks" is what a busy account set costs that need not travel.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Final

from gateway.state.chunk_leases import ChunkLeases
from gateway.state.limit_store_in_process import InProcessLimitStore
from policies.limits import Ask, Granted, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.limit_store import LimitStore

CALLS: Final = 20_000
ROUNDS: Final = 7
IN_FLIGHT: Final = 64
TENANT: Final = "org"


def asks(dimensions: int) -> tuple[Ask, ...]:
    now = time.time()
    edges = (now - 86_400.0, now + 86_400.0, now + 30 * 86_400.0)
    every = (
        Ask("requests:key", Kind.RATE, 1, 10**9, 1e7),
        Ask("tokens:key", Kind.RATE, 1000, 10**12, 1e10),
        Ask("calls:key", Kind.CONCURRENT, 1, 10**6),
        Ask("cost:team", Kind.CALENDAR, 10**6, 10**15, 0.0, edges),
        Ask("tokens:org", Kind.RATE, 1000, 10**12, 1e8),
    )
    return every[:dimensions]


async def round_us(store: LimitStore, wanted: tuple[Ask, ...], names: list[str]) -> float:
    """One round with so many calls under way as a busy gateway has."""
    actual = tuple(ask.amount // 2 for ask in wanted)
    under_way: list[tuple[str, Granted]] = []
    began_s = time.perf_counter()
    for name in names:
        answer = await store.reserve(TENANT, name, wanted)
        if not isinstance(answer, Granted):
            raise TypeError(f"the benchmark ran into a limit: {answer}")
        under_way.append((name, answer))
        if len(under_way) == IN_FLIGHT:
            for ended, granted in under_way:
                store.settle(TENANT, ended, granted.holds, actual)
            under_way.clear()
    spent_s = time.perf_counter() - began_s
    for ended, granted in under_way:
        store.settle(TENANT, ended, granted.holds, actual)
    return spent_s / len(names) * 1e6


async def best_us(make: Callable[[], LimitStore], dimensions: int) -> float:
    store = make()
    wanted = asks(dimensions)
    for ask in wanted:
        if ask.kind == Kind.CALENDAR:
            await store.hydrate(TENANT, ask.account, ask.edges[0], 0)
    rounds = []
    for number in range(ROUNDS):
        names = [f"call-{number}-{i}" for i in range(CALLS)]
        gc.collect()
        rounds.append(await round_us(store, wanted, names))
    return min(rounds)


def in_process() -> LimitStore:
    return InProcessLimitStore(time.time)


def through_chunks() -> LimitStore:
    return ChunkLeases(in_process(), time.time)


async def main() -> None:
    print("| dimensions | in process, us | through chunks, us |")
    print("| ---: | ---: | ---: |")
    for dimensions in (1, 3, 5):
        columns = [await best_us(make, dimensions) for make in (in_process, through_chunks)]
        print(f"| {dimensions} | {columns[0]:.1f} | {columns[1]:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
