"""The callers, in a process of their own: one case for each JSON line on stdin, its figures as a line on stdout.

python -m benchmarks.engine.client http BASE_URL MODEL KEY
python -m benchmarks.engine.client worker GGUF SLOTS CONTEXT_TOKENS THREADS
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from benchmarks.engine.cases import Row, prefix, stall, throughput
from benchmarks.engine.doors import HttpDoor, WorkerDoor
from gateway.local.frames import Load, Tuning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from benchmarks.engine.doors import Door

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
    path, slots, context_tokens, threads = rest
    tuning = Tuning(slots=int(slots), context_tokens=int(context_tokens), threads=int(threads), speculate=False)
    door = WorkerDoor()
    try:
        yield door, await door.open(Load(path, tuning=tuning))
    finally:
        await door.close()


async def answer(door: Door, line: bytes) -> dict[str, Any]:
    order = json.loads(line)
    before = msgspec.structs.asdict(door.standing) if isinstance(door, WorkerDoor) else {}
    try:
        async with asyncio.timeout(WITHIN_S):
            row = await CASES[order.pop("case")](door, **order)
    except (RuntimeError, TimeoutError, OSError) as error:
        return {"failed": str(error) or type(error).__name__}
    if isinstance(door, WorkerDoor):
        row |= steps_since(before, msgspec.structs.asdict(door.standing))
    return row


def steps_since(before: dict[str, float], after: dict[str, float]) -> Row:
    """How long a step took, and what of it was Python; nothing where the engine does not say."""
    steps = after["steps"] - before["steps"]
    if not steps:
        return {}
    step_s, python_s = (after[name] - before[name] for name in ("step_s", "python_s"))
    share = python_s / step_s if step_s else 0.0
    return {
        "step_ms": round(1000 * step_s / steps, 3),
        "python_ms": round(1000 * python_s / steps, 3),
        "python_share": round(share, 4),
    }


async def main(arguments: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    async with opened(arguments) as (door, pid):
        print(json.dumps({"pid": pid}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            print(json.dumps(await answer(door, line)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
