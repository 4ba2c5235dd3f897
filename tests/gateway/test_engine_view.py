from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from gateway.engine_view import EngineView, told_by
from gateway.remote_engine import read_told
from gateway.version import VERSION
from policies.choosing import Line
from policies.matching import compile_routes

if TYPE_CHECKING:
    import pytest

    from gateway.generation import Generation


class Engine:
    ready = True
    line: Line | None = Line(3, 8, 8, 1.5)

    def describe(self) -> dict[str, Any]:
        return {"state": "ready", "slots": 8, "running": 8, "pace": None}


def generation(keys: object = None) -> Generation:
    return cast("Generation", SimpleNamespace(upstreams={"engine": Engine()}, keys=keys, index=compile_routes(())))


def test_a_gateway_reads_what_an_engine_tells() -> None:
    told = told_by(generation())
    assert read_told(msgspec.json.encode(told)) == told
    assert (told.ready, told.queued, told.slots, told.running, told.wait_s) == (True, 3, 8, 8, 1.5)
    assert told.live["running"] == 8


def test_a_line_that_is_not_told_is_unknown() -> None:
    silent = generation()
    cast("Any", silent.upstreams["engine"]).line = None
    told = told_by(silent)
    assert (told.slots, told.wait_s, told.is_cold) == (None, None, False)


async def test_the_answer_says_it_is_an_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine_view.identify", lambda *_: None)
    asked: Any = SimpleNamespace(headers={}, peer=None, keep_alive=True, protocol=None, method="GET")
    reply = await EngineView(generation)(asked, "req-1")
    head, _, body = (reply._whole or b"").partition(b"\r\n\r\n")
    assert json.loads(body) == {
        "object": "engine",
        "version": VERSION,
        "models": [],
        "ready": True,
        "queued": 3,
        "slots": 8,
        "running": 8,
        "wait_s": 1.5,
        "is_cold": False,
        "live": Engine().describe(),
    }
    assert b"cache-control: no-store" in head
