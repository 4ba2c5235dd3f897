"""Thousands of made-up words from callers and from a hostile upstream: the metrics learn none of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectionError, ClientSession, TCPConnector, web

from tests.gateway_process import KEY, gateway_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

JUNK = "zzjunk"
AT_ONCE = 16


class Hostile:
    """An upstream that answers with whatever it likes, never twice the same."""

    def __init__(self) -> None:
        self._words = itertools.count()
        self._rng = random.Random(7)

    def word(self) -> str:
        return f'{JUNK}-{next(self._words)}"}}\\\n{{'

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        kind = self._rng.randrange(8)
        headers = {f"x-{JUNK}-{next(self._words)}": "1", "openai-organization": JUNK}
        if kind == 0:
            error = {"message": self.word(), "type": self.word(), "code": self.word(), "param": self.word()}
            status = self._rng.choice([400, 404, 409, 418, 422, 451, 499, 520, 599])
            return web.json_response({"error": error}, status=status, headers=headers)
        if kind == 1:
            return web.Response(status=500, reason=JUNK, text=self.word(), headers=headers)
        if kind == 2:
            return await self._stream(request)
        if kind == 3:
            return web.Response(body=b'{"choices": [' + self.word().encode(), content_type="application/json")
        return web.json_response(self._answer(), headers=headers)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        delta = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": self.word()}
        for choices in ([delta], [last]):
            event = {"id": "c", "object": "chat.completion.chunk", "model": self.word(), "choices": choices}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def _answer(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "hi"}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, self.word(): 3}
        usage["prompt_tokens_details"] = {"cached_tokens": 1, self.word(): 9}  # type: ignore[assignment]
        choice = {"index": 0, "message": message, "finish_reason": self.word()}
        answer = {"id": self.word(), "object": "chat.completion", "created": 1, "model": self.word()}
        return answer | {"choices": [choice], "usage": usage, "service_tier": self.word(), "system_fingerprint": JUNK}


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[GatewayProcess]:
    runner = web.ServerRunner(web.Server(Hostile()))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    policy = {
        "providers": {"p": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "none"}},
        "deployments": {name: {"provider": "p", "model": "m", "price": {"input": 1, "output": 2}} for name in "ab"},
        "routes": [
            {"model": ["gpt-*", "exact"], "targets": ["a"], "fallbacks": ["b"], "cache": {"exact": {"ttl": "1h"}}},
        ],
        "limits": [{"per": "key", "requests": "100000/min", "cost": "1000 USD/month"}],
    }
    try:
        async with gateway_process(policy, folder) as gateway:
            yield gateway
    finally:
        await runner.cleanup()


async def attack(gateway: GatewayProcess, count: int, first: int) -> None:
    """So many requests, each with words that were never seen before, in every place where a caller has a say."""
    left = iter(range(first, first + count))
    async with ClientSession(connector=TCPConnector(limit=AT_ONCE)) as session:

        async def ask() -> None:
            for number in left:
                try:
                    async with session.request(**request(number, f"http://127.0.0.1:{gateway.port}")) as answer:
                        await answer.read()
                except ClientConnectionError:
                    pass  # a method that is none ends its connection

        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))


def request(number: int, url: str) -> dict[str, Any]:
    word = f"{JUNK}-{number}"
    headers = {
        "Authorization": f"Bearer {KEY if number % 10 else word}",
        "User-Agent": word,
        "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
        "tracestate": f"{JUNK}={number}",
        "OpenAI-Organization": word,
        "OpenAI-Project": word,
        "Idempotency-Key": word,
        f"x-{word}": word,
        "x-pointsman-team": word,
    }
    path, method = "/v1/chat/completions", "POST"
    if number % 7 == 0:
        path = f"/v1/{word}" if number % 2 else f"/v1/models/{word}"
    if number % 11 == 0:
        method = "GET" if number % 2 else f"{JUNK.upper()}{number}"
    model = {0: f"gpt-{word}", 1: word, 2: "exact", 3: "gpt-*"}[number % 4]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": word}], "user": word}
    body |= {"stream": number % 3 == 0, word: word, "service_tier": word, "metadata": {word: word}}
    return {"method": method, "url": url + path, "headers": headers, "json": body}


async def told(gateway: GatewayProcess) -> dict[str, str]:
    _, text = await gateway.admin("/metrics")
    assert JUNK not in text.lower()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_no_word_of_a_caller_or_an_upstream_becomes_a_label(tmp_path: Path) -> None:
    async with attacked(tmp_path) as gateway:
        await attack(gateway, 400, first=0)
        before = await told(gateway)
        await attack(gateway, 2_000, first=400)
        after = await told(gateway)
    counted = sum(int(value) for name, value in after.items() if name.startswith("pointsman_requests_total"))
    assert counted > 1_500
    assert after['pointsman_finish_reasons_total{provider="p",deployment="a",model="m",reason="other"}'] != "0"
    assert 'pointsman_requests_total{route="gpt-*",model="other",outcome="ok"}' in after
    assert after.keys() - before.keys() == set()
    assert int(after["pointsman_metric_series"]) == len(after) == int(before["pointsman_metric_series"])
    assert not any(name.startswith("pointsman_metric_series_rejected_total{") for name in after)
