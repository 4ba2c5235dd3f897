"""What a request's admission costs on Redis: reserve and settle over three accounts, so many at once.

    python -m benchmarks.admission_redis [REQUESTS] [AT_ONCE]

Prints microseconds per request: this process' CPU, and the wall clock, over a private redis-server on TCP and on a unix
socket. CPU is what a gateway pays; the wall is mostly Redis, which runs its scripts one after the other.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import NamedTuple

import uvloop

from gateway.state.limits.shared import RedisLimitStore
from policies.limits import Ask, Granted, Kind
from tests.redis_servers import RedisServer

ASKS = (
    Ask("requests:key-1", Kind.RATE, 1, 10**9, 10**6),
    Ask("tokens:team-1", Kind.RATE, 900, 10**12, 10**9),
    Ask("calls:key-1", Kind.CONCURRENT, 1, 10_000),
)


class Cost(NamedTuple):
    """Microseconds per request."""

    cpu_us: float
    wall_us: float


async def measure(url: str, requests: int, at_once: int) -> Cost:
    store = RedisLimitStore(url)
    await store.start()

    async def caller(number: int, count: int) -> None:
        for turn in range(count):
            name = f"{number}.{turn}"
            answer = await store.reserve("acme", name, ASKS)
            if not isinstance(answer, Granted):
                raise TypeError(answer)
            store.settle("acme", name, answer.holds, (1, 420, 1))

    each = max(1, requests // at_once)
    await asyncio.gather(*(caller(-number - 1, 1 + each // 20) for number in range(at_once)))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller(number, each) for number in range(at_once)))
    await store.view(["acme"])
    cost = Cost(
        (time.process_time() - cpu_s) / (each * at_once) * 1e6, (time.perf_counter() - wall_s) / (each * at_once) * 1e6
    )
    await store.close()
    return cost


def main() -> None:
    requests, at_once = (int(word) for word in (*sys.argv[1:], *("30000", "64")[len(sys.argv) - 1 :]))
    server = RedisServer()
    try:
        print("| connection | calls at once | CPU us | wall us |\n| --- | ---: | ---: | ---: |")
        for name, url in (("TCP", server.url), ("unix socket", server.unix_url)):
            cost = uvloop.run(measure(url, requests, at_once))
            print(f"| {name} | {at_once} | {cost.cpu_us:.1f} | {cost.wall_us:.1f} |")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
