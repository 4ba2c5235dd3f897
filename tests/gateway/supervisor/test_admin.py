from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import ClientSession, web

from gateway.secret import Secret
from gateway.server import Server
from gateway.signals import telemetry
from gateway.signals.deltas import Deltas
from gateway.signals.metrics import Registry
from gateway.supervisor.admin import SupervisorAdmin
from gateway.supervisor.listening import WorkerMetrics
from gateway.supervisor.place import Place
from gateway.supervisor.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.signals.pushes import Push

TOKEN = "an-admin-token-for-tests-only"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Gateway:
    """A worker's private listener, as far as its supervisor asks it."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.ready = True
        self.seen: list[tuple[str, str, bytes, str | None]] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/health/ready":
            return web.json_response({"status": "ready"}, status=200 if self.ready else 503)
        if request.path == "/deployments":
            return web.json_response({"generation": self.slot})
        if request.path.startswith("/admin/v1/decisions"):
            return self._decisions(request)
        body = await request.read()
        self.seen.append((request.method, str(request.rel_url), body, request.headers.get("Authorization")))
        return web.Response(
            status=201, body=b'{"made": true}', headers={"ETag": '"7"', "Content-Type": "application/json"}
        )

    def _decisions(self, request: web.BaseRequest) -> web.Response:
        """Its own call, and one that no other worker served."""
        own: dict[str, Any] = {"request_id": f"req_{self.slot:028x}", "at_ms": self.slot}
        if request.path == "/admin/v1/decisions":
            return web.json_response({"decisions": [own]})
        known = request.path.endswith(own["request_id"])
        return web.json_response(
            own if known else {"error": {"code": "decision_not_found"}}, status=200 if known else 404
        )


def a_push(slot: int) -> Push:
    registry = Registry()
    registry.cells(telemetry.TEAM_REQUESTS).at("platform", "ok").inc(slot + 1)
    return Deltas(registry, epoch=slot).next()


@asynccontextmanager
async def supervised(
    folder: Path, *workers: Gateway, token: str | None = TOKEN
) -> AsyncIterator[tuple[SupervisorAdmin, str]]:
    """The supervisor's listener before these workers; its base URL."""
    runners, slots = [], []
    for gateway in workers:
        runner = web.ServerRunner(web.Server(gateway))
        await runner.setup()
        place = Place(gateway.slot, 0, folder / f"{gateway.slot}.sock")
        await web.UnixSite(runner, str(place.admin_socket)).start()
        runners.append(runner)
        slot = Worker(place, ())
        slot.is_ready = True
        slots.append(slot)
    metrics = WorkerMetrics(slots)
    for gateway in workers:
        metrics.merged.take(gateway, gateway.slot, a_push(gateway.slot))
    admin = SupervisorAdmin(slots, None if token is None else Secret(token), metrics)
    loop = asyncio.get_running_loop()
    server = Server(admin, loop)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    try:
        yield admin, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await server.shutdown(0.1)
        await admin.close()
        for runner in runners:
            await runner.cleanup()


async def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    async with ClientSession() as session, session.get(url, headers=headers or AUTHORIZED) as answer:
        return answer.status, await answer.text()


async def json(url: str) -> Any:
    return msgspec.json.decode((await get(url))[1])


async def test_one_scrape_shows_all_workers_calls(tmp_path: Path) -> None:
    async with supervised(tmp_path, Gateway(0), Gateway(1)) as (_, url):
        status, text = await get(f"{url}/metrics")
    assert status == 200
    assert 'pointsman_team_requests_total{team="platform",outcome="ok"} 3' in text
    assert "pointsman_workers_ready 2" in text


async def test_a_worker_that_does_not_answer_is_left_out(tmp_path: Path) -> None:
    async with supervised(tmp_path, Gateway(0), Gateway(1)) as (admin, url):
        (tmp_path / "1.sock").unlink()
        _, text = await get(f"{url}/metrics")
        shown = await json(f"{url}/deployments")
        assert len(admin._workers) == 2
    assert 'pointsman_team_requests_total{team="platform",outcome="ok"} 3' in text  # what was counted stays
    assert shown == {"workers": {"0": {"generation": 0}}}


async def test_decisions_of_all_workers_are_told_and_one_is_found_wherever_it_was_made(tmp_path: Path) -> None:
    async with supervised(tmp_path, Gateway(0), Gateway(1), Gateway(2)) as (_, url):
        told = (await json(f"{url}/admin/v1/decisions?limit=2"))["decisions"]
        assert [decision["at_ms"] for decision in told] == [2, 1]
        assert (await json(f"{url}/admin/v1/decisions/req_{1:028x}"))["at_ms"] == 1
        assert (await get(f"{url}/admin/v1/decisions/req_{9:028x}"))[0] == 404
        assert (await get(f"{url}/admin/v1/decisions?limit=0"))[0] == 400


async def test_ready_while_any_worker_is(tmp_path: Path) -> None:
    one, other = Gateway(0), Gateway(1)
    async with supervised(tmp_path, one, other) as (admin, url):
        one.ready = False
        assert (await get(f"{url}/health/ready"))[0] == 200
        other.ready = False
        assert (await get(f"{url}/health/ready"))[0] == 503
        other.ready = True
        admin.draining = True
        assert (await get(f"{url}/health/ready"))[0] == 503


@pytest.mark.parametrize("path", ["/metrics", "/health/ready", "/deployments", "/workers"])
async def test_nothing_is_told_without_the_token(tmp_path: Path, path: str) -> None:
    async with supervised(tmp_path, Gateway(0)) as (_, url):
        assert (await get(url + path, {"Authorization": "Bearer wrong"}))[0] == 401
        assert (await get(url + path))[0] == 200
        assert (await get(f"{url}/health/live", {"Accept": "*/*"}))[0] == 200


async def test_the_rest_is_passed_on_whole_and_unchanged(tmp_path: Path) -> None:
    worker = Gateway(0)
    async with (
        supervised(tmp_path, worker) as (_, url),
        ClientSession() as session,
        session.post(f"{url}/admin/v1/keys?x=1", data=b'{"name": "a"}', headers=AUTHORIZED) as answer,
    ):
        assert answer.status == 201
        assert answer.headers["ETag"] == '"7"'
        assert await answer.read() == b'{"made": true}'
    assert worker.seen == [("POST", "/admin/v1/keys?x=1", b'{"name": "a"}', f"Bearer {TOKEN}")]


async def test_strangers_are_refused_before_a_worker_hears_of_them(tmp_path: Path) -> None:
    """A worker sees no addresses, so only here can those who guess be told apart."""
    worker = Gateway(0)
    async with supervised(tmp_path, worker) as (_, url):
        answers = [(await get(f"{url}/admin/v1/keys", {"Authorization": "Bearer wrong"}))[0] for _ in range(12)]
        assert answers == [401] * 10 + [429] * 2
        assert (await get(f"{url}/admin/v1/keys"))[0] == 201
    assert [headers for *_, headers in worker.seen] == [f"Bearer {TOKEN}"]


async def test_without_a_ready_worker_the_answer_is_honest(tmp_path: Path) -> None:
    async with supervised(tmp_path, Gateway(0)) as (admin, url):
        admin._workers[0].is_ready = False
        status, text = await get(f"{url}/admin/v1/keys")
    assert status == 503
    assert "No worker is ready" in text


async def test_a_worker_that_dies_meanwhile_is_a_502(tmp_path: Path) -> None:
    async with supervised(tmp_path, Gateway(0)) as (_, url):
        (tmp_path / "0.sock").unlink()
        assert (await get(f"{url}/admin/v1/keys"))[0] == 502
