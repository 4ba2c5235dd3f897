"""A stream of text in many alphabets is cut after each of its bytes: what goes on elsewhere is exact, every time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import parsed
from tests.gateway_process import gateway_process, post
from tests.scripted_upstream import ScriptedUpstream, chunk, events, forever, head, request, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tests.end_to_end.proving_ground import Reply
    from tests.gateway_process import GatewayProcess
    from tests.scripted_upstream import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = ("Grü", "ße", " aus", " 東", "京", " \N{STEAM LOCOMOTIVE}", "\N{COMBINING ACUTE ACCENT}", " ok.")
TEXT = "".join(TOKENS)
HEAD = head(content_type="text/event-stream", transfer_encoding="chunked")
AT_ONCE = 16
DEPLOYMENTS = 60


def event(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return events(json.dumps(body, ensure_ascii=False))


def stream_of(tokens: Iterable[str]) -> bytes:
    return b"".join(map(event, tokens)) + event(None, "stop") + events("[DONE]")


WHOLE = stream_of(TOKENS)
FIRST_BYTES = len(event(TOKENS[0]))
TEXT_BYTES = len(WHOLE) - len(event(None, "stop") + events("[DONE]"))


async def play(peer: Peer) -> None:
    """`first` sends as many bytes as the conversation's first word says, in two chunks, and hangs up."""
    body = json.loads(peer.requests[-1].body)
    first, last = body["messages"][0], body["messages"][-1]
    if body["model"] == "first":
        size = int(first["content"])
        await send(HEAD + b"".join(chunk(part) for part in (WHOLE[: size // 2], WHOLE[size // 2 : size]) if part))(peer)
        peer.writer.close()
    elif last["role"] == "assistant":
        rest = TEXT.removeprefix(last["content"])
        await send(HEAD + chunk(stream_of(rest)) + chunk(b""))(peer)
    else:
        await send(HEAD + chunk(WHOLE) + chunk(b""))(peer)


def policy_of(url: str) -> dict[str, Any]:
    """As many deployments as keep each below the number of failures that a breaker judges by."""
    providers = {
        "far": {"kind": "openai", "base_url": f"{url}/v1", "api_key": "sk-0", "breaker": {"failures": 1000}},
    }
    deployments = {"second": {"provider": "far", "model": "second", "supports": ["prefill"]}}
    routes = []
    for way in ("prefill", "align"):
        for number in range(DEPLOYMENTS):
            name = f"{way}-{number}"
            deployments[name] = {"provider": "far", "model": "first"}
            routes.append(
                {
                    "model": name,
                    "targets": [name],
                    "fallbacks": ["second"],
                    "resume": [way],
                    "retry": {"attempts": 1},
                }
            )
    return {"providers": providers, "deployments": deployments, "routes": routes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(request(), play))
        async with gateway_process(policy_of(upstream.url), tmp_path_factory.mktemp("cuts")) as gateway:
            yield gateway


@pytest.mark.parametrize("way", ["prefill", "align"])
async def test_no_character_is_lost_or_doubled_wherever_a_stream_is_cut(gateway: GatewayProcess, way: str) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def cut_after(size: int) -> Reply:
        body = {
            "model": f"{way}-{size % DEPLOYMENTS}",
            "stream": True,
            "messages": [{"role": "user", "content": str(size)}],
        }
        async with turns:
            return parsed(await gateway.ask(post("/v1/chat/completions", body)))

    sizes = range(len(WHOLE))
    replies = dict(zip(sizes, await asyncio.gather(*map(cut_after, sizes)), strict=True))
    for size, reply in replies.items():
        said = "".join((e["choices"][0]["delta"] or {}).get("content", "") for e in chunks(reply))
        assert (size, reply.status, said) == (size, 200, TEXT)
        assert ("[DONE]" in reply.events) is not any("error" in e for e in reply.events if isinstance(e, dict)), size
        if size < TEXT_BYTES:  # the end was still to come, so somebody else said it
            assert reply.events[-1] == "[DONE]", size
        is_begun, is_ended = size >= FIRST_BYTES, size >= TEXT_BYTES + len(event(None, "stop"))
        assert (b": resumed by" in reply.body) is (is_begun and not is_ended), size
        assert reply.attempts == (1 if is_begun else 2), size


def chunks(reply: Reply) -> list[dict[str, Any]]:
    return [event for event in reply.events if isinstance(event, dict) and event.get("choices")]
