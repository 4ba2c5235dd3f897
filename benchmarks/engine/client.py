"""The callers, in a process of their own: one case for each JSON line on stdin, its figures as a line on stdout.

python -m benchmarks.engine.client http BASE_URL MODEL KEY
python -m benchmarks.engine.client worker GGUF TUNING       (a JSON object of the fields of gateway.local.frames.Tuning)
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.engine.cases import Row, prefix, stall, throughput
from benchmarks.engine.doors import HttpDoor, WorkerDoor
from gateway.local.frames import Load, Tuning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from benchmarks.engine.doors import Door
    from gateway.local.frames import Standing

CASES: dict[str, Callable[..., Awaitable[Row]]] = {"throughput": throughput, "prefix": prefix, "stall": stall}
WITHIN_S = 240


@asynccontextmanager
async def opened(arguments: Sequence[str]) -> AsyncIterator[tuple[Door, int]]:
    """The door, and the process behind it that the client started, or 0."""
    kind, *rest = arguments
    if kind == "http":
        base_url, model, key = rest
        yield HttpDoor(base_url, model, key), 0
        return
    path, tuning = rest
    door = WorkerDoor()
    try:
        yield door, await door.open(Load(path, tuning=Tuning(**json.loads(tuning))))
    finally:
        await door.close()


async def figures(door: Door, case: str, how: Mapping[str, Any]) -> dict[str, Any]:
    """A case's row; `failed` says why there is none."""
    if isinstance(door, WorkerDoor):
        door.standings.clear()
    try:
        async with asyncio.timeout(WITHIN_S):
            row = await CASES[case](door, **how)
    except (RuntimeError, TimeoutError, OSError) as error:
        return {"failed": str(error) or type(error).__name__}
    return row | (steps(door.standings) if isinstance(door, WorkerDoor) else {})


def steps(standings: Sequence[Standing]) -> Row:
    """How long a step took while most runs were at work, and what of it was Python."""
    most = max((standing.running for standing in standings), default=0)
    full = [standing for standing in standings if standing.running == most and standing.step_s]
    if not full:
        return {}
    step_ms, python_ms = (
        round(1000 * statistics.median(getattr(standing, name) for standing in full), 3)
        for name in ("step_s", "python_s")
    )
    return {"step_ms": step_ms, "python_ms": python_ms, "python_share": round(python_ms / step_ms, 4)}


async def main(arguments: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    async with opened(arguments) as (door, pid):
        print(json.dumps({"pid": pid}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            order = json.loads(line)
            print(json.dumps(await figures(door, order.pop("case"), order)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
