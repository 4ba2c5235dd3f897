"""What is asked of a system, and the figures that come of it: seconds and tokens of one case in one round."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks.engine.doors import Heard
from benchmarks.engine.prompts import handbook, long_prompt, question, story

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.engine.doors import Door
    from benchmarks.engine.prompts import Prompt
    from benchmarks.engine.sse import Trace

Row = dict[str, float]

SHORT_TOKENS = 8
UNDER_WAY = 4


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def in_ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


async def throughput(door: Door, seed: str, callers: int, requests: int, tokens: int) -> Row:
    """Every caller asks `requests` times, one after the other; all begin at once."""

    async def caller(number: int) -> list[Trace]:
        prompts = (story(f"{seed} {callers} {number} {turn}") for turn in range(requests))
        return [await door.stream(prompt, tokens) for prompt in prompts]

    began_s = time.perf_counter()
    traces = [trace for own in await asyncio.gather(*map(caller, range(callers))) for trace in own]
    return summary(traces, time.perf_counter() - began_s)


def summary(traces: Sequence[Trace], seconds: float) -> Row:
    good = [trace for trace in traces if not trace.error and trace.texts_s]
    firsts = [trace.ttft_s for trace in good]
    gaps = [gap for trace in good for gap in trace.gaps_s()]
    tokens = sum(trace.tokens for trace in good)
    return {
        "bad": len(traces) - len(good),
        "seconds": round(seconds, 3),
        "tokens": tokens,
        "prompt_tokens": percentile([trace.prompt_tokens for trace in good], 50),
        "tokens_s": round(tokens / seconds, 2),
        "ttft_p50_ms": in_ms(percentile(firsts, 50)),
        "ttft_p95_ms": in_ms(percentile(firsts, 95)),
        "itl_p50_ms": in_ms(percentile(gaps, 50)),
        "itl_p95_ms": in_ms(percentile(gaps, 95)),
        "longest_gap_ms": in_ms(max(gaps, default=0)),
    }


@asynccontextmanager
async def under_way(door: Door, prompts: Sequence[Prompt], tokens: int) -> AsyncIterator[list[asyncio.Task[Trace]]]:
    """Streams that have all begun to bring text; who is still at it afterwards is hung up on."""
    heard = [Heard(UNDER_WAY) for _ in prompts]
    pairs = zip(prompts, heard, strict=True)
    tasks = [asyncio.create_task(door.stream(prompt, tokens, one)) for prompt, one in pairs]
    try:
        for task, one in zip(tasks, heard, strict=True):
            task.add_done_callback(one.stop)
        await asyncio.gather(*(one.event.wait() for one in heard))
        if any(task.done() for task in tasks):
            raise RuntimeError("a stream ended before all were under way")
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ttft_ms(door: Door, *prompts: Prompt) -> float:
    """That of the slowest, when all are asked at once."""
    traces = await asyncio.gather(*(door.stream(prompt, SHORT_TOKENS) for prompt in prompts))
    if errors := [trace.error for trace in traces if trace.error]:
        raise RuntimeError(errors[0])
    return in_ms(max(trace.ttft_s for trace in traces))


async def prefix(door: Door, seed: str) -> Row:
    """Times to first token behind a system prompt of 1,000 tokens: new, known, in a busy slot, for four at once."""
    shared, other, new = (handbook(f"{seed} {name}") for name in ("one", "two", "three"))
    row: Row = {
        "cold_ms": await _ttft_ms(door, question(shared, 1)),
        "hit_ms": await _ttft_ms(door, question(shared, 2)),
    }
    async with under_way(door, [question(shared, 3)], 500):
        row["busy_ms"] = await _ttft_ms(door, question(shared, 4))
    await _ttft_ms(door, question(other, 5))
    row["four_warm_ms"] = await _ttft_ms(door, *(question(other, number) for number in range(6, 10)))
    row["four_cold_ms"] = await _ttft_ms(door, *(question(new, number) for number in range(10, 14)))
    return row


async def stall(door: Door, seed: str) -> Row:
    """Three streams run; a prompt of 1,500 tokens arrives: their longest pause from then on, and its first token."""
    async with under_way(door, [story(f"{seed} stall {number}") for number in range(3)], 300) as tasks:
        at_s = time.perf_counter()
        long = await door.stream(long_prompt(f"{seed} long"), SHORT_TOKENS)
        ended_s = time.perf_counter()
        if any(task.done() for task in tasks):
            raise RuntimeError("a stream ended before the long prompt was answered")
        traces = await asyncio.gather(*tasks)
    pauses = [longest_pause(trace, at_s, ended_s) for trace in traces]
    return {"stall_ms": in_ms(max(pauses)), "long_ttft_ms": in_ms(long.ttft_s), "long_tokens": long.prompt_tokens}


def longest_pause(trace: Trace, from_s: float, to_s: float) -> float:
    """Between two neighbouring pieces of text of which at least one lies in the span."""
    pairs = zip(trace.texts_s, trace.texts_s[1:], strict=False)
    return max((later - earlier for earlier, later in pairs if later > from_s and earlier < to_s), default=0.0)
