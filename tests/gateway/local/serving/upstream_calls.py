"""Exchanges with an upstream that runs a model itself, as its tests make them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from adapters.openai_request import parse
from gateway.upstream import Exchange
from policies.vocabulary import Deployment, Endpoint, Timeouts

if TYPE_CHECKING:
    from gateway.local.serving.upstream import LocalUpstream

DEPLOYMENT = Deployment("local", "bundled", "llama_cpp", "smollm2")
HI: list[dict[str, Any]] = [{"role": "user", "content": "Write one line about the sea."}]


def exchange(endpoint: Endpoint = Endpoint.CHAT, timeouts: Timeouts | None = None, **body: Any) -> Exchange:
    body = {"model": "m", "temperature": 0, "max_tokens": 4} | body
    if endpoint is Endpoint.CHAT:
        body.setdefault("messages", HI)
    timeouts = timeouts or Timeouts(total_s=30)
    deadline_s = asyncio.get_running_loop().time() + timeouts.total_s
    return Exchange(parse(endpoint, json.dumps(body).encode()), timeouts, deadline_s, "r")


async def whole(upstream: LocalUpstream, endpoint: Endpoint = Endpoint.CHAT, **body: Any) -> dict[str, Any]:
    answer = await upstream.send(exchange(endpoint, **body))
    answer.close()
    reply: dict[str, Any] = json.loads(answer.body or b"")
    return reply
