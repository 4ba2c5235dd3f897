"""What strangers, callers and web pages can reach, and that nothing they send makes the gateway fail."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admin.routes import Permission
from gateway.drains import Drains
from gateway.edge import Edge
from gateway.lifecycle import Lifecycle
from gateway.live_view import LiveView
from tests.end_to_end.siege import (
    CHAT,
    COMPLETED,
    GOOD_BODY,
    LIMITED_KEY,
    Case,
    answers_in,
    besieged,
    check_error,
    the_answer,
)
from tests.gateway_process import KEY, post
from tests.scripted_upstream import request, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Answered, Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN_TOKEN = "canary-admin-token-0123456789abcdef"
ANYTHING: Any = None
EDGE = Edge(ANYTHING, ANYTHING, Lifecycle(), Drains())
LIVE_VIEW = LiveView(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
DATA_RESOURCES = {path: method for path, (method, _) in EDGE._resources.items()}
OPEN = {"/health/live"}
OPERATIONS = {route.path: route.permission for route in LIVE_VIEW.routes()}
GUARDED = OPERATIONS.keys() - OPEN
DEEP = b"[" * 100_000


def ask(path: str, *headers: str, method: str = "GET", body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    guarded = {"secrets": {"admin_token": ADMIN_TOKEN}}
    async with besieged(tmp_path_factory.mktemp("security"), guarded) as siege:
        siege.secrets.append(ADMIN_TOKEN)
        siege.is_fuzzed = True
        siege.admin_token = ADMIN_TOKEN
        yield siege


async def admin(siege: Siege, data: bytes) -> Answered:
    return the_answer(await siege.gateway.ask(data, port=siege.gateway.admin_port))


# --- who may ask for what ---


async def test_what_is_open_is_listed_here() -> None:
    assert {path for path, permission in OPERATIONS.items() if permission is Permission.OPEN} == OPEN
    assert {"/health/ready", "/metrics", "/deployments"} == GUARDED
    assert len(DATA_RESOURCES) == 13


@pytest.mark.parametrize("path", [*DATA_RESOURCES, "/v1/models/m", "/models/secret/model"])
@pytest.mark.parametrize("headers", [(), (f"Authorization: Bearer {ADMIN_TOKEN}",), (f"x-api-key: {ADMIN_TOKEN}",)])
async def test_the_data_plane_opens_to_virtual_keys_alone(siege: Siege, path: str, headers: tuple[str, ...]) -> None:
    got = await siege.ask(ask(path, *headers, method=DATA_RESOURCES.get(path, "GET")))
    check_error(Case(16, path, b"", {401}), got)
    await siege.is_well()


@pytest.mark.parametrize("path", sorted(GUARDED | {"/", "/nowhere", "/debug", "/v1/models", "/admin", "/metrics/"}))
@pytest.mark.parametrize(
    "headers",
    [
        (),
        (f"Authorization: Bearer {KEY}",),
        (f"x-api-key: {KEY}",),
        (f"x-api-key: {ADMIN_TOKEN}",),
        (f"Authorization: Basic {ADMIN_TOKEN}",),
        (f"Authorization: {ADMIN_TOKEN}",),
        (f"Authorization: Bearer {ADMIN_TOKEN}x",),
        (f"Authorization: Bearer {ADMIN_TOKEN[:-1]}",),
        ("Authorization: Bearer ",),
        ("Authorization: Bearer \u00fc",),
        (f"Cookie: token={ADMIN_TOKEN}", "X-Forwarded-For: 127.0.0.1", "X-Original-URL: /health/live"),
    ],
    ids=str,
)
async def test_operators_are_asked_for_their_token(siege: Siege, path: str, headers: tuple[str, ...]) -> None:
    """Item 16; what does not exist is not told apart from what does."""
    got = await admin(siege, ask(path, *headers))
    # Whoever asks so often is told to wait, and no more than that.
    assert (got.status, got.error["code"]) in {(401, "invalid_admin_token"), (429, "too_many_failures")}
    assert ADMIN_TOKEN.encode() not in got.body


async def test_a_token_that_is_no_utf_8_is_wrong(siege: Siege) -> None:
    data = ask("/metrics", "Authorization: Bearer AAAA").replace(b"AAAA", b"\xff\xfe\xed\xa0\x80")
    assert (await admin(siege, data)).status in {401, 429}


@pytest.mark.parametrize("path", sorted(GUARDED | OPEN))
async def test_operators_are_answered_with_the_token(siege: Siege, path: str) -> None:
    got = await admin(siege, ask(path, f"Authorization: Bearer {ADMIN_TOKEN}"))
    assert got.status == 200
    assert got.headers["cache-control"] == "no-store"
    refused = await admin(siege, ask(path, f"Authorization: Bearer {ADMIN_TOKEN}", method="POST", body=DEEP))
    assert refused.status == 405


async def test_liveness_is_open_and_says_nothing(siege: Siege) -> None:
    assert (await admin(siege, ask("/health/live", host="evil.example"))).body == b'{"status":"live"}'


async def test_operators_learn_no_host_and_no_credential(siege: Siege) -> None:
    text = (await siege.ask_operations("/deployments")).body.decode()
    for secret in (*siege.secrets, "127.0.0.1", str(siege.upstream.port), "http"):
        assert secret not in text


@pytest.mark.parametrize("host", ["a/?x=", "a@b", "evil.example/health/live?", "a b", ""])
@pytest.mark.parametrize("path", ["/metrics", "/v1/models", CHAT])
async def test_no_host_changes_which_resource_is_meant(siege: Siege, host: str, path: str) -> None:
    for port in (siege.gateway.port, siege.gateway.admin_port):
        got = the_answer(await siege.gateway.ask(ask(path, host=host), port=port))
        assert (got.status, got.error["code"]) == (400, "malformed_http")


async def test_the_admin_listener_refuses_bad_framing_as_well(siege: Siege) -> None:
    for data in (
        b"nonsense\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        ask("/metrics").replace(b"HTTP/1.1", b"HTTP/2.0"),
        ask("/" + "a" * 9000),
    ):
        got = await admin(siege, data)
        assert got.status in {400, 431}
        assert got.headers["connection"] == "close"


async def test_without_a_token_operators_ask_by_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A web page could rebind its own name to loopback; the name gives it away."""
    async with besieged(tmp_path_factory.mktemp("open")) as siege:
        for host in ("127.0.0.1", "localhost:8081", "[::1]:8081", "10.0.0.7"):
            assert (await admin(siege, ask("/deployments", host=host))).status == 200
        for host in ("evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example"):
            got = await admin(siege, ask("/deployments", host=host))
            assert (got.status, got.error["code"]) == (403, "host_not_allowed")
            assert (await admin(siege, ask("/health/live", host=host))).status == 200


