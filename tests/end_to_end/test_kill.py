"""kill -9 at any instant: every attempt that the upstream saw has one ledger row, true to the token or marked."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, chunk, forever, head, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer, Step

CALLERS = 12
MOST_TOKENS = 40
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")


@dataclass
class Generated:
    """What the upstream made for one call; `reported` once it has said so, and with it the answer was whole."""

    prompt_tokens: int
    tokens: int = 0
    reported: bool = False


@dataclass
class Meter:
    """An upstream that counts what it generates. `seen` has the calls by number, and how often each came."""

    rng: random.Random
    generated: dict[int, Generated] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)

    def answers(self) -> Step:
        async def step(peer: Peer) -> None:
            body = json.loads(peer.requests[-1].body)
            number = int(body["messages"][0]["content"])
            self.seen.append(number)
            made = self.generated[number] = Generated(prompt_tokens=self.rng.randint(1, 9))
            await asyncio.sleep(self.rng.choice((0, 0, 0.01)))
            await (self._stream if body.get("stream") else self._whole)(peer, made)

        return step

    async def _stream(self, peer: Peer, made: Generated) -> None:
        peer.writer.write(SSE)
        for _ in range(self.rng.randint(1, MOST_TOKENS)):
            made.tokens += 1
            await self._send(peer, {"choices": [{"index": 0, "delta": {"content": "x "}, "finish_reason": None}]})
            await asyncio.sleep(self.rng.choice((0, 0, 0.002, 0.02)))
        made.reported = True
        await self._send(peer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await self._send(peer, {"choices": [], "usage": _usage(made)})
        peer.writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))
        await peer.writer.drain()

    async def _whole(self, peer: Peer, made: Generated) -> None:
        await asyncio.sleep(self.rng.random() * 0.05)
        made.tokens = self.rng.randint(1, MOST_TOKENS)
        made.reported = True
        message = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "model": "gpt-4o-mini", "choices": [message], "usage": _usage(made)}).encode()
        peer.writer.write(head(content_type="application/json", content_length=str(len(body))) + body)
        await peer.writer.drain()

    async def _send(self, peer: Peer, event: dict[str, Any]) -> None:
        data = json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o-mini", **event})
        peer.writer.write(chunk(f"data: {data}\n\n".encode()))
        await peer.writer.drain()


def _usage(made: Generated) -> dict[str, int]:
    total = made.prompt_tokens + made.tokens
    return {"prompt_tokens": made.prompt_tokens, "completion_tokens": made.tokens, "total_tokens": total}


def policy(url: str) -> dict[str, Any]:
    return {
        "providers": {"scripted": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-upstream-canary-000"}},
        "deployments": {"a": {"provider": "scripted", "model": "gpt-4o-mini", "price": {"input": 0.15, "output": 0.6}}},
        "routes": [{"model": "call-*", "targets": ["a"], "retry": {"attempts": 1}}],
    }


async def caller(gateway: GatewayProcess, numbers: random.Random, first: int) -> None:
    """One call after the other until the gateway is gone."""
    with suppress(OSError, asyncio.IncompleteReadError):
        for number in range(first, first + 1_000):
            body = {"model": f"call-{number}", "stream": numbers.random() < 0.7, "max_tokens": MOST_TOKENS}
            await gateway.ask(
                post("/v1/chat/completions", body | {"messages": [{"role": "user", "content": f"{number}"}]})
            )


async def kill_at_some_instant(policy: dict[str, Any], folder: Path, rng: random.Random, first: int) -> None:
    async with gateway_process(policy, folder) as gateway:
        callers = [
            asyncio.create_task(caller(gateway, random.Random(rng.random()), first + number * 1_000))
            for number in range(CALLERS)
        ]
        await asyncio.sleep(0.05 + rng.random() * 0.4)
        await gateway.stop(signal.SIGKILL)
        await asyncio.gather(*callers)


def check(rows: list[dict[str, Any]], meter: Meter) -> None:
    by_number: dict[int, dict[str, Any]] = {}
    for row in rows:
        number = int(row["model_requested"].removeprefix("call-"))
        assert number not in by_number, f"call {number} has two rows"
        by_number[number] = row
    assert len(meter.seen) == len(set(meter.seen))
    assert not set(meter.seen) - set(by_number), "the upstream saw calls that the ledger does not know"
    for number, row in by_number.items():
        made = meter.generated.get(number)
        if made is None or row["estimated"]:
            assert row["estimated"]
            assert made is None or row["output_tokens"] >= made.tokens
            assert row["cost_nanousd"] >= row["output_tokens"] * 600
        else:
            assert made.reported
            assert (row["input_tokens"], row["output_tokens"]) == (made.prompt_tokens, made.tokens)
    exact = [number for number, row in by_number.items() if not row["estimated"]]
    generated = sum(meter.generated[number].tokens for number in exact)
    assert sum(by_number[number]["output_tokens"] for number in exact) == generated
    outcomes = {row["outcome"] for row in rows}
    assert {"ok", "unknown"} <= outcomes, "nothing was under way, or nothing was over, at any of the kills"


def segments(folder: Path) -> list[Path]:
    """What is left of the journals."""
    return list(folder.rglob("*.segment"))


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.slow)])
async def test_killed_at_random_instants_it_loses_no_attempt(tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    meter = Meter(random.Random(kills + 1))
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), meter.answers()))
        for number in range(kills):
            await kill_at_some_instant(policy(upstream.url), tmp_path, rng, number * CALLERS * 1_000)
        async with gateway_process(policy(upstream.url), tmp_path) as gateway:
            assert await gateway.stop() == 0
    check(gateway.ledger(), meter)
    assert segments(tmp_path) == []
