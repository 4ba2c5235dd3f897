"""Three models in memory for two, through a whole gateway: they come when called, and leave for one another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.admin.listening import FILE_KEY, listening, policy
from tests.tiny_gguf import TextShape, tiny_adapter, tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening, Told

pytest.importorskip("llama_cpp")

NAMES = ("red", "green", "blue")
ROOM_FOR_TWO = "150MiB"
LATE = {"timeouts": {"first_token": "100ms", "total": "10s"}, "retry": {"attempts": 1}}


def changes(folder: Path, settings: dict[str, dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A policy with three providers of one tiny model each, loaded on demand, and a route to each."""
    providers = {}
    for seed, name in enumerate(NAMES, 1):
        path = folder / f"{name}.gguf"
        if not path.exists():
            tiny_text_model(folder, TextShape(seed=seed), name=path.name)
        usual = {"kind": "llama_cpp", "model_path": str(path), "load": "on_demand", "slots": 2, "context_tokens": 256}
        providers[name] = usual | {"threads": 1} | (settings or {}).get(name, {})
    return {
        "providers": providers,
        "deployments": {name: {"provider": name} for name in NAMES},
        "routes": [{"model": name, "targets": [name], "retry": {"attempts": 1}} for name in NAMES],
        "engines": {"memory": ROOM_FOR_TWO},
    } | more


async def say(here: Listening, model: str, **more: Any) -> Told:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "temperature": 0}
    return await here.call("POST", "/v1/chat/completions", FILE_KEY, body | more)


async def models(here: Listening) -> dict[str, dict[str, Any]]:
    told = await here.ask("GET", "/admin/v1/models")
    return {model["name"]: model for model in told.body["models"]}


async def loaded(here: Listening) -> set[str]:
    return {name for name, model in (await models(here)).items() if model["state"] == "ready"}


async def until_loaded(here: Listening, names: set[str]) -> None:
    async with asyncio.timeout(10):
        while await loaded(here) != names:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


async def test_models_come_when_they_are_called_and_the_one_idle_longest_leaves(tmp_path: Path) -> None:
    async with listening(tmp_path, **changes(tmp_path)) as here:
        ready = await here.ask("GET", "/health/ready")
        assert (ready.status, await loaded(here)) == (200, set())
        answers = {name: (await say(here, name)).body["choices"][0]["message"]["content"] for name in NAMES}
        assert await loaded(here) == {"green", "blue"}
        again = await say(here, "red")
        assert again.body["choices"][0]["message"]["content"] == answers["red"]
        assert await loaded(here) == {"blue", "red"}
        shown = await models(here)
        assert [shown[name]["loads"] for name in NAMES] == [2, 1, 1]
        assert 0 < shown["red"]["cold_start_s"] < 10
        assert all(60 << 20 < model["memory_bytes"] < 75 << 20 for model in shown.values())


async def test_a_crowd_waits_for_one_load(tmp_path: Path) -> None:
    async with listening(tmp_path, **changes(tmp_path)) as here:
        told = await asyncio.gather(*(say(here, "red") for _ in range(8)))
        assert {one.status for one in told} == {200}
        assert len({one.body["choices"][0]["message"]["content"] for one in told}) == 1
        assert (await models(here))["red"]["loads"] == 1


async def test_what_is_pinned_stays(tmp_path: Path) -> None:
    async with listening(tmp_path, **changes(tmp_path, {"red": {"pinned": True}})) as here:
        for name in (*NAMES, "green"):
            assert (await say(here, name)).status == 200
        assert await loaded(here) == {"red", "green"}


async def test_a_model_that_nobody_calls_leaves(tmp_path: Path) -> None:
    async with listening(tmp_path, **changes(tmp_path, {"red": {"keep_alive": "200ms"}})) as here:
        assert (await say(here, "red")).status == 200
        assert await loaded(here) == {"red"}
        await until_loaded(here, set())
        assert (await say(here, "red")).status == 200
        assert (await models(here))["red"]["loads"] == 2


async def test_who_cannot_wait_for_a_model_gets_another_and_finds_it_loaded_later(tmp_path: Path) -> None:
    route = {"model": "smart", "targets": ["red"], "fallbacks": ["green"], **LATE}
    alone = {"model": "alone", "targets": ["blue"], **LATE}
    usual = changes(tmp_path)
    async with listening(tmp_path, **usual | {"routes": [route, alone, *usual["routes"]]}) as here:
        assert (await say(here, "green")).status == 200
        pieces = await say(here, "smart", stream=True)
        assert pieces.status == 200
        assert '"model":"green"' in pieces.body.replace(" ", "")
        refused = await say(here, "alone", stream=True)
        assert (refused.status, refused.code) == (503, "engine_loading")
        assert int(refused.headers["retry-after"]) >= 1
        async with asyncio.timeout(10):
            while (await say(here, "alone", stream=True)).status != 200:  # noqa: ASYNC110 - as a caller would
                await asyncio.sleep(0.05)


async def test_a_reload_keeps_what_did_not_change(tmp_path: Path) -> None:
    async with listening(tmp_path, **changes(tmp_path)) as here:
        for name in ("red", "green"):
            await say(here, name)
        pids = await worker_ids(here)
        kept = changes(tmp_path, {"red": {"pinned": True}, "green": {"slots": 1}})
        await here.gateway.reload(await asyncio.to_thread(policy, tmp_path, **kept))
        assert (await models(here))["red"]["pinned"]
        assert (await say(here, "red")).status == 200
        assert (await say(here, "green")).status == 200
        after = await worker_ids(here)
        assert after["red"] == pids["red"]
        assert after["green"] != pids["green"]


async def worker_ids(here: Listening) -> dict[str, int]:
    told = await here.ask("GET", "/deployments")
    return {one["name"]: one["live"]["pid"] for one in told.body["deployments"]}


async def test_deployments_of_one_provider_share_its_worker(tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path)
    usual = changes(tmp_path, {"red": {"adapters": {"shout": str(adapter)}}})
    deployments = {"plain": {"provider": "red"}, "loud": {"provider": "red", "model": "red:shout"}}
    routes = [{"model": name, "targets": [name]} for name in deployments]
    changed = usual | {"deployments": deployments, "routes": routes}
    async with listening(tmp_path, **changed) as here:
        assert (await say(here, "plain")).status == 200
        workers = await worker_ids(here)
        assert workers["plain"] == workers["loud"]
        assert (await models(here))["red"]["loads"] == 1
