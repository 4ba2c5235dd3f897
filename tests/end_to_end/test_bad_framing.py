"""Items 17 to 36 of the catalogue of bad inputs: what is no HTTP, or HTTP that two parsers might read differently.

The deadlines of item 35 take up to a minute; tests/gateway/test_server.py tries them with short ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.siege import CHAT, COMPLETED, GOOD_BODY, TRIED_KEY, Case, answers_in, besieged
from tests.gateway_process import KEY, post
from tests.scripted_upstream import request, send, waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = json.dumps(GOOD_BODY).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d" % len(BODY)
TE = b"Transfer-Encoding: chunked"
START = f"POST {CHAT} HTTP/1.1".encode()
CLOSE = b"Connection: close"
FIXED = (b"Host: gateway", f"Authorization: Bearer {KEY}".encode(), b"Content-Type: application/json")


def raw(*lines: bytes, body: bytes = BODY, start: bytes = START, fixed: tuple[bytes, ...] = FIXED) -> bytes:
    """A request with just these lines; nothing is added that the case does not want."""
    return b"\r\n".join([start, *fixed, *lines, b"", body])


def unframed(item: int, name: str, data: bytes, *statuses: int) -> Case:
    """HTTP that cannot be parsed: 400 unless said otherwise."""
    return Case(item, name, data, statuses or (400,), "malformed_http", parsed=False)


def chunks(body: bytes, *lines: bytes) -> bytes:
    return raw(TE, *lines, CLOSE, body=body)


def get(target: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", *(lines or FIXED), CLOSE, b"", b""])


CASES = [
    unframed(17, "length and chunked", raw(LENGTH, TE, body=CHUNKED)),
    unframed(17, "chunked and length", raw(TE, LENGTH, body=CHUNKED)),
    unframed(18, "two lengths differ", raw(LENGTH, b"Content-Length: 3")),
    unframed(18, "two lengths alike", raw(LENGTH, LENGTH)),
    *(
        unframed(19, f"length {value!r}", raw(b"Content-Length: " + value))
        for value in (b"+5", b"5,5", b"5, 5", b"0x5", "\u0665".encode(), b"-1", b"5 5", b"5.0", b"1e2", b"", b"9" * 30)
    ),
    unframed(19, "blank before the colon", raw(LENGTH.replace(b":", b" :"))),
    *(
        unframed(20, f"coding {value!r}", raw(b"Transfer-Encoding: " + value, body=CHUNKED))
        for value in (b"chunked, identity", b"xchunked", b"\x0bchunked", b"identity", b"gzip", b"chunkedchunked")
    ),
    Case(20, "chunked twice", chunks(CHUNKED, TE), {400}, parsed=False),
    Case(20, "chunked, chunked", raw(b"Transfer-Encoding: chunked, chunked", body=CHUNKED), {400}, parsed=False),
    unframed(20, "blank before the colon", raw(b"Transfer-Encoding : chunked", body=CHUNKED)),
    unframed(21, "chunked on 1.0", raw(TE, body=CHUNKED, start=START.replace(b"1.1", b"1.0"))),
    unframed(22, "bare LF everywhere", raw(LENGTH).replace(b"\r\n", b"\n")),
    unframed(22, "bare LF after one line", raw(LENGTH).replace(b"gateway\r\n", b"gateway\n")),
    unframed(22, "bare CR", raw(LENGTH).replace(b"gateway\r\n", b"gateway\r")),
    unframed(22, "CR in a value", raw(LENGTH, b"X: a\rb")),
    unframed(22, "LF ends the head", raw(LENGTH).replace(b"\r\n\r\n", b"\r\n\n")),
    unframed(23, "obs-fold", raw(LENGTH, b"X: a", b" b")),
    unframed(23, "obs-fold with a tab", raw(LENGTH, b"X: a", b"\tb")),
    unframed(23, "first line folded", raw(LENGTH, fixed=(b" Host: gateway", *FIXED[1:]))),
    *(
        unframed(24, f"control {control!r} in a value", raw(LENGTH, b"X: a" + control + b"b"))
        for control in (b"\x00", b"\x01", b"\x08", b"\x0b", b"\x1f", b"\x7f")
    ),
    *(
        unframed(24, f"name {name!r}", raw(LENGTH, name + b": a"))
        for name in (b"X\x00", b"X Y", b"X(", b"", b"\xc3\xbc", b"X\x7f")
    ),
    unframed(25, "two hosts", raw(LENGTH, b"Host: other")),
    unframed(25, "two hosts alike", raw(LENGTH, b"Host: gateway")),
    unframed(25, "no host", raw(LENGTH, fixed=FIXED[1:])),
    *(
        unframed(25, f"host {host!r}", raw(LENGTH, fixed=(b"Host: " + host, *FIXED[1:])))
        for host in (b"a/?x=", b"a@b", b"a b", b"", b"http://a", b"a:b:c", b"[::1", b"a:99999999")
    ),
    *(
        Case(26, f"target {target!r}", get(target), {404}, "unknown_url")
        for target in (
            b"http://gateway/v1/models",
            b"//evil/v1/models",
            b"///v1/models",
        )
    ),
    *(
        Case(26, f"target {target!r}", get(target), {400, 404}, parsed=target.startswith(b"http://"))
        for target in (b"*", b"http:/x", b"v1/models", b"@evil.com/v1/models", b"http://user:pw@a/v1/models", b"?x")
    ),
    Case(27, "long target", get(b"/v1/models/" + b"m" * 8200), {431}, "request_head_too_large", parsed=False),
    Case(27, "long value", raw(LENGTH, b"X: " + b"a" * 8200), {431}, "request_head_too_large", parsed=False),
    Case(27, "long name", raw(LENGTH, b"X" * 8200 + b": a"), {431}, "request_head_too_large", parsed=False),
    unframed(27, "129 headers", raw(LENGTH, *(b"X-%d: a" % number for number in range(129)))),
    unframed(27, "a megabyte of headers", raw(LENGTH, *(b"X-%d: %b" % (number, b"a" * 8000) for number in range(130)))),
    *(
        Case(28, name, chunks(body), {400}, "malformed_http", parsed=False)
        for name, body in {
            "size overflows": b"FFFFFFFFFFFFFFFFF\r\n" + BODY,
            "negative size": b"-1\r\n" + BODY,
            "size in 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
            "size in words": b"five\r\nhello\r\n0\r\n\r\n",
            "no size": b"\r\n" + BODY + b"\r\n0\r\n\r\n",
            "blank after the size": b"5 \r\nhello\r\n0\r\n\r\n",
            "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
            "no line end after the data": b"2\r\n{}0\r\n\r\n",
            "data longer than its size": b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
            "NUL in the extension": b"2;a=\x00\r\n{}\r\n0\r\n\r\n",
            "a megabyte of extension": b"2;a=" + b"e" * (1 << 20) + b"\r\n{}\r\n0\r\n\r\n",
            "junk for the last chunk": b"2\r\n{}\r\nZ\r\n\r\n",
        }.items()
    ),
    Case(29, "10,000 trailers", chunks(CHUNKED[:-2] + b"X: a\r\n" * 10_000 + b"\r\n"), {400, 431}, parsed=False),
    Case(
        29,
        "the key in a trailer",
        raw(TE, CLOSE, body=CHUNKED[:-2] + FIXED[1] + b"\r\n\r\n", fixed=(FIXED[0], FIXED[2])),
        {401},
        "missing_api_key",
    ),
    Case(31, "websocket", raw(LENGTH, b"Connection: upgrade", b"Upgrade: websocket"), {400}, "upgrade_not_supported"),
    Case(32, "expect a miracle", raw(LENGTH, b"Expect: miracle", CLOSE), {417}, "expectation_failed"),
    unframed(33, "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    unframed(33, "HTTP/2 by prior knowledge", get(b"/v1/models").replace(b"HTTP/1.1", b"HTTP/2.0")),
    unframed(33, "HTTP/1.9", get(b"/v1/models").replace(b"HTTP/1.1", b"HTTP/1.9")),
    unframed(33, "HTTP/0.9", b"GET /v1/models\r\n\r\n"),
    unframed(33, "TLS", bytes.fromhex("16030100c8010000c40303") + bytes(100) + b"\r\n\r\n"),
    *(
        Case(34, f"{method.decode()} {path}", get(path.encode(), method=method), {405}, "method_not_allowed")
        for method in (b"TRACE", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND")
        for path in (CHAT, "/v1/models", "/v1/models/m")
    ),
    Case(34, "GET where POST belongs", get(CHAT.encode()), {405}, "method_not_allowed"),
    Case(34, "POST where GET belongs", post("/v1/models", GOOD_BODY), {405}, "method_not_allowed"),
    Case(34, "CONNECT", get(b"upstream.example:443", method=b"CONNECT"), {400, 404, 405}),
    unframed(34, "lower case", raw(LENGTH, start=START.lower())),
    unframed(34, "made up", get(b"/v1/models", method=b"MAKEUP")),
    unframed(34, "no method", get(b"/v1/models", method=b"")),
    unframed(34, "not HTTP at all", b"hello\r\n\r\n"),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("framing")) as siege:
        yield siege


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_bad_framing_is_refused_and_the_connection_closed(siege: Siege, case: Case) -> None:
    got = await siege.refuses(case)
    if got.status == 405:
        assert got.headers["allow"] == ("GET" if b"/v1/models" in case.data else "POST")


async def test_trailers_are_never_taken_for_headers(siege: Siege) -> None:
    got = await siege.accepts(chunks(CHUNKED[:-2] + f"Authorization: Bearer {TRIED_KEY}\r\nHost: b\r\n\r\n".encode()))
    assert (await siege.line_about(got))["key_alias"] == "tests"


async def test_upgrades_that_nobody_knows_are_ignored_and_smuggle_nothing(siege: Siege) -> None:
    """Java's client offers h2c with its first request. It is answered as if it had not, and the connection closed."""
    upgrade = (b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    got = await siege.accepts(raw(LENGTH, *upgrade) + get(b"/v1/models"))
    assert got.headers["connection"] == "close"


async def test_a_refused_upgrade_smuggles_nothing(siege: Siege) -> None:
    """What follows a refused upgrade is dropped with the connection, whether it looks like a request or not."""
    upgrade = raw(LENGTH, b"Connection: upgrade", b"Upgrade: websocket")
    (only,) = answers_in(await siege.gateway.ask(upgrade + get(b"/v1/models")))
    assert only.error["code"] == "upgrade_not_supported"
    await siege.is_well()


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/m", "/nowhere"])
async def test_head_is_answered_without_a_body(siege: Siege, path: str) -> None:
    head = (await siege.gateway.ask(get(path.encode(), method=b"HEAD"))).decode()
    assert head.startswith(("HTTP/1.1 405 ", "HTTP/1.1 404 "))
    assert head.endswith("\r\n\r\n")
    assert head.count("\r\n\r\n") == 1
    await siege.is_well()


async def test_a_thousand_pipelined_requests_are_answered_in_order(siege: Siege) -> None:
    """Item 30, small answers."""
    paths = [f"/v1/models/{number}" for number in range(1000)]
    sent = b"".join(get(path.encode()).replace(CLOSE + b"\r\n", b"") for path in paths[:-1])
    answers = answers_in(await siege.gateway.ask(sent + get(paths[-1].encode())))
    named = [answer.error["message"].split("`")[1] for answer in answers]
    assert named == [path.rpartition("/")[2] for path in paths]
    await siege.is_well()


async def test_a_caller_that_pipelines_without_reading_is_not_read_without_bound(siege: Siege) -> None:
    """Item 30, while the first call takes its time: the gateway stops reading, and goes on afterwards."""
    go_on = asyncio.Event()
    siege.upstream.then(request(), waits(go_on), send(COMPLETED))
    for peer in siege.upstream.connections:
        peer.writer.close()
    before = len(siege.upstream.requests)
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    writer.transport.set_write_buffer_limits(0)
    writer.write(raw(LENGTH))
    batch, written = get(b"/nowhere").replace(CLOSE + b"\r\n", b"") * 1000, 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while written < 64 << 20:
                writer.write(batch)
                await writer.drain()
                written += len(batch)
    assert len(batch) <= written < 32 << 20
    assert len(siege.upstream.requests) == before + 1
    go_on.set()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await reader.readuntil(b"unknown_url")
    writer.transport.abort()
    siege.good_calls += 1
    await siege.is_well()


async def test_a_caller_that_closes_its_half_is_answered_or_cancelled_and_billed_once(siege: Siege) -> None:
    """Item 36."""
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    writer.write(raw(LENGTH, b"User-Agent: half"))
    writer.write_eof()
    got = answers_in(await reader.read())
    writer.close()
    assert [answer.status for answer in got] in ([], [200])
    line = await siege.line_with("user_agent", "half")
    assert line["status"] in {200, 499}
    siege.good_calls += len(line.get("attempts", []))
    await siege.is_well()


async def test_a_body_that_turns_bad_after_its_refusal_is_nobodys_failure(siege: Siege) -> None:
    """The rest of a refused body is read and dropped; what is wrong with it must not fill the log with tracebacks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    writer.write(raw(TE, body=b"2\r\n{}\r\n", fixed=(FIXED[0],)))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
    writer.write(b"Z\r\n\r\n")
    await reader.read()
    writer.close()
    await siege.is_well()
