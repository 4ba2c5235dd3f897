"""Items 61, 64 and 66 to 70 of the catalogue of bad inputs: paths, headers and texts that claim what is not so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.siege import CHAT, GOOD_BODY, TRIED_KEY, UPSTREAM_KEY, Case, besieged
from tests.gateway_process import KEY, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = (
    "/", "/v1", "/v1/", "/v2/chat/completions", f"{CHAT}/", "/v1//chat/completions", "//v1/chat/completions",
    "/v1%2fchat/completions", "/v1/chat%2Fcompletions", "/v1/../admin", "/v1/./models", "/v1/chat/completions;a=b",
    "/v1/chat/completions%00", "/V1/Chat/Completions", "/admin", "/metrics", "/deployments", "/health/live",
    "/health/ready", "/v1/models/", "/v1/v1/models", "/.env", "/v1/files/..%2f..%2fetc%2fpasswd", "/%ff", "/debug",
)  # fmt: skip


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: gateway", "Connection: close", *headers, "", ""]).encode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("headers")) as siege:
        yield siege


@pytest.mark.parametrize("path", NOWHERE)
async def test_unknown_paths_are_404_whoever_asks(siege: Siege, path: str) -> None:
    """Item 64."""
    for method, *headers in (("GET",), ("GET", f"x-api-key: {KEY}"), ("POST", f"Authorization: Bearer {TRIED_KEY}")):
        await siege.refuses(Case(64, method, get(path, *headers, method=method), {404}, "unknown_url"))


async def test_unknown_paths_are_no_calls_and_leave_no_line(siege: Siege) -> None:
    """Item 64: nobody is authenticated for a path that does not exist."""
    got = await siege.ask(get("/v1/../admin", f"Authorization: Bearer {KEY}", "User-Agent: lost"))
    assert "www-authenticate" not in got.headers
    await siege.is_well()
    good = await siege.accepts(post(CHAT, GOOD_BODY))
    await siege.line_about(good)
    assert not [line for line in siege.completed() if line.get("user_agent") == "lost"]


NASTY = [
    'a\r\n{"event": "request.completed", "status": 200}',
    "\x1b[2J\x1b[31mred\x1b[0m",
    '"}\n{"forged": true}',
    "\u2028\u2029\u202e\ufeff",
    "${env:HOME} {{7*7}} %s %n <script>",
    "x' ; DROP TABLE attempts; --",
]


@pytest.mark.parametrize("text", NASTY)
async def test_whatever_a_caller_writes_stays_on_one_line_and_passes_untouched(siege: Siege, text: str) -> None:
    """Items 61 and 66."""
    before = len(siege.upstream.requests)
    content = f"{text}\n\ndata: [DONE]\n\nevent: error\n\n{text}"
    sent = GOOD_BODY | {"user": text, "metadata": {"a": text}, "messages": [{"role": "user", "content": content}]}
    got = await siege.accepts(post(CHAT, sent))
    received = json.loads(siege.upstream.requests[before].body)
    assert received == sent | {"model": "gpt-4o-mini"}
    await siege.line_about(got)
    assert not [line for line in siege.gateway.lines if "forged" in line]
    assert "\x1b" not in "".join(siege.gateway.text)


@pytest.mark.parametrize("text", NASTY)
async def test_a_model_that_looks_like_a_log_line_is_logged_as_a_name(siege: Siege, text: str) -> None:
    got = await siege.ask(post(CHAT, GOOD_BODY | {"model": text}))
    assert got.status in {400, 404}
    line = await siege.line_about(got)
    assert line["status"] == got.status
    assert line["model_requested"].isprintable()


SPOOFS = (
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Host: admin",
    "X-Real-IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1",
    "X-User-Id: root",
    "X-User-Role: admin",
    "X-Litellm-Api-Base: http://127.0.0.1:9",
    "X-Litellm-Key-Alias: root",
    "X-Portkey-Custom-Host: http://127.0.0.1:9",
    "X-Pointsman-Route: secret/model",
    "X-Pointsman-Deployment: other",
    "X-Original-URL: /metrics",
    "X-Rewrite-URL: /metrics",
    "X-HTTP-Method-Override: GET",
    "X-Request-Id: chosen-by-the-caller",
    "Cookie: session=admin",
    "Proxy-Authorization: Basic cm9vdDpyb290",
    "Range: bytes=0-1",
    "If-None-Match: *",
    "TE: trailers",
    "Max-Forwards: 0",
)


async def test_headers_that_claim_things_change_nothing_and_go_nowhere(siege: Siege) -> None:
    """Item 67."""
    before = len(siege.upstream.requests)
    got = await siege.accepts(post(CHAT, GOOD_BODY, *SPOOFS))
    sent = siege.upstream.requests[before]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers.keys() <= {
        "host",
        "accept-encoding",
        "authorization",
        "content-type",
        "content-length",
        "x-request-id",
    }
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert got.headers["x-pointsman-route"] == "m"
    assert got.headers["x-request-id"] != "chosen-by-the-caller"
    line = await siege.line_about(got)
    assert (line["key_alias"], line["route"], line["deployment"]) == ("tests", "m", "a")


async def test_headers_that_claim_things_open_nothing(siege: Siege) -> None:
    await siege.refuses(Case(67, "no key", post(CHAT, GOOD_BODY, *SPOOFS, key=None), {401}, "missing_api_key"))


@pytest.mark.parametrize(
    "trace",
    [
        "garbage", "", "00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "b" * 16 + "-01", "00-" + "a" * 32 + "-" + "b" * 16 + "-01-more", "0" * 8000,
        "00-" + "a" * 31 + "\u0661-" + "b" * 16 + "-01",
    ],
)  # fmt: skip
async def test_a_trace_that_is_none_is_ignored(siege: Siege, trace: str) -> None:
    """Item 68."""
    before = len(siege.upstream.requests)
    got = await siege.accepts(
        post(CHAT, GOOD_BODY, f"traceparent: {trace}", f"baggage: {'k=v,' * 2000}", "tracestate: @@")
    )
    line = await siege.line_about(got)
    assert line["trace_id"] not in {"0" * 32, "a" * 32}
    assert len(line["trace_id"]) == 32
    assert "baggage" not in siege.upstream.requests[before].headers


async def test_baggage_of_64_kb_is_refused_with_its_head(siege: Siege) -> None:
    case = Case(68, "", post(CHAT, GOOD_BODY, f"baggage: {'k' * 65536}"), {431}, "request_head_too_large", parsed=False)
    await siege.refuses(case)


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*;q=1, */*;q=0", "a/b," * 1900, "", "\u00fc", "application/xml"]
)
async def test_whatever_a_caller_accepts_errors_are_json(siege: Siege, accept: str) -> None:
    """Item 69."""
    await siege.refuses(Case(69, accept, post("/nowhere", GOOD_BODY, f"Accept: {accept}"), {404}, "unknown_url"))
    await siege.accepts(post(CHAT, GOOD_BODY, f"Accept: {accept}"))


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/nowhere"])
async def test_no_web_page_of_another_origin_is_let_in(siege: Siege, path: str) -> None:
    """Item 70."""
    origin = ("Origin: https://evil.example", "Access-Control-Request-Method: POST")
    for data in (get(path, *origin, method="OPTIONS"), get(path, *origin), post(path, GOOD_BODY, *origin, key=None)):
        got = await siege.ask(data)
        assert got.status in {401, 404, 405}
        assert not [name for name in got.headers if name.startswith("access-control-")]
    asked = (await siege.accepts(post(CHAT, GOOD_BODY, *origin))).headers
    assert not [name for name in asked if name.startswith("access-control-")]
