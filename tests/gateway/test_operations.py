"""The admin listener's gate, behind a real listener of its own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.admin.answers import Answer, as_json
from gateway.admin.gate import gate_of
from gateway.admin.routes import Permission, Route
from gateway.errors import RequestError
from gateway.operations import Operations
from gateway.secret import Secret
from gateway.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.admin.routes import Asked

TOKEN = "token-of-the-operators-0123456789"


async def hello(_: Asked) -> Answer:
    return as_json({"hello": 1})


async def busy(_: Asked) -> Answer:
    return Answer(503, "text/plain", b"busy")


async def fails(_: Asked) -> Answer:
    raise RequestError("No.", status=409, code="no")


async def breaks(_: Asked) -> Answer:
    raise ZeroDivisionError("an inner secret")


@asynccontextmanager
async def operations(token: str | None) -> AsyncIterator[Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]]:
    """A function that asks for a path, with these header lines."""
    loop = asyncio.get_running_loop()
    read = Permission.OPS_READ
    routes = (
        Route("GET", "/open", Permission.OPEN, hello),
        Route("GET", "/guarded", read, hello),
        Route("GET", "/busy", read, busy),
        Route("GET", "/fails", read, fails),
        Route("GET", "/breaks", read, breaks),
        Route("GET", "/keys", Permission.KEYS_READ, hello),
        Route("POST", "/keys", Permission.KEYS_WRITE, hello),
    )
    server = Server(Operations(routes, gate_of(None if token is None else Secret(token))), loop)
    socket = await loop.create_server(server, "127.0.0.1", 0)
    port = socket.sockets[0].getsockname()[1]

    async def ask(
        path: str, *lines: bytes, method: str = "GET", version: str = "1.1"
    ) -> tuple[int, dict[str, str], bytes]:
        is_named = version == "1.0" or any(line.startswith(b"Host") for line in lines)
        host = () if is_named else (b"Host: 127.0.0.1",)
        start = f"{method} {path} HTTP/{version}".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n".join([start, *host, b"Connection: close", *lines, b"", b""]))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        first, *rest = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body

    yield ask
    socket.close()
    await server.shutdown(0.1)


def bearer(token: str) -> bytes:
    return f"Authorization: Bearer {token}".encode()


def code_of(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


async def test_an_open_path_asks_for_nothing() -> None:
    for token in (TOKEN, None):
        async with operations(token) as ask:
            assert (await ask("/open", b"Host: evil.example"))[0] == 200


async def test_a_guarded_path_is_answered_with_the_token() -> None:
    async with operations(TOKEN) as ask:
        status, headers, body = await ask("/guarded?verbose=1", bearer(TOKEN), b"Host: any.example")
        assert (status, body) == (200, b'{"hello":1}')
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"
        assert (await ask("/guarded", f"authorization: bearer  {TOKEN} ".encode()))[0] == 200


@pytest.mark.parametrize(
    "line",
    [
        b"X: y",
        b"Authorization:",
        b"Authorization: Bearer",
        TOKEN.join(("Authorization: ", "")).encode(),
        TOKEN.join(("Authorization: Basic ", "")).encode(),
        bearer(TOKEN.upper()),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "0"),
        b"Authorization: Bearer \xff\xfe",
        "Authorization: Bearer \u00fc\u20ac".encode(),
        f"x-api-key: {TOKEN}".encode(),
        f"Cookie: {TOKEN}".encode(),
    ],
)
@pytest.mark.parametrize("path", ["/guarded", "/missing", "/open/", "//open", f"/guarded?token={TOKEN}"])
async def test_without_the_token_nothing_is_told_not_even_what_exists(path: str, line: bytes) -> None:
    async with operations(TOKEN) as ask:
        status, _, body = await ask(path, line)
        assert (status, code_of(body)) == (401, "invalid_admin_token")
        assert TOKEN.encode() not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "[::1]", "[::1]:8081", "localhost", "localhost:8081"])
async def test_without_a_token_addresses_and_localhost_get_in(host: str) -> None:
    async with operations(None) as ask:
        assert (await ask("/guarded", f"Host: {host}".encode()))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.nip.io", "a"]
)
async def test_without_a_token_no_name_gets_in(host: str) -> None:
    async with operations(None) as ask:
        status, _, body = await ask("/guarded", f"Host: {host}".encode())
        assert (status, code_of(body)) == (403, "host_not_allowed")


async def test_an_old_client_without_a_host_does_not_get_in_either() -> None:
    async with operations(None) as ask:
        status, _, body = await ask("/guarded", version="1.0")
        assert (status, code_of(body)) == (403, "host_not_allowed")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
async def test_operators_only_ask(method: str) -> None:
    async with operations(TOKEN) as ask:
        for path in ("/open", "/guarded"):
            status, headers, body = await ask(path, bearer(TOKEN), method=method)
            assert (status, code_of(body)) == (405, "method_not_allowed")
            assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_unknown_paths_are_404_for_operators() -> None:
    async with operations(TOKEN) as ask:
        for path in ("/missing", "/guarded/", "/%67uarded", "/open/../guarded"):
            status, _, body = await ask(path, bearer(TOKEN))
            assert (status, code_of(body)) == (404, "unknown_url")


async def test_answers_keep_their_status_and_errors_their_code() -> None:
    async with operations(TOKEN) as ask:
        assert (await ask("/busy", bearer(TOKEN)))[::2] == (503, b"busy")
        status, _, body = await ask("/fails", bearer(TOKEN))
        assert (status, code_of(body)) == (409, "no")


async def test_a_bug_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with operations(TOKEN) as ask:
        status, _, body = await ask("/breaks", bearer(TOKEN))
    assert (status, code_of(body)) == (500, "internal_error")
    assert b"inner" not in body
    assert "ZeroDivisionError" in caplog.text


async def test_a_wrong_method_is_told_which_are_right() -> None:
    async with operations(TOKEN) as ask:
        assert (await ask("/keys", bearer(TOKEN), method="PUT"))[1]["allow"] == "GET, HEAD, POST"
        status, headers, body = await ask("/guarded", bearer(TOKEN), method="HEAD")
    assert (status, headers["content-length"], body) == (200, "11", b"")


async def test_without_a_token_the_admin_api_says_what_to_configure() -> None:
    async with operations(None) as ask:
        for method in ("GET", "POST"):
            status, _, body = await ask("/keys", method=method)
            assert (status, code_of(body)) == (403, "admin_token_not_configured")
            assert b"secrets.admin_token" in body


async def test_every_write_and_every_denial_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.admin.audit")
    async with operations(TOKEN) as ask:
        await ask("/keys", bearer(TOKEN), method="POST")
        await ask("/keys?token=" + TOKEN, bearer("wrong-token-0123456789"), method="POST")
        await ask("/guarded", bearer(TOKEN))
    told = [record.audit for record in caplog.records]  # type: ignore[attr-defined]
    assert [(line["actor"], line["action"], line["object"], line["outcome"]) for line in told] == [
        ("admin_token", "POST /keys", "/keys", "done 200"),
        ("unknown", "POST", "/keys", "denied 401 invalid_admin_token"),
    ]
    assert TOKEN not in caplog.text
    assert "wrong-token" not in caplog.text
