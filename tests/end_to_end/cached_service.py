"""A real gateway with a cached route before an upstream that counts, and what an SDK's answers say of the cache."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from openai import APIStatusError, AsyncOpenAI

from tests.gateway_process import KEY, complete, gateway_process, one_route
from tests.openai_upstream import speaks_openai
from tests.scripted_upstream import ScriptedUpstream, forever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

YES: object = True
LOGIN = "How do I log in?"
TOKEN = "an-admin-token-0123456789"


class Said(NamedTuple):
    """An answer's text and what its header says of the cache, word by word."""

    text: str
    result: str
    cache: dict[str, str]
    id: str
    request_id: str = ""


def policy(url: str, cache: object = YES, **more: Any) -> dict[str, Any]:
    return one_route(f"{url}/v1", cache=cache) | more


def counting() -> ScriptedUpstream:
    return ScriptedUpstream().otherwise(forever(speaks_openai(asyncio.Event())))


@asynccontextmanager
async def serving(
    folder: Path, cache: object = YES, **more: Any
) -> AsyncIterator[tuple[GatewayProcess, ScriptedUpstream]]:
    async with counting() as upstream, gateway_process(policy(upstream.url, cache, **more), folder) as gateway:
        yield gateway, upstream


@asynccontextmanager
async def sdk(gateway: GatewayProcess, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=key, max_retries=0, timeout=20.0) as client:
        yield client


async def ask(
    client: AsyncOpenAI, question: str = LOGIN, *, headers: dict[str, str] | None = None, **more: Any
) -> Said:
    raw = await client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": question}], extra_headers=headers, **more
    )
    result, words = told(raw.headers["x-pointsman-cache"])
    request_id = raw.headers["x-request-id"]
    if not more.get("stream"):
        made = raw.parse()
        return Said(made.choices[0].message.content or "", result, words, made.id, request_id)
    pieces, stream_id = [], ""
    async for chunk in raw.parse():
        pieces += [choice.delta.content or "" for choice in chunk.choices]
        stream_id = chunk.id
    return Said("".join(pieces), result, words, stream_id, request_id)


def told(header: str) -> tuple[str, dict[str, str]]:
    result, *words = header.split("; ")
    return result, dict(word.split("=", 1) for word in words)


async def embedder_is_up(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(60.0):
        while not any(  # noqa: ASYNC110 - another process's state
            line.startswith("pointsman_cache_embedder_up") and line.endswith(" 1")
            for line in (await gateway.admin("/metrics"))[1].splitlines()
        ):
            await asyncio.sleep(0.05)


async def admin(gateway: GatewayProcess, method: str, path: str, body: object = None) -> dict[str, Any]:
    """What the admin API answers to a policy whose `secrets.admin_token` is `TOKEN`."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} /admin/v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    replied = await gateway.ask(head.encode() + data, port=gateway.admin_port)
    found: dict[str, Any] = json.loads(replied.partition(b"\r\n\r\n")[2] or b"{}")
    return found


async def reload(gateway: GatewayProcess, changed: dict[str, Any]) -> None:
    """Put another policy in force."""
    before = await _generation(gateway)
    gateway.policy_file.write_text(yaml.safe_dump(complete(changed, gateway.folder)))
    gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10.0):
        while await _generation(gateway) <= before:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)


async def _generation(gateway: GatewayProcess) -> int:
    return int(json.loads((await gateway.admin("/deployments"))[1])["generation"])


async def found(client: AsyncOpenAI, question: str) -> Said:
    """Once there is something that it can be served with: a database may take its time."""
    async with asyncio.timeout(10.0):
        while True:
            try:
                return await ask(client, question, headers={"Cache-Control": "only-if-cached"})
            except APIStatusError:
                await asyncio.sleep(0.05)


async def metric(gateway: GatewayProcess, name: str) -> float:
    """Of the only series of that name, `pointsman_` left out; 0 where there is none."""
    lines = (await gateway.admin("/metrics"))[1].splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"pointsman_{name}{{")), 0.0)
