"""Local models by hand: seen, loaded, unloaded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.local.serving.engines import Engines
from gateway.local.serving.keeping import Keeping
from gateway.local.serving.supervisor import State
from tests.gateway.admin.listening import listening
from tests.gateway.local.serving.fake_supervisor import FakeSupervisor, spec

if TYPE_CHECKING:
    from pathlib import Path

MODELS = "/admin/v1/models"


def engines(*names: str) -> Engines:
    made: Any = FakeSupervisor  # a stand-in
    home = Engines(made, 100)
    for name in names:
        home.hold(spec(name, keeping=Keeping(on_demand=True, keep_alive_s=60.0)))
    return home


async def test_models_are_listed_loaded_and_unloaded(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("GET", MODELS)).body == {"models": [], "memory_bytes": None}
        home = here.gateway._upstreams.engines = engines("a", "b/c")
        listed = (await here.ask("GET", MODELS)).body
        assert (listed["memory_bytes"], [one["name"] for one in listed["models"]]) == (100, ["a", "b/c"])
        assert {one["state"] for one in listed["models"]} == {"unloaded"}
        loading = await here.ask("POST", f"{MODELS}/b%2Fc/load")
        assert (loading.status, loading.body["name"], loading.body["keep_alive_s"]) == (202, "b/c", 60.0)
        engine = home.find("b/c")
        assert engine is not None
        await asyncio.wait_for(engine.until_ready(asyncio.get_running_loop().time() + 5), 5)
        again = await here.ask("POST", f"{MODELS}/b%2Fc/load")
        assert (again.status, again.body["state"], again.body["loads"]) == (202, "ready", 1)
        gone = await here.ask("POST", f"{MODELS}/b%2Fc/unload")
        assert (gone.status, gone.body["state"]) == (200, "unloaded")


async def test_what_works_is_not_unloaded_by_hand(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        home = here.gateway._upstreams.engines = engines("a")
        engine = home.find("a")
        assert engine is not None
        engine.enter()
        await engine.load()
        busy = await here.ask("POST", f"{MODELS}/a/unload")
        assert (busy.status, busy.code, engine.state) == (409, "model_busy", State.READY)
        engine.leave()


@pytest.mark.parametrize("action", ["load", "unload"])
async def test_an_unknown_model_is_told(tmp_path: Path, action: str) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("POST", f"{MODELS}/none/{action}")).code == "model_not_found"
