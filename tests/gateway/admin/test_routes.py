from __future__ import annotations

import pytest

from gateway.admin.answers import NOTHING, Answer
from gateway.admin.routes import Asked, Permission, Route, Table
from gateway.errors import RequestError


async def respond(_: Asked) -> Answer:
    return NOTHING


def route(method: str, path: str) -> Route:
    return Route(method, path, Permission.OPS_READ, respond)


TABLE = Table(
    [
        route("GET", "/keys"),
        route("POST", "/keys"),
        route("POST", "/keys/revoke-leaked"),
        route("GET", "/keys/{key_id}"),
        route("DELETE", "/keys/{key_id}"),
        route("GET", "/teams/{org}/{name}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "template", "names"),
    [
        ("/keys", "/keys", {}),
        ("/keys/revoke-leaked", "/keys/revoke-leaked", {}),
        ("/keys/AbcdefGh1234", "/keys/{key_id}", {"key_id": "AbcdefGh1234"}),
        ("/keys/%41bcdefGh1234", "/keys/{key_id}", {"key_id": "AbcdefGh1234"}),
        ("/teams/default/a%2Fb", "/teams/{org}/{name}", {"org": "default", "name": "a/b"}),
    ],
)
def test_a_path_names_a_resource(path: str, template: str, names: dict[str, str]) -> None:
    resource, found = TABLE.find(path)
    assert (resource.template, found) == (template, names)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/key", "/keys/", "//keys", "/%6beys", "/keys/short", "/keys/AbcdefGh1234/", "/keys/AbcdefGh123%00",
        "/keys/sk-pm-live_AbcdefGh1234", "/keys/..%2Fkeys", "/teams/default", "/teams/a:b/c", "/teams/default/%0a",
        "/teams/default/%ff", "/teams/default/a/b",
    ],
)  # fmt: skip
def test_what_can_name_nothing_is_not_found(path: str) -> None:
    with pytest.raises(RequestError) as refused:
        TABLE.find(path)
    assert (refused.value.status, refused.value.code) == (404, "unknown_url")


def test_a_method_finds_its_route_and_head_that_of_get() -> None:
    keys, _ = TABLE.find("/keys")
    assert keys.route("POST") is TABLE.routes[1]
    assert keys.route("HEAD") is keys.route("GET") is TABLE.routes[0]
    assert keys.route("DELETE") is None
    assert keys.not_allowed().headers == (("allow", "GET, HEAD, POST"),)
    leaked, _ = TABLE.find("/keys/revoke-leaked")
    assert leaked.route("HEAD") is None
    assert leaked.not_allowed().headers == (("allow", "POST"),)


def test_one_route_for_a_method_and_path() -> None:
    with pytest.raises(ValueError, match="two routes for GET /a"):
        Table([route("GET", "/a"), route("GET", "/a")])


def test_what_is_no_look_is_a_write() -> None:
    assert [route.writes for route in TABLE.routes] == [False, True, True, False, True, False]
