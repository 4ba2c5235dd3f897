"""`pointsman engine` on its own, and a gateway in front of it: one model, two processes, HTTP between them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway_process import gateway_process, pointsman_process, post
from tests.tiny_gguf import tiny_embedding_model, tiny_rerank_model, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway_process import GatewayProcess

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-engine-0123456789abcdef"
CHAT = {"model": "tiny-text", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@asynccontextmanager
async def engine_of(model: Path, *more: str) -> AsyncIterator[GatewayProcess]:
    words = ["engine", "--model", str(model), "--listen", "127.0.0.1:0", "--key-env", "ENGINE_KEY"]
    words += ["--threads", "1", "--slots", "2", "--context", "512", "--gpu-layers", "0", *more]
    async with pointsman_process(words, model.parent, {"ENGINE_KEY": KEY}) as engine:
        yield engine


@asynccontextmanager
async def front_of(engine: GatewayProcess, model: str, **more: Any) -> AsyncIterator[GatewayProcess]:
    policy = {
        "providers": {"gpu": {"kind": "llama_cpp", "base_url": engine.base_url, "api_key": "${env:ENGINE_KEY}"}},
        "deployments": {"far": {"provider": "gpu", "model": model}},
        "routes": [{"model": "smart", "strategy": "least_busy", "targets": ["far"]}],
    } | more
    folder = engine.folder / "front"
    folder.mkdir()
    async with gateway_process(policy, folder, {"ENGINE_KEY": KEY}) as gateway:
        yield gateway


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with engine_of(tiny_text_model(tmp_path)) as engine:
        yield engine


@pytest.fixture
async def front(engine: GatewayProcess) -> AsyncIterator[GatewayProcess]:
    async with front_of(engine, "tiny-text") as gateway:
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


async def test_without_its_model_it_ends_and_says_why(tmp_path: Path) -> None:
    words = ["engine", "--model", str(tiny_text_model(tmp_path)), "--listen", "127.0.0.1:0", "--device", "NONE0"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 2
    assert "pointsman engine: the model cannot be loaded: there is no GPU NONE0" in said.decode()


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


async def test_vectors_of_an_engine_elsewhere_are_the_engines(tmp_path: Path) -> None:
    async with engine_of(tiny_embedding_model(tmp_path)) as engine, front_of(engine, "tiny-embedding") as front:
        model = (await loaded(engine))["models"][0]
        asked = {"model": model, "input": ["one text", "another"]}
        status, own = parsed(await engine.ask(post("/v1/embeddings", asked, key=KEY)))
        assert status == 200, own
        for form in ("float", "base64"):
            status, body = parsed(
                await front.ask(post("/v1/embeddings", asked | {"model": "smart", "encoding_format": form}))
            )
            assert status == 200, body
            assert [one["index"] for one in body["data"]] == [0, 1]
            if form == "float":
                for mine, theirs in zip(body["data"], own["data"], strict=True):
                    assert mine["embedding"] == pytest.approx(theirs["embedding"], abs=1e-3)
            assert body["usage"]["prompt_tokens"] == own["usage"]["prompt_tokens"] > 0
        status, body = parsed(await front.ask(post("/v1/embeddings", asked | {"model": "smart", "input": []})))
        assert status == 400, body


async def test_rankings_of_an_engine_elsewhere_are_the_engines(tmp_path: Path) -> None:
    async with engine_of(tiny_rerank_model(tmp_path)) as engine, front_of(engine, "tiny-rerank") as front:
        model = (await loaded(engine))["models"][0]
        asked = {"model": model, "query": "sea", "documents": ["a ship", "a tree", "a fish"], "top_n": 2}
        _, own = parsed(await engine.ask(post("/v1/rerank", asked, key=KEY)))
        for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
            status, body = parsed(await front.ask(post(path, asked | {"model": "smart"})))
            assert status == 200, body
            assert [one["index"] for one in body["results"]] == [one["index"] for one in own["results"]]
            assert len(body["results"]) == 2


async def test_what_an_engine_elsewhere_cannot_do_is_told(engine: GatewayProcess, front: GatewayProcess) -> None:
    await loaded(engine)
    status, body = parsed(await front.ask(post("/v1/embeddings", {"model": "smart", "input": "x"})))
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


ACME, OTHER = "sk-of-acme-0123456789abcdef", "sk-of-other-0123456789abcdef"


async def test_tenants_of_a_gateway_share_no_beginnings_at_an_engine_elsewhere(engine: GatewayProcess) -> None:
    keys = [{"name": "a", "secret": ACME, "org": "acme"}, {"name": "b", "secret": OTHER, "org": "other"}]
    async with front_of(engine, "tiny-text", keys=keys, orgs={"acme": {}, "other": {}}) as front:
        await loaded(engine)
        text = "A long beginning that all of one tenant's calls have in common, and nobody else's. " * 3
        asked = CHAT | {"model": "smart", "messages": [{"role": "user", "content": text}], "max_tokens": 1}
        cached = []
        for key in (ACME, OTHER, ACME, OTHER):
            status, body = parsed(await front.ask(post("/v1/chat/completions", asked, key=key)))
            assert status == 200, body
            cached.append(body["usage"]["prompt_tokens_details"]["cached_tokens"])
        assert cached[:2] == [0, 0]
        assert min(cached[2:]) > 100
        told = "X-Pointsman-Place: flow=acme"
        status, body = parsed(await engine.ask(post("/v1/chat/completions", CHAT, told, key=KEY)))
        assert (status, body["error"]["code"]) == (400, "invalid_header")
        # Whom the gateway's key does not vouch for says in vain whose call it is.
        assert parsed(await front.ask(post("/v1/chat/completions", asked, told, key=ACME)))[0] == 200
