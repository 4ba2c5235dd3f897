"""What callers hear of a call's cost, as OpenAI's own SDK reads it, and that the ledger has the same nano-USD."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI

from tests.gateway_process import KEY, gateway_process, one_route, post
from tests.openai_upstream import TEXT, speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

# 7 fresh and 4 cached tokens at 0.15, 7 written ones at 0.60 USD a million.
COST = "0.00000585"
NANOUSD = 5_850
ASKED = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def priced(
    folder: Path, more: dict[str, Any] | None = None, **route: Any
) -> AsyncIterator[tuple[GatewayProcess, AsyncOpenAI]]:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))
        policy = one_route(f"{upstream.url}/v1", **route) | (more or {})
        async with (
            gateway_process(policy, folder) as gateway,
            AsyncOpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client,
        ):
            yield gateway, client


async def test_a_whole_answer_says_what_it_cost(tmp_path: Path) -> None:
    async with priced(tmp_path) as (gateway, client):
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=ASKED)  # type: ignore[arg-type]
        assert raw.headers["x-pointsman-cost-usd"] == COST
        assert raw.parse().choices[0].message.content == TEXT
        assert not hasattr(raw.parse().usage, "cost")
        assert await gateway.stop() == 0
        (row,) = gateway.ledger()
    assert row["cost_nanousd"] == NANOUSD == Decimal(COST) * 10**9


async def test_the_sdk_reads_a_stream_with_its_cost_to_the_end(tmp_path: Path) -> None:
    async with priced(tmp_path) as (gateway, client):
        options = {"include_usage": True}
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True, stream_options=options)  # type: ignore[call-overload]
        chunks = [one async for one in stream]
        assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == TEXT
        assert chunks[-1].usage.total_tokens == 18
        body = {"model": "m", "messages": ASKED, "stream": True}
        sent = await gateway.ask(post("/v1/chat/completions", body))
        assert f": x-pointsman-cost-usd {COST}\n\ndata: [DONE]\n\n".encode() in sent
        assert b"x-pointsman-cost-usd" not in sent.partition(b"\r\n\r\n")[0]
        assert await gateway.stop() == 0
        assert [row["cost_nanousd"] for row in gateway.ledger()] == [NANOUSD] * 2


async def test_responses_and_embeddings_say_it_too(tmp_path: Path) -> None:
    async with priced(tmp_path) as (gateway, client):
        stream = await client.responses.create(model="m", input="hi", stream=True)
        assert [event.type async for event in stream][-1] == "response.completed"
        sent = await gateway.ask(post("/v1/responses", {"model": "m", "input": "hi", "stream": True}))
        assert b"\r\n: x-pointsman-cost-usd " in sent
        raw = await client.embeddings.with_raw_response.create(model="m", input="hi")
        told = [raw.headers["x-pointsman-cost-usd"]]
        assert await gateway.stop() == 0
        costs = [row["cost_nanousd"] for row in gateway.ledger()]
    assert Decimal(told[0]) * 10**9 == costs[-1]
    assert f"x-pointsman-cost-usd {Decimal(costs[0]) / 10**9:f}".encode() in sent


async def test_a_caller_may_have_it_in_the_usage(tmp_path: Path) -> None:
    async with priced(tmp_path) as (_, client):
        wants = {"x-pointsman-cost": "body"}
        whole = await client.chat.completions.create(model="m", messages=ASKED, extra_headers=wants)  # type: ignore[arg-type]
        assert whole.usage is not None
        assert whole.usage.cost == float(COST)  # type: ignore[attr-defined]
        options = {"include_usage": True}
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            model="m", messages=ASKED, stream=True, stream_options=options, extra_headers=wants
        )
        chunks = [one async for one in stream]
    assert chunks[-1].usage.cost == float(COST)


async def test_a_route_may_say_so_for_all_its_callers(tmp_path: Path) -> None:
    async with priced(tmp_path, cost_in_body=True) as (_, client):
        whole = await client.chat.completions.create(model="m", messages=ASKED)  # type: ignore[arg-type]
    assert whole.usage is not None
    assert json.loads(whole.usage.to_json())["cost"] == float(COST)


async def test_a_key_may_have_it_too_and_the_header_be_left_out(tmp_path: Path) -> None:
    keys = [{"name": "tests", "secret": KEY, "cost_in_body": True}]
    async with priced(tmp_path, {"keys": keys, "telemetry": {"cost_header": False}}) as (_, client):
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=ASKED)  # type: ignore[arg-type]
    assert json.loads(raw.text)["usage"]["cost"] == float(COST)
    assert "x-pointsman-cost-usd" not in raw.headers


async def test_a_hit_costs_nothing_and_says_what_it_saved(tmp_path: Path) -> None:
    async with priced(tmp_path, cache={"exact": {"ttl": "1h"}}) as (_, client):
        first, again = [
            await client.chat.completions.with_raw_response.create(model="m", messages=ASKED, temperature=0)  # type: ignore[arg-type]
            for _ in range(2)
        ]
        assert first.headers["x-pointsman-cost-usd"] == COST
        assert "x-pointsman-cost-saved-usd" not in first.headers
        assert again.headers["x-pointsman-cost-usd"] == "0"
        assert again.headers["x-pointsman-cost-saved-usd"] == COST