# --- models ---


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_a_key_sees_the_models_that_it_may_use(siege: Siege, path: str) -> None:
    for key, seen in ((KEY, ["m", "secret/model"]), (LIMITED_KEY, ["m"])):
        got = await siege.ask(ask(path, f"Authorization: Bearer {key}"))
        assert [model["id"] for model in json.loads(got.body)["data"]] == seen


@pytest.mark.parametrize(
    "name", ["secret/model", "secret%2Fmodel", "secret%2fmodel", "%73ecret/model", "secret/model?a=b"]
)
async def test_a_model_is_found_by_any_spelling_of_its_name(siege: Siege, name: str) -> None:
    got = await siege.ask(ask(f"/v1/models/{name}", f"x-api-key: {KEY}"))
    assert (got.status, json.loads(got.body)["id"]) == (200, "secret/model")
    hidden = await siege.ask(ask(f"/v1/models/{name}", f"x-api-key: {LIMITED_KEY}"))
    check_error(Case(15, name, b"", {404}, "model_not_found", "model"), hidden)


@pytest.mark.parametrize(
    "name", ["secret%252Fmodel", "%ff", "%00", "%0d%0aX-Injected:%201", "%1b[2J", "%c3%bc", "..", "%2e%2e"]
)
async def test_other_names_are_unknown_and_split_nothing(siege: Siege, name: str) -> None:
    got = await siege.ask(ask(f"/v1/models/{name}", f"x-api-key: {KEY}"))
    check_error(Case(54, name, b"", {404}, "model_not_found", "model"), got)
    assert got.error["message"].isprintable()
    assert "x-injected" not in got.headers


