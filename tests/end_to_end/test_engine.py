"""`pointsman engine` on its own, and a gateway in front of it: one model, two processes, HTTP between them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_process import gateway_process, pointsman_process, post
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)

KEY = "sk-engine-0123456789abcdef"
CHAT = {"model": "tiny-text", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    words = ["engine", "--model", str(tiny_text_model(tmp_path)), "--listen", "127.0.0.1:0", "--key-env", "ENGINE_KEY"]
    words += ["--threads", "1", "--slots", "2", "--context", "512", "--gpu-layers", "0"]
    async with pointsman_process(words, tmp_path, {"ENGINE_KEY": KEY}) as engine:
        yield engine


@pytest.fixture
async def front(engine: GatewayProcess, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    policy = {
        "providers": {"gpu": {"kind": "llama_cpp", "base_url": engine.base_url, "api_key": "${env:ENGINE_KEY}"}},
        "deployments": {"far": {"provider": "gpu", "model": "tiny-text"}},
        "routes": [{"model": "smart", "strategy": "least_busy", "targets": ["far"]}],
    }
    folder = tmp_path / "front"
    folder.mkdir()
    async with gateway_process(policy, folder, {"ENGINE_KEY": KEY}) as gateway:
        yield gateway


def get(path: str, key: str | None = KEY) -> bytes:
    credential = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n{credential}\r\n".encode()


def parsed(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def numbers(engine: GatewayProcess) -> Any:
    return parsed(await engine.ask(get("/v1/engine")))[1]


async def loaded(engine: GatewayProcess) -> Any:
    async with asyncio.timeout(30):
        while not (told := await numbers(engine))["ready"]:  # noqa: ASYNC110 - another process loads
            await asyncio.sleep(0.05)
    return told


async def test_a_key_opens_it_and_nothing_else_does(engine: GatewayProcess) -> None:
    for path in ("/v1/engine", "/engine", "/v1/models"):
        assert parsed(await engine.ask(get(path, None)))[0] == 401
        assert parsed(await engine.ask(get(path, f"{KEY}x")))[0] == 401
    assert parsed(await engine.ask(post("/v1/chat/completions", CHAT, key=None)))[0] == 401
    told = await loaded(engine)
    assert (told["object"], told["models"], told["queued"]) == ("engine", ["tiny-text"], 0)


async def test_it_answers_and_tells_operators(engine: GatewayProcess) -> None:
    await loaded(engine)
    status, body = parsed(await engine.ask(post("/v1/chat/completions", CHAT, key=KEY)))
    assert status == 200, body
    assert body["usage"]["completion_tokens"] <= 8
    assert (await engine.admin("/metrics"))[0] == 200
    assert (await engine.admin("/health/ready"))[0] == 200


async def test_it_drains_on_sigterm_and_leaves_nothing_behind(engine: GatewayProcess) -> None:
    await loaded(engine)
    assert await engine.stop(signal.SIGTERM) == 0


async def test_a_hang_up_signal_is_no_end_where_no_file_can_change(engine: GatewayProcess) -> None:
    await loaded(engine)
    engine.process.send_signal(signal.SIGHUP)
    assert (await numbers(engine))["ready"]


async def test_a_gateway_sends_it_calls_and_knows_its_line(engine: GatewayProcess, front: GatewayProcess) -> None:
    await loaded(engine)
    status, body = parsed(await front.ask(post("/v1/chat/completions", {**CHAT, "model": "smart"})))
    assert status == 200, body
    streamed = await front.ask(post("/v1/chat/completions", {**CHAT, "model": "smart", "stream": True}))
    assert b"data: [DONE]" in streamed
    async with asyncio.timeout(10):
        while (live := await live_numbers(front)).get("told_s_ago") is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    assert live["state"] == "ready"
    assert live["silence"] is None


async def live_numbers(front: GatewayProcess) -> Any:
    _, body = await front.admin("/deployments")
    return json.loads(body)["deployments"][0]["live"]
