"""Every route of both listeners, walked without a credential and with the other listener's."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from gateway.admin.gate import AdminToken, Gate
from gateway.admin.routes import Permission
from gateway.secret import Secret
from tests.gateway.admin.listening import FILE_KEY, ROUTES, TOKEN, listening
from tests.gateway.supervisor.test_admin import supervised

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.admin.listening import Listening

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NAMES = {"key_id": "AbcdefGh1234", "org": "default", "name": "crew", "request_id": f"req_{0:028x}"}
OPEN = {"/health/live"}


def concrete(template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], template)


def patient_gate() -> Gate:
    """Its clock runs a minute with every look, so that nobody is ever told to wait."""
    return Gate(AdminToken(Secret(TOKEN)), count(0.0, 60.0).__next__)


def test_each_route_has_its_permission() -> None:
    for route in ROUTES:
        is_open = route.permission is Permission.OPEN
        assert is_open == (route.path in OPEN), route.path
        if route.path.startswith("/admin/"):
            assert route.permission not in {Permission.OPEN, Permission.KNOWN, Permission.OPS_READ}
            assert route.writes == route.permission.endswith(":write")
        else:
            assert route.method == "GET"


async def test_no_route_of_either_listener_opens_without_its_own_credential(tmp_path: Path) -> None:
    issued = {}
    async with listening(tmp_path) as here:
        here.gateway.operations._gate = patient_gate()
        issued = (await here.ask("POST", "/admin/v1/keys", {"name": "walker"})).body
        walked = 0
        for route in here.gateway.operations.table.routes:
            for method in METHODS:
                for token in (None, FILE_KEY, issued["secret"], f"{TOKEN}x"):
                    status = (await here.ask(method, concrete(route.path), token=token)).status
                    allowed = {200, 405} if route.path in OPEN else {401}
                    assert status in allowed, (method, route.path, token)
                    walked += 1
        assert walked == len(METHODS) * 4 * len(ROUTES)
        await walk_data_plane(here)
        assert (await here.call("GET", "/v1/models", issued["secret"])).status == 200


async def walk_data_plane(here: Listening) -> None:
    paths = [*here.gateway.edge._resources, "/v1/models/r", "/models/r", *(route.path for route in ROUTES)]
    for path in map(concrete, paths):
        for method in METHODS:
            for token in (None, TOKEN, f"{FILE_KEY}x"):
                status = (await here.call(method, path, token)).status
                assert status in {401, 404, 405}, (method, path, token)


async def test_without_a_token_the_admin_api_is_shut_and_this_machine_may_look(tmp_path: Path) -> None:
    async with listening(tmp_path, secrets={}) as here:
        for route in ROUTES:
            told = await here.ask(route.method, concrete(route.path), token=None)
            if route.path.startswith("/admin/"):
                assert (told.status, told.code) == (403, "admin_token_not_configured"), route.path
            else:
                assert told.status == 200, route.path


async def test_the_listener_of_several_workers_opens_to_nobody_either(tmp_path: Path) -> None:
    async with supervised(tmp_path) as (admin, url):
        admin.operations._gate = patient_gate()
        paths = [route.path for route in admin.operations.table.routes]
        assert set(paths) == {
            "/health/live",
            "/health/ready",
            "/metrics",
            "/deployments",
            "/workers",
            "/admin/v1/decisions",
            "/admin/v1/decisions/{request_id}",
            "/admin/v1/events",
            "/admin/v1/requests/{request_id}",
        }
        from aiohttp import ClientSession  # noqa: PLC0415 - for this test only

        async with ClientSession() as session:
            for path in {*paths, *(concrete(route.path) for route in ROUTES)}:
                for method in METHODS:
                    async with session.request(method, f"{url}{path}") as answer:
                        assert answer.status in ({200, 405} if path in OPEN else {401}), (method, path)


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/metrics", "/health/live", "/nowhere"])
async def test_no_answer_invites_another_site(tmp_path: Path, path: str) -> None:
    async with listening(tmp_path) as here:
        for method in ("GET", "OPTIONS"):
            told = await here.ask(method, path, Origin="https://evil.example", Access_Control_Request_Method="POST")
            assert not [name for name in told.headers if name.startswith("access-control")]
            assert "set-cookie" not in told.headers
            assert told.headers["cache-control"] == "no-store"
