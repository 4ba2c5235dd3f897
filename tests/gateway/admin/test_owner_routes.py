from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.admin.listening import listening

if TYPE_CHECKING:
    from pathlib import Path

BASE = "/admin/v1"


async def test_an_org_is_made_changed_and_deleted(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        made = await here.ask("POST", f"{BASE}/orgs", {"name": "acme", "timezone": "Europe/Berlin"})
        place = made.headers["location"]
        assert (made.status, place, made.body["weight"]) == (201, f"{BASE}/orgs/acme", 1)
        assert (await here.ask("POST", f"{BASE}/orgs", {"name": "acme"})).code == "conflict"
        assert (await here.ask("PATCH", place, {"weight": 3})).status == 428
        changed = await here.ask("PATCH", place, {"weight": 3}, If_Match=made.headers["etag"])
        assert (changed.body["timezone"], changed.body["weight"]) == ("Europe/Berlin", 3)
        assert (await here.ask("PATCH", place, {"weight": 4}, If_Match=made.headers["etag"])).status == 412
        wrong = await here.ask("PATCH", place, {"timezone": "Mars/Olympus"}, If_Match="*")
        assert (wrong.status, wrong.body["error"]["param"]) == (400, "timezone")
        assert here.gateway.keys.stored.weight_of("acme") == 3, "in force at once"
        assert [org["name"] for org in (await here.ask("GET", f"{BASE}/orgs")).body["orgs"]] == ["acme", "default"]
        assert (await here.ask("DELETE", place, If_Match=made.headers["etag"])).status == 412
        gone = await here.ask("DELETE", place)
        assert (gone.status, gone.body) == (204, "")
        assert "content-length" not in gone.headers
        assert (await here.ask("GET", place)).status == 404
        assert (await here.ask("DELETE", f"{BASE}/orgs/default")).status == 409


@pytest.mark.parametrize("several", ["teams", "users"])
async def test_a_member_is_made_shown_and_deleted(tmp_path: Path, several: str) -> None:
    async with listening(tmp_path) as here:
        made = await here.ask("POST", f"{BASE}/{several}", {"name": "r&d/one".replace("&", "+")})
        assert made.status == 400
        made = await here.ask("POST", f"{BASE}/{several}", {"name": "rd/one"})
        place = made.headers["location"]
        assert (made.status, place) == (201, f"{BASE}/{several}/default/rd%2Fone")
        assert (await here.ask("GET", place)).body == made.body
        assert (await here.ask("POST", f"{BASE}/{several}", {"name": "rd/one"})).status == 409
        assert (await here.ask("POST", f"{BASE}/{several}", {"name": "a", "org": "ghosts"})).body["error"][
            "param"
        ] == "org"
        assert (await here.ask("GET", f"{BASE}/{several}?org=default")).body == {several: [made.body]}
        assert (await here.ask("GET", f"{BASE}/{several}?org=other")).body == {several: []}

        owner = {several.removesuffix("s"): "rd/one"}
        key = await here.ask("POST", f"{BASE}/keys", {"name": "k", **owner})
        assert (await here.ask("DELETE", place)).code == "conflict"
        await here.ask("DELETE", key.headers["location"])
        assert (await here.ask("DELETE", place)).status == 204
        assert (await here.ask("GET", place)).status == 404


async def test_what_the_policy_file_says_is_changed_there(tmp_path: Path) -> None:
    async with listening(tmp_path, orgs={"acme": {}}, teams={"crew": {"org": "acme"}}) as here:
        assert (await here.ask("DELETE", f"{BASE}/teams/acme/crew")).code == "managed_by_policy_file"
        assert (await here.ask("POST", f"{BASE}/orgs", {"name": "acme"})).code == "managed_by_policy_file"
        made = await here.ask("POST", f"{BASE}/keys", {"name": "k", "org": "acme", "team": "crew"})
        assert made.status == 201
