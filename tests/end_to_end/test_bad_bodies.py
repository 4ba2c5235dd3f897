"""Items 37 to 53 of the catalogue of bad inputs: bodies that are no JSON object, or one made to hurt."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.siege import CHAT, COMPLETION, EMBEDDINGS, GOOD_BODY, INFERENCE, Case, besieged, the_answer
from tests.gateway_process import KEY, post
from tests.scripted_upstream import answer, request, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = json.dumps(GOOD_BODY).encode()
LIMIT_BYTES = 32 << 20
START = f"POST {CHAT} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n".encode()


def chat(**fields: Any) -> bytes:
    return json.dumps(GOOD_BODY | fields).encode()


def bad(item: int, name: str, body: bytes, code: str | None = "invalid_json", path: str = CHAT) -> Case:
    return Case(item, name, post(path, body), {400}, code)


def typed(content_type: str, body: bytes = GOOD) -> bytes:
    return post(CHAT, body).replace(b"application/json", content_type.encode())


def inside(raw: bytes, name: bytes = b"thing_of_tomorrow") -> bytes:
    """A good body with a member of raw JSON."""
    return GOOD[:-1] + b',"%b":%b}' % (name, raw)


CASES = [
    *(bad(37, f"empty {path}", b"", path=path) for path in INFERENCE),
    bad(37, "blank", b" \r\n\t "),
    *(
        bad(38, f"not JSON {body[:12]!r}", body)
        for body in (
            b"hello",
            b"{",
            b'{"model"',
            b'{"model":}',
            b"{'model': 'm'}",
            b"{model: 1}",
            b'{"a":1,}',
            b'{"a":1}{"b":2}',
            b"<xml/>",
            b"model=m&messages=hi",
            GOOD[:-1],
            GOOD + b"}",
            GOOD + b"\x00",
            b"/* */" + GOOD,
            b'{"a":"\n"}',
            b'{"a":"\\x41"}',
            b'{"a":01}',
            b'{"a":.5}',
            b'{"a":+1}',
            b'{"a":1.}',
            b"\x00" * 100,
        )
    ),
    *(
        Case(39, f"type {kind}", typed(kind), {415}, "unsupported_media_type")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/json")
    ),
    *(
        Case(
            40, f"{coding} body", post(CHAT, body, f"Content-Encoding: {coding}"), {415}, "unsupported_content_encoding"
        )
        for coding, body in (
            ("gzip", gzip.compress(GOOD)),
            ("gzip", gzip.compress(bytes(64 << 20))),
            ("br", GOOD),
            ("deflate", GOOD),
            ("zstd", GOOD),
            ("GZIP", GOOD),
            ("identity, gzip", GOOD),
            ("made-up", GOOD),
        )
    ),
    Case(
        41,
        "length over the limit",
        START + b"Content-Length: %d\r\n\r\n" % (LIMIT_BYTES + 1),
        {413},
        "request_too_large",
    ),
    Case(41, "absurd length", START + b"Content-Length: %d\r\n\r\n" % (2**62), {413}, "request_too_large"),
    *(bad(43, f"top level {body!r}", body) for body in (b"[]", b'"a"', b"1", b"null", b"true", b"[" + GOOD + b"]")),
    *(
        bad(44, f"{opening!r} 100,000 deep {path}", opening * 100_000, None, path)
        for opening in (b"[", b'{"a":')
        for path in INFERENCE
    ),
    *(
        bad(44, f"{name} deep in {where}", inside(deep, where.encode()), None)
        for name, deep in {
            "[": b"[" * 100_000 + b"]" * 100_000,
            "{": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        }.items()
        for where in ("tools", "metadata", "response_format", "thing_of_tomorrow", "user", "stream_options")
    ),
    bad(
        45, "100,000 keys", inside(b"0," + b",".join(b'"%d":0' % number for number in range(100_000))), "invalid_value"
    ),
    *(
        bad(46, f"{name} twice", GOOD[:-1] + b',"%b":%b}' % (written, value), "duplicate_parameter")
        for name, written, value in (
            ("model", b"model", b'"gpt"'),
            ("model alike", b"model", b'"m"'),
            ("model escaped", b"\\u006dodel", b'"gpt"'),
            ("messages", b"messages", b"[]"),
        )
    ),
    bad(46, "new field twice", b'{"x":1,"x":1,' + GOOD[1:], "duplicate_parameter"),
    *(
        bad(47, f"{number.decode()} in {name.decode()}", inside(number, name), None)
        for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999")
        for name in (b"temperature", b"max_tokens", b"thing_of_tomorrow", b"seed")
    ),
    *(
        bad(48, f"5,000 digits in {name.decode()}", inside(b"9" * 5000, name), None)
        for name in (b"temperature", b"max_tokens", b"thing_of_tomorrow", b"seed", b"n")
    ),
    *(
        bad(49, f"lone surrogate in {name}", inside(b'"' + text + b'"', name.encode()))
        for text in (rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"a\udc00b")
        for name in ("user", "thing_of_tomorrow")
    ),
    bad(49, "lone surrogate in the model", rb'{"model":"\ud800","messages":[{"role":"user","content":"x"}]}'),
    bad(49, "lone surrogate in a message", rb'{"model":"m","messages":[{"role":"user","content":"\ud83d"}]}'),
    bad(50, "invalid UTF-8", GOOD.replace(b"hi", b"\xff\xfe")),
    bad(50, "overlong UTF-8", GOOD.replace(b"hi", b"\xc0\xaf")),
    bad(50, "surrogate in UTF-8", GOOD.replace(b"hi", b"\xed\xa0\x80")),
    bad(50, "latin-1", chat(user="ü").replace(b"\\u00fc", b"\xfc")),
    bad(50, "UTF-8 cut short", GOOD.replace(b"hi", b"\xe2\x82")),
    bad(50, "byte order mark", b"\xef\xbb\xbf" + GOOD),
    *(bad(50, coding, GOOD.decode().encode(coding)) for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
    bad(51, "NUL in user", chat(user="a\0b"), "invalid_value"),
    bad(51, "NUL in metadata", chat(metadata={"a": "b\0"}), "invalid_value"),
    bad(51, "NUL in a metadata key", chat(metadata={"a\0": "b"}), "invalid_value"),
    bad(51, "NUL in the model", chat(model="m\0"), "invalid_value"),
    bad(
        53,
        "a million tiny messages",
        chat(messages=[]).replace(b"[]", b"[%b]" % b",".join([b'{"role":"user","content":""}'] * 1_000_000)),
        "context_length_exceeded",
    ),
    bad(
        53,
        "a million texts",
        json.dumps({"model": "m", "input": ["a"] * 1_000_002}).encode(),
        "context_length_exceeded",
        EMBEDDINGS,
    ),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("bodies")) as siege:
        yield siege


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_bad_bodies_are_refused(siege: Siege, case: Case) -> None:
    got = await siege.refuses(case)
    assert len(got.body) < 1024, "a refusal does not hand the body back"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.a+json"]
)
async def test_json_by_another_name_is_taken(siege: Siege, content_type: str) -> None:
    await siege.accepts(typed(content_type))


async def test_a_body_without_a_type_is_taken_for_json(siege: Siege) -> None:
    await siege.accepts(post(CHAT, GOOD_BODY).replace(b"Content-Type: application/json\r\n", b""))


async def test_a_chunked_body_over_the_limit_is_refused_before_all_of_it_came(siege: Siege) -> None:
    """Item 41."""
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    writer.write(START + b"Transfer-Encoding: chunked\r\n\r\n")
    writer.write((b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n") * 33)
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()
    got = the_answer(head + body)
    assert (got.status, got.error["code"]) == (413, "request_too_large")
    await siege.is_well()


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_body_that_is_cut_short_costs_nothing(siege: Siege, framing: bytes) -> None:
    """Item 42: nothing goes upstream, and no attempt is on the books (which the end of the siege looks at)."""
    before = len(siege.upstream.requests)
    _, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
    agent = framing.split(b":")[0]
    writer.write(START + b"User-Agent: cut %b\r\n%b\r\n\r\n5\r\n{" % (agent, framing))
    await writer.drain()
    writer.close()
    line = await siege.line_with("user_agent", f"cut {agent.decode()}")
    assert (line["status"], line["cancelled"]) == (499, True)
    assert "attempts" not in line
    assert len(siege.upstream.requests) == before
    await siege.is_well()


@pytest.mark.parametrize(
    "extra",
    [
        b'"' + rb"\u0000" + b'"',
        b"{%b}" % b",".join(b'"%d":0' % number for number in range(100_000)),
        b"[%b]" % b",".join([b"9" * 300] * 100),
        b'{"a":1,"a":2}',
        b"[" * 500 + b"]" * 500,
    ],
    ids=["NUL", "100,000 keys inside", "long integers", "keys repeated inside", "nested 500 deep"],
)
async def test_what_lies_deeper_rides_along_untouched_or_is_refused_but_is_never_a_failure(
    siege: Siege, extra: bytes
) -> None:
    """Items 45, 46, 51 and 52 below the top level: the bytes pass, so gateway and upstream cannot disagree on them."""
    before = len(siege.upstream.requests)
    got = await siege.ask(post(CHAT, inside(extra)))
    assert got.status in {200, 400}, got.body
    if got.status == 200:
        siege.good_calls += 1
        assert extra in siege.upstream.requests[before].body
    await siege.is_well()


@pytest.mark.parametrize("prompt", ["a" * 1_000_000, " " * 1_000_000, "\u0301" * 500_000], ids=["a", "blank", "accent"])
async def test_prompts_that_are_slow_to_count_hold_nobody_up(siege: Siege, prompt: str) -> None:
    """Item 53: the upstream reports no usage, so the gateway counts; meanwhile everybody else is served."""
    for peer in siege.upstream.connections:
        peer.writer.close()
    unmetered = {name: value for name, value in COMPLETION.items() if name != "usage"}
    siege.upstream.then(request(), send(answer(json.dumps(unmetered).encode())))
    got = await siege.accepts(post(CHAT, chat(messages=[{"role": "user", "content": prompt}])))
    for _ in range(20):
        started_s = time.monotonic()
        await siege.is_well()
        assert time.monotonic() - started_s < 2  # loading the encoding takes its share of a busy machine
        await asyncio.sleep(0.01)
    line = await siege.line_about(got)
    assert line["tokens"]["estimated"] is True
