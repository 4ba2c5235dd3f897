from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from multidict import CIMultiDict

from gateway.admin.gate import ANYBODY
from gateway.admin.routes import Asked, Permission
from gateway.lifecycle import Lifecycle
from gateway.live_view import LiveView
from gateway.state.fleet import Fleet
from policies.vocabulary import Deployment, Failure, FailureKind

if TYPE_CHECKING:
    from gateway.server import Inbound
    from gateway.signals.exposition import Scrapes

A = Deployment("a", "openai", "openai", "gpt-4o", region="eu")
B = Deployment("b", "local", "llama_cpp", "llama")


class FakeUpstream:
    def __init__(self) -> None:
        self.ready = True

    def describe(self) -> dict[str, int]:
        return {"connections": 3}


class FakeScrapes:
    def __init__(self) -> None:
        self.accepted: list[str] = []

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        self.accepted.append(accept)
        return "text/plain", b"pointsman_up 1\n"


class View:
    """A live view over two deployments, and everything it looks at."""

    def __init__(self) -> None:
        self.upstreams = {"a": FakeUpstream(), "b": FakeUpstream()}
        generation = SimpleNamespace(number=3, digest="abc", deployments={"a": A, "b": B}, upstreams=self.upstreams)
        self.fleet = Fleet(lambda: 0.0)
        self.lifecycle = Lifecycle()
        self.scrapes = FakeScrapes()
        self._live = LiveView(
            lambda: cast("Any", generation), self.fleet, self.lifecycle, cast("Scrapes", self.scrapes)
        )

    async def ask(self, path: str, **headers: str) -> tuple[int, Any]:
        inbound = cast("Inbound", SimpleNamespace(headers=CIMultiDict(headers)))
        route = next(route for route in self._live.routes() if route.path == path)
        status, content_type, body, _ = await route.respond(Asked(inbound, ANYBODY, {}))
        return status, json.loads(body) if content_type == "application/json" else body


async def test_liveness_says_nothing() -> None:
    assert await View().ask("/health/live") == (200, {"status": "live"})


async def test_only_liveness_is_open() -> None:
    view = View()
    routes = {route.path: route.permission for route in view._live.routes()}
    assert routes.pop("/health/live") is Permission.OPEN
    assert list(routes) == ["/health/ready", "/metrics", "/deployments"]
    assert set(routes.values()) == {Permission.OPS_READ}


@pytest.mark.parametrize(
    ("started", "draining", "ready", "expected"),
    [
        (False, False, "ab", (503, {"status": "starting", "waiting_for": []})),
        (True, False, "", (503, {"status": "starting", "waiting_for": ["a", "b"]})),
        (True, False, "a", (200, {"status": "ready", "waiting_for": ["b"]})),
        (True, False, "ab", (200, {"status": "ready", "waiting_for": []})),
        (True, True, "ab", (503, {"status": "draining"})),
    ],
)
async def test_readiness_is_whether_a_call_could_be_answered(
    started: bool,  # noqa: FBT001 - a parameter of the table
    draining: bool,  # noqa: FBT001 - as above
    ready: str,
    expected: tuple[int, object],
) -> None:
    view = View()
    view.lifecycle.started, view.lifecycle.draining = started, draining
    for name, upstream in view.upstreams.items():
        upstream.ready = name in ready
    assert await view.ask("/health/ready") == expected


async def test_metrics_come_as_the_scraper_accepts_them() -> None:
    view = View()
    assert await view.ask("/metrics", accept="application/openmetrics-text") == (200, b"pointsman_up 1\n")
    await view.ask("/metrics")
    assert view.scrapes.accepted == ["application/openmetrics-text", ""]


async def test_deployments_are_shown_as_they_are_now_without_what_failures_said() -> None:
    view = View()
    lease = view.fleet.lease(A)
    failing = view.fleet.lease(A)
    failing.fail(Failure(FailureKind.STATUS, "key sk-secret at 10.0.0.7", status=500))
    failing.release()
    status, shown = await view.ask("/deployments")
    assert (status, shown["generation"], shown["policy"]) == (200, 3, "abc")
    first, second = shown["deployments"]
    assert first | {"name": "a", "breaker": "closed", "in_flight": 1, "attempts": 2, "failures": 1} == first
    assert first["last_failure"] == {"kind": "status", "status": 500}
    assert first["live"] == {"connections": 3}
    assert "sk-secret" not in json.dumps(shown)
    assert (second["name"], second["attempts"], second["last_failure"]) == ("b", 0, None)
    lease.release()
