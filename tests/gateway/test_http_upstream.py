from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from adapters.openai import OpenAIAdapter
from gateway.errors import RequestError
from gateway.http_upstream import HttpUpstream
from gateway.transport import Pool
from policies.vocabulary import FailureKind, Timeouts
from tests.scripted_upstream import (
    ScriptedUpstream,
    answer,
    chunked,
    forever,
    half_close,
    head,
    request,
    reset,
    send,
    serve,
    sets,
    stall,
    waits,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.scripted_upstream import Step

from tests.gateway.http_provider import DEPLOYMENT, DONE, KEY, WHOLE, exchange, failure_of, piece, provider_at


@pytest.fixture
async def far() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
async def upstream(far: ScriptedUpstream) -> AsyncIterator[HttpUpstream]:
    upstream = provider_at(far)
    yield upstream
    await upstream.close()


async def test_a_whole_answer_comes_with_its_tally(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    far.otherwise(serve(answer(WHOLE, headers=[("openai-processing-ms", "7"), ("x-served-by", "host-1")])))
    got = await upstream.send(exchange(headers=(("traceparent", "00-1-2-01"),)))
    assert got.body == WHOLE
    assert got.tally.usage is not None
    assert (got.tally.usage.input_tokens, got.tally.usage.output_tokens) == (3, 2)
    assert got.headers == (("openai-processing-ms", "7"),)
    received = far.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["x-request-id"] == "req-1"
    assert received.headers["traceparent"] == "00-1-2-01"
    assert json.loads(received.body)["model"] == "gpt-4o"


async def test_it_is_ready_between_start_and_close(far: ScriptedUpstream) -> None:
    upstream = HttpUpstream(DEPLOYMENT, Pool(far.url), OpenAIAdapter())
    assert not upstream.ready
    await upstream.start()
    assert upstream.ready
    await upstream.close()
    assert not upstream.ready


STATUSES = [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 520, 529]


@pytest.mark.parametrize("kind", ["whole", "stream"])
@pytest.mark.parametrize("status", STATUSES)
async def test_an_error_status_is_a_status_failure(
    far: ScriptedUpstream, upstream: HttpUpstream, status: int, kind: str
) -> None:
    stream = kind == "stream"
    body = b'{"error":{"message":"no","type":"t","code":"some_code"}}'
    far.otherwise(serve(answer(body, status=status, headers=[("retry-after", "7")])))
    failure = await failure_of(upstream, exchange(stream=stream))
    assert (failure.kind, failure.status, failure.code) == (FailureKind.STATUS, status, "some_code")
    assert (failure.message, failure.retry_after_s) == ("no", 7.0)
    await failure_of(upstream, exchange(stream=stream))
    assert len(far.connections) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
async def test_a_redirect_is_a_bad_response(far: ScriptedUpstream, upstream: HttpUpstream, status: int) -> None:
    async with ScriptedUpstream() as elsewhere:
        far.otherwise(serve(answer(status=status, headers=[("location", elsewhere.url)])))
        failure = await failure_of(upstream, exchange())
        assert (failure.kind, failure.status) == (FailureKind.BAD_RESPONSE, status)
        assert elsewhere.connections == []


async def test_a_huge_error_body_is_cut_and_its_connection_closed(
    far: ScriptedUpstream, upstream: HttpUpstream
) -> None:
    far.then(request(), send(head(500, content_length=str(50 << 20))), forever(send(b"x" * 65536)))
    failure = await failure_of(upstream, exchange())
    assert failure.status == 500
    assert len(failure.message) <= 2048
    await asyncio.wait_for(far.connections[0].hung_up.wait(), 2)


async def test_an_error_names_neither_host_nor_key(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    error = {"message": f"http://127.0.0.1:{far.port}/v1 refused the key {KEY}", "code": KEY, "param": KEY}
    far.otherwise(serve(answer(json.dumps({"error": error}).encode(), status=401)))
    failure = await failure_of(upstream, exchange())
    assert KEY not in f"{failure.message}{failure.code}{failure.param}"
    assert "127.0.0.1" not in failure.message
    assert str(far.port) not in failure.message


BAD_BODIES = {
    "HTML": (answer(b"<html>gateway</html>", headers=[("content-type", "text/html")]), FailureKind.BAD_RESPONSE),
    "nothing": (answer(b""), FailureKind.BAD_RESPONSE),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", FailureKind.BAD_RESPONSE),
    "cut JSON": (answer(WHOLE[:-5]), FailureKind.BAD_RESPONSE),
    "an error": (answer(b'{"error":{"message":"overloaded"}}'), FailureKind.IN_BAND),
    "a stream": (chunked(piece("hello"), DONE), FailureKind.BAD_RESPONSE),
}


@pytest.mark.parametrize(("wire", "kind"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_that_is_no_answer_is_a_failure(
    far: ScriptedUpstream, upstream: HttpUpstream, wire: bytes, kind: FailureKind
) -> None:
    far.otherwise(serve(wire))
    failure = await failure_of(upstream, exchange())
    assert (failure.kind, failure.maybe_billed) == (kind, True)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((request(), reset()), FailureKind.RESET),
        ((request(), send(head(content_length="99")), reset()), FailureKind.RESET),
        ((request(), send(answer(WHOLE)[:-9]), half_close(), stall()), FailureKind.RESET),
        ((request(), stall()), FailureKind.TOTAL),
        ((request(), send(head(content_length="99")), stall()), FailureKind.TOTAL),
    ],
)
async def test_a_whole_answer_that_does_not_come_is_maybe_billed(
    far: ScriptedUpstream, upstream: HttpUpstream, steps: tuple[Step, ...], kind: FailureKind
) -> None:
    far.then(*steps)
    failure = await failure_of(upstream, exchange(total_s=0.1))
    assert (failure.kind, failure.maybe_billed) == (kind, True)


async def test_a_whole_answer_has_no_first_token_limit(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    far.then(request(), sets(asked), waits(go_on), send(answer(WHOLE)))
    task = asyncio.ensure_future(upstream.send(exchange(timeouts=Timeouts(first_token_s=0.01, idle_s=0.01))))
    await asked.wait()
    await asyncio.sleep(0.05)
    go_on.set()
    assert (await task).body == WHOLE


async def test_a_header_that_cannot_go_out_is_the_callers_fault(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    with pytest.raises(RequestError, match="openai-beta") as refused:
        await upstream.send(exchange(headers=(("openai-beta", "a\r\nx-evil: 1"),)))
    assert refused.value.status == 400
    assert far.connections == []


async def test_a_cancelled_send_hangs_up(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    asked = asyncio.Event()
    far.then(request(), sets(asked), stall())
    task = asyncio.ensure_future(upstream.send(exchange(stream=True)))
    await asked.wait()
    task.cancel()
    await asyncio.wait_for(far.connections[0].hung_up.wait(), 1)
