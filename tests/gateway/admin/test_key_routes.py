"""The life of a key through the API, and each effect of it on the data plane at once."""

from __future__ import annotations

import logging
import time
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from gateway.keys.virtual_keys import generate
from tests.gateway.admin.listening import FILE_KEY, TOKEN, listening

if TYPE_CHECKING:
    from pathlib import Path

KEYS = "/admin/v1/keys"


async def test_a_key_lives_rotates_and_is_revoked(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        made = await here.ask("POST", KEYS, {"name": "ci", "routes": ["r"], "tags": ["a", "a"]})
        assert made.status == 201
        key, first = made.body["key"], made.body["secret"]
        place = f"{KEYS}/{key['id']}"
        assert (made.headers["location"], made.headers["etag"]) == (place, f'"{key["revision"]}"')
        assert (first[-11:-7], key["id"] in first, key["tags"]) == (key["last4"], True, ["a"])
        assert (await here.call("GET", "/v1/models", first)).status == 200

        rotated = await here.ask("POST", f"{place}/rotate", {"overlap_s": 60})
        second = rotated.body["secret"]
        assert rotated.body["key"]["former_until_ms"] > time.time() * 1000
        for secret in (first, second):
            assert (await here.call("GET", "/v1/models", secret)).status == 200
        third = (await here.ask("POST", f"{place}/rotate", {"overlap_s": 0})).body["secret"]
        assert [(await here.call("GET", "/v1/models", secret)).status for secret in (first, second, third)] == [
            401,
            401,
            200,
        ]

        assert (await here.ask("POST", f"{place}/disable")).body["disabled"] is True
        assert (await here.call("GET", "/v1/models", third)).code == "key_disabled"
        assert (await here.ask("POST", f"{place}/enable")).body["disabled"] is False
        assert (await here.call("GET", "/v1/models", third)).status == 200

        began_s = time.monotonic()
        assert (await here.ask("DELETE", place)).body["revoked_at_ms"] is not None
        assert (await here.call("GET", "/v1/models", third)).status == 401
        assert time.monotonic() - began_s < 1.0
        assert (await here.ask("DELETE", place)).status == 200, "it is as it should be"
        assert (await here.ask("POST", f"{place}/enable")).status == 409


async def test_a_change_needs_to_have_seen_what_it_changes(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        made = await here.ask("POST", KEYS, {"name": "a"})
        place = made.headers["location"]
        assert (await here.ask("PATCH", place, {"tags": ["x"]})).code == "precondition_required"
        assert (await here.ask("PATCH", place, {"tags": ["x"]}, If_Match='"999"')).code == "precondition_failed"
        changed = await here.ask("PATCH", place, {"tags": ["x"]}, If_Match=made.headers["etag"])
        assert (changed.status, changed.body["tags"], changed.body["name"]) == (200, ["x"], "a")
        for verb in ("PATCH", "DELETE"):
            body: dict[str, object] | None = {"tags": []} if verb == "PATCH" else None
            assert (await here.ask(verb, place, body, If_Match=made.headers["etag"])).status == 412
        assert (await here.ask("PATCH", place, {"expires_at_ms": None}, If_Match="*")).status == 200
        assert (await here.ask("GET", place)).headers["etag"] != made.headers["etag"]


async def test_what_may_be_told_of_a_keys_calls_is_said_shown_and_changed(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        names = ("content", "cost_in_body", "trust_trace_context")
        usual = await here.ask("POST", KEYS, {"name": "usual"})
        assert [usual.body["key"][name] for name in names] == [None, False, False]
        said = {"content": "hash", "cost_in_body": True, "trust_trace_context": True}
        place = (await here.ask("POST", KEYS, {"name": "a"} | said)).headers["location"]
        assert [(await here.ask("GET", place)).body[name] for name in names] == ["hash", True, True]
        changed = await here.ask("PATCH", place, {"content": None, "trust_trace_context": False}, If_Match="*")
        assert [changed.body[name] for name in names] == [None, True, False]
        refused = await here.ask("PATCH", place, {"content": "FULL"}, If_Match="*")
        assert (refused.status, refused.body["error"]["param"]) == (400, "content")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"name": "a", "team": "ghosts"}, 400, "team"),
        ({"name": "a", "org": "nobody"}, 400, "org"),
        ({"name": "a", "networks": ["10.0.0.1/8"]}, 400, "networks[0]"),
        ({"name": "a", "limits": [{"tokens": "5/min"}, {"cost": "5/min"}]}, 400, "limits[1].cost"),
        ({"name": "a", "limits": [{"tokens": "5/min", "when": "principal.nothing"}]}, 400, "limits[0].when"),
        ({"name": "a", "expires_at_ms": 1}, 400, "expires_at_ms"),
        ({"name": "a", "content": "everything"}, 400, "content"),
        ({"name": "a", "cost_in_body": "yes"}, 400, "cost_in_body"),
        ({"name": "a", "trust_trace_context": 1}, 400, "trust_trace_context"),
        ({"name": "-"}, 400, "name"),
        ({"name": "a\n"}, 400, "name"),
        ({"name": "a", "secret": "sk-pm-mine"}, 400, None),
        ({"name": "a", "revision": 3}, 400, None),
        ({"name": "of-file"}, 409, None),
    ],
)
async def test_what_a_key_may_not_be(tmp_path: Path, body: dict[str, object], status: int, param: str | None) -> None:
    async with listening(tmp_path) as here:
        told = await here.ask("POST", KEYS, body)
        assert (told.status, told.body["error"]["param"]) == (status, param)
        assert (await here.ask("GET", KEYS)).body == {"keys": [], "cursor": None}


