from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.admin import event_routes
from gateway.admin.event_routes import EventQuery, Wanted
from gateway.records.request_event import RequestEvent
from gateway.records.request_log import RequestLog
from gateway.records.settlement import settle
from tests.gateway.admin.listening import listening
from tests.gateway.calls import attempt, call

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = "/admin/v1/events"
TOLD: dict[str, Any] = {
    "outcome": "ok",
    "route": "smart",
    "team": "red",
    "key_alias": "ci",
    "model_requested": "gpt",
    "deployment": "a",
    "cost": {"total_nano_usd": 2_000_000},
    "timing_ms": {"total": 120.5},
}


def line(**changed: Any) -> bytes:
    return json.dumps({**TOLD, **changed}).encode()


@pytest.mark.parametrize(
    ("query", "is_wanted"),
    [
        ({}, True),
        ({"route": "smart", "team": "red", "key": "ci", "model": "gpt", "deployment": "a", "outcome": "ok"}, True),
        ({"route": "other"}, False),
        ({"team": "blue"}, False),
        ({"key": "cd"}, False),
        ({"model": "claude"}, False),
        ({"deployment": "b"}, False),
        ({"outcome": "timeout"}, False),
        ({"min_cost": 0.002}, True),
        ({"min_cost": 0.0021}, False),
        ({"min_ms": 120.5}, True),
        ({"min_ms": 121}, False),
        ({"errors": True}, False),
    ],
)
def test_a_line_is_wanted_where_it_meets_all_that_is_named(query: dict[str, Any], *, is_wanted: bool) -> None:
    assert Wanted(msgspec.convert(query, EventQuery))(line()) is is_wanted


def test_errors_are_those_of_upstreams_and_ours() -> None:
    wanted = Wanted(EventQuery(errors=True))
    found = {outcome: wanted(line(outcome=outcome)) for outcome in ("timeout", "gateway_error", "client_error")}
    assert found == {"timeout": True, "gateway_error": True, "client_error": False}


def test_what_is_unpriced_costs_no_known_least() -> None:
    wanted = Wanted(EventQuery(min_cost=0.001))
    assert not wanted(line(cost={"total_nano_usd": None}))
    assert not wanted(line(cost=None))


async def test_events_come_as_the_log_tells_them(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        cursor = (await here.ask("GET", EVENTS)).body["cursor"]
        written = RequestLog(as_json=True).line(settle(call(attempt())))
        here.gateway.reporting.events.add([written])
        page = (await here.ask("GET", f"{EVENTS}?after={cursor}&route=smart")).body
        assert page["events"] == [json.loads(written)]
        assert msgspec.convert(page["events"][0], RequestEvent).outcome == "ok"
        assert page["missed"] == 0
        assert (await here.ask("GET", f"{EVENTS}?after={page['cursor']}")).body["events"] == []


@pytest.mark.parametrize(
    "query", ["wait_s=26", "wait_s=-1", "limit=0", "outcome=no", "after=%00", "min_cost=-1", "x=1"]
)
async def test_what_is_wrongly_asked_is_told(tmp_path: Path, query: str) -> None:
    async with listening(tmp_path) as here:
        assert (await here.ask("GET", f"{EVENTS}?{query}")).status == 400


async def test_too_many_watchers_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_routes, "WATCHERS_MAX", 0)
    async with listening(tmp_path) as here:
        answer = await here.ask("GET", EVENTS)
        assert (answer.status, answer.body["error"]["code"]) == (503, "too_many_watchers")