async def test_a_target_that_is_no_ascii_is_no_target(siege: Siege) -> None:
    for path in (b"/v1/models/\xff\xfe", b"/\xed\xa0\x80", "/v1/models/\u00fc".encode()):
        data = ask("/AAAA", f"Authorization: Bearer {KEY}").replace(b"/AAAA", path)
        for port in (siege.gateway.port, siege.gateway.admin_port):
            got = the_answer(await siege.gateway.ask(data, port=port))
            assert (got.status, got.error["code"]) == (400, "malformed_http")


@pytest.mark.parametrize("name", ["openai-beta", "anthropic-beta", "anthropic-version"])
@pytest.mark.parametrize("value", [b"\xff", "\u00fc".encode(), b"a\tb"])
async def test_a_header_that_cannot_go_upstream_is_refused(siege: Siege, name: str, value: bytes) -> None:
    data = post(CHAT, GOOD_BODY, f"{name}: AAAA").replace(b"AAAA", value)
    await siege.refuses(Case(24, name, data, {400}, "invalid_header"))


async def test_bodies_of_requests_that_need_none_are_ignored(siege: Siege) -> None:
    got = await siege.ask(ask("/v1/models", f"x-api-key: {KEY}", body=DEEP))
    assert got.status == 200


@pytest.mark.parametrize("version", [b"1\rX-Split: 1", b"1\nX-Split: 1", b"1\x00", b"1\x0b", b"1\r\n\tX-Split: 1"])
async def test_no_upstream_splits_the_answer(siege: Siege, version: bytes) -> None:
    for peer in siege.upstream.connections:
        peer.writer.close()
    head, body = COMPLETED.split(b"\r\n\r\n", 1)
    siege.upstream.then(request(), send(head + b"\r\nopenai-version: " + version + b"\r\n\r\n" + body))
    got = await siege.ask(post(CHAT, GOOD_BODY))
    assert (got.status, got.error["code"]) == (502, "upstream_bad_response")
    assert "x-split" not in got.headers
    await siege.is_well()


# --- anything at all ---

RICH = GOOD_BODY | {
    "temperature": 0.5,
    "max_tokens": 16,
    "stop": ["a", "b"],
    "user": "someone",
    "metadata": {"k": "v"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "response_format": {"type": "json_object"},
    "thing_of_tomorrow": [1, 2.5, None, True, {"a": "\u00fc"}],
}
BODY = json.dumps(RICH, ensure_ascii=False).encode()
HEAD = (
    post(CHAT, BODY).partition(b"\r\n\r\n")[0].replace(b"Connection: close\r\n", b"") + b"\r\nConnection: close\r\n\r\n"
)
PIECES = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.sampled_from(
        [b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"\r\n", b"\n", b" ", b"\0", b"\xff", b";", b"%00"]
    ),
    st.sampled_from([b"null", b"-1", b"1e999", b"true", b'"model":', b"\\ud800"]),
    st.sampled_from([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0"]),
)
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 8), st.one_of(st.just(b""), PIECES)), min_size=1, max_size=4
)
Mutations = list[tuple[int, int, bytes]]
BOUNDED = settings(
    max_examples=200,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(data: bytes, mutations: Mutations) -> bytes:
    for where, length, piece in mutations:
        at = where % (len(data) + 1)
        data = data[:at] + piece + data[at + length :]
    return data


def check_no_failure(answers: list[Answered]) -> None:
    for got in answers:
        assert got.status < 500, got.body[:500]
        if got.status != 200:
            assert got.error["message"]


@BOUNDED
@given(mutations=MUTATIONS)
async def test_no_body_makes_the_gateway_fail(siege: Siege, mutations: Mutations) -> None:
    check_no_failure([await siege.ask(post(CHAT, mutated(BODY, mutations)))])
    await siege.is_well()


@BOUNDED
@given(mutations=MUTATIONS)
async def test_no_head_makes_the_gateway_fail(siege: Siege, mutations: Mutations) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    writer.write(mutated(HEAD, mutations) + BODY)
    got = b""
    try:
        async with asyncio.timeout(0.1):  # a head that now announces more than will come is waited for, and rightly so
            while data := await reader.read(65536):
                got += data
    except (TimeoutError, ConnectionResetError):
        pass
    writer.close()
    check_no_failure(answers_in(got.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")))
    await siege.is_well()
