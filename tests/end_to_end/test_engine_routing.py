"""Calls among engines go by what these tell of their lines: free slots, waits, models that are not loaded."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.admin.listening import FILE_KEY, listening
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening, Told

pytest.importorskip("llama_cpp")


def engines(folder: Path, route: dict[str, Any], **settings: dict[str, Any]) -> dict[str, Any]:
    """A policy with an engine for each of `settings`, all of one tiny model, behind one route."""
    usual = {"kind": "llama_cpp", "model_path": str(tiny_text_model(folder)), "context_tokens": 512, "threads": 1}
    return {
        "providers": {name: usual | more for name, more in settings.items()},
        "deployments": {name: {"provider": name, "price": {"input": 0, "output": 0}} for name in settings},
        "routes": [
            {"model": "any", "targets": list(settings)} | route,
            *({"model": n, "targets": [n]} for n in settings),
        ],
    }


async def say(here: Listening, model: str = "any", **more: Any) -> Told:
    message = {"role": "user", "content": "hello"}
    body = {"model": model, "messages": [message], "max_tokens": 2, "temperature": 0, "ignore_eos": True}
    return await here.call("POST", "/v1/chat/completions", FILE_KEY, body | more)


async def live(here: Listening) -> dict[str, dict[str, Any]]:
    told = await here.ask("GET", "/deployments")
    return {one["name"]: one["live"] for one in told.body["deployments"]}


async def until_ready(here: Listening, name: str) -> None:
    async with asyncio.timeout(10):
        while (await live(here))[name]["state"] != "ready":  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def decided(here: Listening, request_id: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        path = f"/admin/v1/decisions/{request_id}"
        while (told := await here.ask("GET", path)).status != 200:  # noqa: ASYNC110 - it is written down later
            await asyncio.sleep(0.01)
    decision: dict[str, Any] = told.body
    return decision


def by(told: list[Told]) -> Counter[str]:
    assert {one.status for one in told} == {200}
    return Counter(one.headers["x-pointsman-deployment"] for one in told)


async def test_under_load_nobody_waits_for_a_slot_while_another_engine_has_one(tmp_path: Path) -> None:
    route = {"strategy": "least_busy"}
    async with listening(tmp_path, **engines(tmp_path, route, small={"slots": 1}, large={"slots": 8})) as here:
        await asyncio.gather(until_ready(here, "small"), until_ready(here, "large"))
        served = by(await asyncio.gather(*(say(here, max_tokens=200) for _ in range(9))))
        assert served == {"small": 1, "large": 8}
        numbers = await live(here)
        assert {one["queued"] for one in numbers.values()} == {0}
        assert {one["wait_s"] for one in numbers.values()} == {0.0}


async def test_a_busy_home_spills_and_has_calls_again_once_it_is_free(tmp_path: Path) -> None:
    route = {"strategy": "spill", "spill": {"max_wait": "1ms"}}
    async with listening(tmp_path, **engines(tmp_path, route, home={"slots": 1}, away={"slots": 4})) as here:
        await asyncio.gather(until_ready(here, "home"), until_ready(here, "away"))
        assert by([await say(here, "home", max_tokens=50)]) == {"home": 1}
        async with asyncio.timeout(5):
            while not (await live(here))["home"]["run_s"]:  # noqa: ASYNC110 - the worker tells a few times a second
                await asyncio.sleep(0.01)
        served = by(await asyncio.gather(*(say(here, max_tokens=200) for _ in range(4))))
        assert served == {"home": 1, "away": 3}
        assert by([await say(here)]) == {"home": 1}


async def test_a_cold_home_spills_is_loaded_meanwhile_and_gets_the_next_call(tmp_path: Path) -> None:
    route = {"strategy": "spill", "spill": {"max_wait": "1ms"}}
    policy = engines(tmp_path, route, home={"load": "on_demand", "slots": 2}, away={"slots": 2})
    async with listening(tmp_path, **policy) as here:
        await until_ready(here, "away")
        assert (await live(here))["home"]["state"] == "unloaded"
        first = await say(here)
        assert by([first]) == {"away": 1}
        decision = await decided(here, first.headers["x-request-id"])
        assert "loaded meanwhile" in decision["why"]
        scores = {one["deployment"]: one["score"] for one in decision["candidates"]}
        assert 0.001 < scores["home"] < 10
        assert scores["away"] == 0
        await until_ready(here, "home")
        assert by([await say(here)]) == {"home": 1}
        assert (await live(here))["home"]["loads"] == 1
