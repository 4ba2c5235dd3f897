"""LoRA adapters by the name of a model: through a policy's deployments, and through `pointsman engine` on its own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.admin.listening import FILE_KEY, listening
from tests.gateway_process import pointsman_process, post
from tests.tiny_gguf import TextShape, tiny_adapter, tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening

pytest.importorskip("llama_cpp")

MODELS = ("base", "poet", "clerk")
CHAT = {"messages": [{"role": "user", "content": "Tell me of the sea, please."}], "max_tokens": 12, "temperature": 0}
KEY = "sk-engine-0123456789abcdef"


def adapters(folder: Path) -> dict[str, str]:
    return {
        name: str(tiny_adapter(folder, TextShape(seed=seed), name=f"{name}.gguf"))
        for seed, name in enumerate(MODELS[1:], 1)
    }


def policy(folder: Path) -> dict[str, Any]:
    provider = {"kind": "llama_cpp", "model_path": str(tiny_text_model(folder)), "threads": 1, "slots": 3}
    provider |= {"context_tokens": 256, "deterministic": True, "adapters": adapters(folder)}
    return {
        "providers": {"tiny": provider},
        "deployments": {"base": {"provider": "tiny"}}
        | {name: {"provider": "tiny", "model": f"tiny:{name}"} for name in MODELS[1:]},
        "routes": [{"model": name, "targets": [name], "retry": {"attempts": 1}} for name in MODELS],
    }


async def say(here: Listening, model: str) -> str:
    told = await here.call("POST", "/v1/chat/completions", FILE_KEY, CHAT | {"model": model})
    assert told.status == 200, told.body
    return str(told.body["choices"][0]["message"]["content"])


async def test_base_and_adapters_answer_in_the_same_moment_as_alone(tmp_path: Path) -> None:
    async with listening(tmp_path, **policy(tmp_path)) as here:
        alone = [await say(here, name) for name in MODELS]
        assert len(set(alone)) == len(MODELS)
        for _ in range(3):
            assert await asyncio.gather(*(say(here, name) for name in MODELS)) == alone


async def test_an_engine_of_its_own_has_a_model_for_each_adapter(tmp_path: Path) -> None:
    words = ["engine", "--model", str(tiny_text_model(tmp_path)), "--name", "base", "--listen", "127.0.0.1:0"]
    words += ["--key-env", "ENGINE_KEY", "--threads", "1", "--slots", "2", "--context", "256", "--gpu-layers", "0"]
    for name, path in adapters(tmp_path).items():
        words += ["--adapter", f"{name}={path}"]
    async with pointsman_process(words, tmp_path, {"ENGINE_KEY": KEY}) as engine:
        texts = set()
        for model in ("base", "base:poet", "base:clerk", "base:nobody"):
            answer = await engine.ask(post("/v1/chat/completions", CHAT | {"model": model}, key=KEY))
            head, _, body = answer.partition(b"\r\n\r\n")
            if model == "base:nobody":
                assert (head.split()[1], json.loads(body)["error"]["code"]) == (b"404", "model_not_found")
            else:
                texts.add(json.loads(body)["choices"][0]["message"]["content"])
        assert len(texts) == len(MODELS)
