"""What slots forget comes back, within a gateway's life and after it: as callers see it in their usage."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.admin.listening import FILE_KEY, listening
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening

pytest.importorskip("llama_cpp")

TALES = {name: f"{name} " * 50 for name in ("fox", "hen", "cow")}


def policy(folder: Path) -> dict[str, Any]:
    provider = {"kind": "llama_cpp", "model_path": str(tiny_text_model(folder)), "threads": 1, "slots": 1}
    provider |= {"context_tokens": 512, "cache": {"memory": "4MiB", "folder": str(folder / "kept")}}
    return {
        "providers": {"tiny": provider},
        "deployments": {"tiny": {"provider": "tiny"}},
        "routes": [{"model": "tiny", "targets": ["tiny"], "retry": {"attempts": 1}}],
    }


async def cached(here: Listening, name: str) -> int:
    """How many tokens of its prompt an answer did not have to read."""
    messages = [{"role": "user", "content": TALES[name]}]
    body = {"model": "tiny", "messages": messages, "max_tokens": 4, "temperature": 0}
    told = await here.call("POST", "/v1/chat/completions", FILE_KEY, body)
    assert told.status == 200, told.body
    return int(told.body["usage"]["prompt_tokens_details"]["cached_tokens"])


async def until_written(folder: Path, count: int) -> None:
    deadline_s = time.monotonic() + 10
    while len(list((folder / "kept").glob("*.state"))) < count:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


async def test_prompts_outlive_their_slot_and_their_gateway(tmp_path: Path) -> None:
    async with listening(tmp_path, **policy(tmp_path)) as here:
        assert [await cached(here, name) < 32 for name in ("fox", "hen")] == [True] * 2
        assert [await cached(here, name) > 128 for name in ("fox", "hen", "fox")] == [True] * 3
        await until_written(tmp_path, 2)
    async with listening(tmp_path, **policy(tmp_path)) as here:
        assert await cached(here, "cow") < 32  # what is on the disk is read meanwhile
        assert await cached(here, "fox") > 128
        assert await cached(here, "hen") > 128
