"""What estimating a prompt costs: the bound that every call under a limit takes, and the count after a refusal.

Run `python -m benchmarks.estimates`; it prints a Markdown table, times in microseconds, the best of five rounds.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from adapters.openai_request import parse
from benchmarks.bodies import PROSE, request_body
from gateway.prompts.estimates import Estimator
from gateway.prompts.tokens import TokenCounter
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

MODEL = "gpt-4o"
ROUNDS, CALLS = 5, 200
TURNS = 20


def conversation(turns: int) -> InferenceRequest:
    """A chat of so many turns, some 800 bytes each."""
    messages = [
        {"role": ("user", "assistant")[turn % 2], "content": f"{turn}: {PROSE} {PROSE} {PROSE} {PROSE}"}
        for turn in range(turns)
    ]
    return parse(Endpoint.CHAT, json.dumps({"model": "m", "messages": messages}).encode())


def bound_us(estimator: Estimator, request: InferenceRequest) -> float:
    best_s = float("inf")
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        for _ in range(CALLS):
            estimator.bound(request)
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s / CALLS * 1e6


async def exact_us(counter: TokenCounter, request: InferenceRequest, known: InferenceRequest | None = None) -> float:
    """One count by an estimator that has seen nothing, or `known` only."""
    best_s = float("inf")
    for _ in range(ROUNDS):
        estimator = Estimator(counter)
        if known is not None:
            await estimator.exact(known, MODEL)
        began_s = time.perf_counter()
        await estimator.exact(request, MODEL)
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s * 1e6


async def main() -> None:
    counter = TokenCounter()
    estimator = Estimator(counter)
    await estimator.warm([MODEL])
    whole = conversation(TURNS)
    cases = (
        ("1 KB", parse(Endpoint.CHAT, request_body("m", 1024)), None),
        ("32 KB", parse(Endpoint.CHAT, request_body("m", 32 * 1024)), None),
        (f"{TURNS} turns, {whole.body_bytes // 1024} KB", whole, conversation(TURNS - 1)),
    )
    print(
        "| prompt | bound, tokens | exact, tokens | bound | exact, new | exact, all but the last turn known | known |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, request, before in cases:
        tokens = estimator.bound(request), await estimator.exact(request, MODEL)
        new_us, same_us = await exact_us(counter, request), await exact_us(counter, request, request)
        grown = f"{await exact_us(counter, request, before):.0f}" if before else "-"
        times = f"{bound_us(estimator, request):.1f} | {new_us:.0f} | {grown} | {same_us:.0f}"
        print(f"| {name} | {tokens[0]} | {tokens[1]} | {times} |")
    counter.close()


if __name__ == "__main__":
    asyncio.run(main())