async def test_lists_come_in_parts_and_filtered(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        await here.ask("POST", "/admin/v1/teams", {"name": "crew"})
        for number in range(5):
            body = {
                "name": f"k{number}",
                "tags": ["even"] if number % 2 == 0 else [],
                "team": "crew" if number else None,
            }
            assert (await here.ask("POST", KEYS, body)).status == 201
        names, cursor = [], ""
        while cursor is not None:
            page = (await here.ask("GET", f"{KEYS}?limit=2{cursor and '&cursor='}{cursor}")).body
            names += [key["name"] for key in page["keys"]]
            cursor = page["cursor"]
        assert names == ["k0", "k1", "k2", "k3", "k4"]
        found = (await here.ask("GET", f"{KEYS}?tag=even&team=crew&revoked=false")).body["keys"]
        assert [key["name"] for key in found] == ["k2", "k4"]
        assert (await here.ask("GET", f"{KEYS}?cursor=AAAA")).body["error"]["param"] == "cursor"
        assert (await here.ask("GET", f"{KEYS}?name=%25")).status == 400


async def test_a_leaked_key_is_revoked_by_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(tmp_path) as here:
        logging.getLogger("gateway").addHandler(caplog.handler)  # the gateway has taken the root logger
        made = (await here.ask("POST", KEYS, {"name": "a"})).body
        leak = f"{KEYS}/revoke-leaked"
        forged = generate("live", key_id=made["key"]["id"])
        for other in (forged, made["key"]["id"], "x", generate("live")):
            assert (await here.ask("POST", leak, {"key": other})).status == 404
        assert (await here.ask("POST", leak, {"key": FILE_KEY})).code == "managed_by_policy_file"
        assert (await here.call("GET", "/v1/models", made["secret"])).status == 200
        found = await here.ask("POST", leak, {"key": made["secret"]})
        assert (found.status, found.body["id"]) == (200, made["key"]["id"])
        assert (await here.call("GET", "/v1/models", made["secret"])).status == 401
    logging.getLogger("gateway").removeHandler(caplog.handler)
    told = [record.audit["object"] for record in caplog.records if hasattr(record, "audit")]
    assert told[-1] == f"{KEYS}/{made['key']['id']}"
    for secret in (made["secret"], forged, FILE_KEY, TOKEN):
        assert secret not in caplog.text


async def test_no_answer_but_the_first_has_a_secret(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        made = await here.ask("POST", KEYS, {"name": "a"})
        secret = made.body["secret"].split("_")[2]
        place = made.headers["location"]
        for method, path in (("GET", KEYS), ("GET", place), ("POST", f"{place}/disable"), ("DELETE", place)):
            told = await here.ask(method, path)
            assert told.status == 200
            assert secret not in str(told.body)
            assert "digest" not in str(told.body)


async def test_bodies_are_bounded_and_json(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with here.session.post(f"{here.admin_url}{KEYS}", data={"name": "a"}, headers=headers) as answer:
            assert answer.status == 415
        large, headers = BytesIO(b" " * 1_100_000), headers | {"Content-Type": "application/json"}
        async with here.session.post(f"{here.admin_url}{KEYS}", data=large, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (413, "request_too_large")
