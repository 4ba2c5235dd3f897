"""What the cache asks of models by itself, through a real gateway: each call has its row, its price and its name."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_process import gateway_process, one_route, post
from tests.scripted_upstream import ScriptedUpstream, answer, forever, request, send, stall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer

pytest.importorskip("numpy", reason="the extra `semantic` is not installed")

ASKED = "How do I cancel my subscription?"
ALIKE = "How can I cancel the subscription I have?"
ANSWER = "Open Settings and choose Cancel."
VECTORS = {ASKED: [1.0, 0.0], ALIKE: [0.97, 0.2431]}
"""Alike enough for a judge's question, too little to go without."""
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
PRICE = {"input": 1.0, "output": 1.0}


class Provider:
    """Answers the main model, a judge and an embedder. `verdict` is the judge's word; with `holds_shadows` the main
    model answers the first time only, and `held` says that it was asked again.
    """

    def __init__(self, verdict: str = "yes", *, holds_shadows: bool = False) -> None:
        self.verdict = verdict
        self.holds_shadows = holds_shadows
        self.held = asyncio.Event()
        self.main_calls = 0

    async def step(self, peer: Peer) -> None:
        await request()(peer)
        body = json.loads(peer.requests[-1].body)
        if "input" in body:
            told: dict[str, Any] = {"data": [{"index": 0, "embedding": VECTORS[body["input"]]}], "usage": USAGE}
        else:
            is_judge = body["model"] == "judge-model"
            self.main_calls += not is_judge
            if not is_judge and self.holds_shadows and self.main_calls > 1:
                self.held.set()
                await stall()(peer)
            text = self.verdict if is_judge else ANSWER
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            told = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            told["usage"] = USAGE
        await send(answer(json.dumps(told).encode()))(peer)


def policy(url: str) -> dict[str, Any]:
    shadow = {"share": "100%", "max_cost": "1 USD"}
    semantic = {"max_false_hits": "5%", "judge": {"deployment": "judge", "max_risk": "100%"}, "shadow": shadow}
    made = one_route(url, cache={"semantic": semantic})
    made["deployments"]["a"]["price"] = PRICE
    for name in ("judge", "embedder"):
        made["deployments"][name] = {"provider": "scripted", "model": f"{name}-model", "price": PRICE}
    return made | {"cache": {"embedder": {"deployment": "embedder", "window_tokens": 256}}}


async def ask(gateway: GatewayProcess, question: str) -> tuple[dict[str, str], dict[str, Any]]:
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    head, _, told = (await gateway.ask(post("/v1/chat/completions", body))).partition(b"\r\n\r\n")
    lines: Iterator[list[str]] = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, value in lines}, json.loads(told)


def of(rows: list[dict[str, Any]], key_name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["key_name"] == key_name]


async def test_judges_shadows_and_embeddings_are_on_the_books(tmp_path: Path) -> None:
    provider = Provider()
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(provider.step))
        async with gateway_process(policy(f"{upstream.url}/v1"), tmp_path) as gateway:
            first, _ = await ask(gateway, ASKED)
            second, told = await ask(gateway, ALIKE)
            # A call and a hit; an embedding for each question, a judge's word, a shadow's answer.
            rows = await gateway.rows(6)
            status, metrics = await gateway.admin("/metrics")
            await gateway.stop()

        assert first["x-pointsman-cache"].startswith("miss")
        assert "level=semantic" in second["x-pointsman-cache"]
        assert told["choices"][0]["message"]["content"] == ANSWER
        rows = gateway.ledger()

    assert status == 200
    own = [row for row in rows if row["key_name"].startswith("cache:")]
    assert {row["key_name"] for row in own} == {"cache:embedding", "cache:judge", "cache:shadow"}
    assert len({row["request_id"] for row in rows}) == len(rows)
    assert all(row["org"] == "default" and row["cost_nanousd"] > 0 and row["outcome"] == "ok" for row in own)
    [judged], [shadow] = of(rows, "cache:judge"), of(rows, "cache:shadow")
    assert (judged["deployment"], shadow["deployment"], shadow["route"]) == ("judge", "a", "m")
    [hit] = [row for row in of(rows, "tests") if row["attempt"] == 0]
    assert hit["cost_nanousd"] == 0
    assert len(upstream.requests) == len(rows) - 1
    for purpose, calls in (("judge", 1), ("embedding", 2), ("shadow", 1)):
        assert f'pointsman_cache_own_calls_total{{route="m",purpose="{purpose}",outcome="ok"}} {calls}\n' in metrics
    assert 'pointsman_requests_total{route="m",model="m",outcome="ok"} 2\n' in metrics
    assert 'route="cache:' not in metrics
    made_for = {one["made_for"]["request_id"] for one in gateway.lines if one["event"] == "cache.call.completed"}
    assert made_for == {row["request_id"] for row in of(rows, "tests")}
    assert not any(ASKED in line or ALIKE in line for line in gateway.text)


async def test_a_judges_no_is_a_miss(tmp_path: Path) -> None:
    provider = Provider("no")
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(provider.step))
        async with gateway_process(policy(f"{upstream.url}/v1"), tmp_path) as gateway:
            await ask(gateway, ASKED)
            second, _ = await ask(gateway, ALIKE)
            await gateway.stop()

    rows = gateway.ledger()
    assert second["x-pointsman-cache"].startswith("miss")
    assert len(of(rows, "cache:judge")) == 1
    assert [row["attempt"] for row in of(rows, "tests")] == [1, 1]


async def test_nothing_is_left_of_a_shadow_at_the_end(tmp_path: Path) -> None:
    provider = Provider(holds_shadows=True)
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(provider.step))
        async with gateway_process(policy(f"{upstream.url}/v1"), tmp_path) as gateway:
            await ask(gateway, ASKED)
            await ask(gateway, ALIKE)
            async with asyncio.timeout(5.0):
                await provider.held.wait()
            code = await gateway.stop()

    [shadow] = of(gateway.ledger(), "cache:shadow")
    assert code == 0
    assert (shadow["cancelled"], shadow["estimated"]) == (1, 1)
