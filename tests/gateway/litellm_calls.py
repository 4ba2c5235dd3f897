"""Calls through the litellm driver, and a scripted provider that speaks Anthropic's stream."""

from __future__ import annotations

import asyncio
import json
import linecache
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.schema import InferenceRequest
from gateway.litellm.driver import LitellmUpstream
from gateway.upstream import Exchange
from policies.vocabulary import Deployment, Endpoint, Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.upstream import Answer

    Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LITELLMS_WARNINGS = [
    # litellm's own pydantic models at run time; it silences both itself, but pytest resets filters for each test.
    pytest.mark.filterwarnings("ignore:Accessing the:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*using the `ReadOnly` qualifier:UserWarning"),
]

MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-r7b-12-2024",
    "gemini": "gemini-2.5-flash",
}
AWS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "dummy-secret-key", "aws_region_name": "us-east-1"}
KEY = "made-up-provider-key"


@asynccontextmanager
async def upstream(provider: str, base_url: str, model: str | None = None) -> AsyncIterator[LitellmUpstream]:
    deployment = Deployment("the-deployment", provider, "litellm", f"{provider}/{model or MODELS[provider]}")
    is_bedrock = provider == "bedrock"
    driver = LitellmUpstream(deployment, AWS if is_bedrock else {}, None if is_bedrock else KEY, base_url)
    await driver.start()
    # litellm formats a traceback of every error, and the first one of each kind reads its source files on the loop.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linecache, "updatecache", lambda *_: [])
        try:
            yield driver
        finally:
            await driver.close()
            await close_litellms_own_clients()


async def close_litellms_own_clients() -> None:
    import litellm  # noqa: PLC0415 - an extra

    await litellm.close_litellm_async_clients()  # type: ignore[attr-defined,no-untyped-call]


def exchange(
    members: dict[str, Any], *, stream: bool = False, usage: bool = True, limits: dict[str, float] | None = None
) -> Exchange:
    endpoint = Endpoint.EMBEDDINGS if "input" in members else Endpoint.CHAT
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
    request = InferenceRequest(endpoint, "route", stream, usage, raw, 100)
    limits = limits or {"total_s": 20.0}
    return Exchange(
        request, Timeouts(**limits), asyncio.get_running_loop().time() + limits.get("total_s", 20.0), "request-id"
    )


def chat(**members: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], **members}


async def drain(answer: Answer) -> bytes:
    data = answer.body or b""
    while answer.body is None and (piece := await answer.read()):
        data += piece
    answer.close()
    return data


def events_of(data: bytes) -> list[dict[str, Any]]:
    pieces = data.decode().split("\n\n")
    assert pieces[-2:] == ["data: [DONE]", ""]
    return [json.loads(piece.removeprefix("data: ")) for piece in pieces[:-2]]


def message_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream's events add up to, as an SDK would put it together."""
    text = ""
    calls: dict[int, dict[str, str]] = {}
    for delta in (choice["delta"] for event in events for choice in event["choices"]):
        text += delta.get("content") or ""
        for part in delta.get("tool_calls") or ():
            call = calls.setdefault(part["index"], {"name": "", "arguments": ""})
            for name in call:
                call[name] += part["function"].get(name) or ""
    return {"content": text, "tool_calls": [{"function": call} for call in calls.values()]}


@asynccontextmanager
async def provider(script: Script, heads: list[bytes] | None = None) -> AsyncIterator[str]:
    """A provider that does what `script` says after each request, whose head it keeps."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(head)
            if length := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(length[1]))
            await script(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


EVENTS_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def anthropic_events(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


BEGINNING = anthropic_events(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
            "usage": {
                "input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)  # fmt: skip
HELLO = anthropic_events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}})
ENDING = anthropic_events(
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)


def stalled(stalls_after: bytes, stalling: asyncio.Event, gone: asyncio.Event) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stalls_after)
        await writer.drain()
        stalling.set()
        assert await reader.read() == b""
        gone.set()

    return script
