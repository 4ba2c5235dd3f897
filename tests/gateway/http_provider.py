"""A provider behind a scripted upstream: what the tests of the HTTP upstream and of its answers share."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from adapters.openai import OpenAIAdapter
from adapters.openai_request import parse
from gateway.errors import UpstreamError
from gateway.http_upstream import HttpUpstream
from gateway.transport import Pool
from gateway.upstream import Exchange
from policies.vocabulary import Deployment, Endpoint, Timeouts
from tests.scripted_upstream import (
    ScriptedUpstream,
    events,
    head,
)

if TYPE_CHECKING:
    from gateway.transport.head import Headers
    from gateway.upstream import Answer
    from policies.vocabulary import Failure

KEY = "sk-upstream-0123456789"
DEPLOYMENT = Deployment("gpt-eu", "openai", "openai", "gpt-4o")
SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
WHOLE = json.dumps(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()


def piece(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return events(json.dumps({"id": "c-1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]}))


ROLE = events('{"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant"}}]}')
DONE = events("[DONE]")
ERROR = events('{"error":{"message":"overloaded","type":"server_error"}}')


def provider_at(far: ScriptedUpstream) -> HttpUpstream:
    return HttpUpstream(DEPLOYMENT, Pool(f"{far.url}/v1", (("authorization", f"Bearer {KEY}"),)), OpenAIAdapter())


def exchange(
    *, stream: bool = False, timeouts: Timeouts | None = None, total_s: float = 5.0, headers: Headers = ()
) -> Exchange:
    body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    parsed = parse(Endpoint.CHAT, json.dumps(body).encode())
    return Exchange(parsed, timeouts or Timeouts(), asyncio.get_running_loop().time() + total_s, "req-1", headers)


async def failure_of(upstream: HttpUpstream, of: Exchange) -> Failure:
    with pytest.raises(UpstreamError) as failed:
        await upstream.send(of)
    assert failed.value.deployment == "gpt-eu"
    return failed.value.failure


async def read(answer_: Answer) -> tuple[bytes, Failure | None]:
    got = []
    try:
        while data := await answer_.read():
            got.append(data)
    except UpstreamError as error:
        return b"".join(got), error.failure
    return b"".join(got), None
