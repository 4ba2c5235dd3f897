from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UpstreamError
from policies.vocabulary import Endpoint, FailureKind, Timeouts
from tests.scripted_upstream import (
    ScriptedUpstream,
    answer,
    chunk,
    chunked,
    dribble,
    events,
    half_close,
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

    from gateway.http_upstream import HttpUpstream
    from tests.scripted_upstream import Step

from tests.gateway.http_provider import DONE, ERROR, ROLE, SSE, WHOLE, exchange, failure_of, piece, provider_at, read


@pytest.fixture
async def far() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture
async def upstream(far: ScriptedUpstream) -> AsyncIterator[HttpUpstream]:
    upstream = provider_at(far)
    yield upstream
    await upstream.close()


async def test_a_stream_is_handed_on_from_its_first_content(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    far.then(
        request(),
        send(SSE + chunk(ROLE)),
        sets(started),
        waits(go_on),
        send(chunk(piece("hel")) + chunk(piece("lo")) + chunk(piece(None, "stop")) + chunk(DONE) + chunk(b"")),
        stall(),
    )
    before_s = asyncio.get_running_loop().time()
    task = asyncio.ensure_future(upstream.send(exchange(stream=True)))
    await started.wait()
    await asyncio.sleep(0.01)
    assert not task.done()
    go_on.set()
    got = await task
    assert got.body is None
    assert got.first_token_s is not None
    assert before_s <= got.first_token_s <= asyncio.get_running_loop().time()
    assert await read(got) == (ROLE + piece("hel") + piece("lo") + piece(None, "stop") + DONE, None)
    assert "".join(got.tally.text) == "hello"
    assert await got.read() == b""


async def test_a_stream_cut_anywhere_reads_the_same(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    wire = chunked(ROLE, piece("grüße 🚂"), piece(None, "stop"), DONE)
    for size in (1, 2, 3, 5, 7, 64, 1000):
        far.then(request(), dribble(wire, size))
        got, failure = await read(await upstream.send(exchange(stream=True)))
        assert failure is None
        assert got == ROLE + piece("grüße 🚂") + piece(None, "stop") + DONE
        for connection in tuple(upstream._pool._open):
            connection.abort()


BEFORE_CONTENT = {
    "an error event": (chunked(ROLE, ERROR), FailureKind.IN_BAND),
    "an error behind content in one piece": (chunked(ROLE + piece("a") + ERROR), FailureKind.IN_BAND),
    "an early end": (chunked(ROLE), FailureKind.TRUNCATED),
    "an empty body": (chunked(), FailureKind.TRUNCATED),
    "[DONE] alone": (chunked(DONE), FailureKind.TRUNCATED),
    "a whole answer": (answer(WHOLE), FailureKind.BAD_RESPONSE),
    "a whole answer called a stream": (chunked(WHOLE), FailureKind.BAD_RESPONSE),
    "an error object": (answer(b' \n{"error":{"message":"overloaded"}}'), FailureKind.IN_BAND),
    "a web page": (answer(b"<!DOCTYPE html><html></html>"), FailureKind.BAD_RESPONSE),
    "a web page called a stream": (chunked(b"\n<html></html>"), FailureKind.BAD_RESPONSE),
    "blanks": (chunked(b" \n" * 1000), FailureKind.TRUNCATED),
    "blanks without end": (SSE + chunk(b" " * (1 << 19)) + chunk(b" " * (1 << 19)), FailureKind.BAD_RESPONSE),
    "broken JSON": (chunked(ROLE, events('{"choices":')), FailureKind.BAD_RESPONSE),
    "a megabyte of nothing": (chunked(*[ROLE] * 15_000), FailureKind.BAD_RESPONSE),
}


@pytest.mark.parametrize(("wire", "kind"), BEFORE_CONTENT.values(), ids=BEFORE_CONTENT.keys())
async def test_what_fails_before_content_fails_the_send(
    far: ScriptedUpstream, upstream: HttpUpstream, wire: bytes, kind: FailureKind
) -> None:
    far.otherwise(request(), send(wire), stall())
    failure = await failure_of(upstream, exchange(stream=True))
    assert (failure.kind, failure.maybe_billed) == (kind, True)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((stall(),), FailureKind.FIRST_TOKEN),
        ((send(SSE), stall()), FailureKind.FIRST_TOKEN),
        ((send(SSE + chunk(ROLE)), stall()), FailureKind.FIRST_TOKEN),
        ((send(SSE), dribble(chunk(b": ping\n\n") * 500, 10, 0.005)), FailureKind.FIRST_TOKEN),
        ((send(SSE + chunk(ROLE)), reset()), FailureKind.RESET),
        ((send(SSE + chunk(ROLE)), half_close(), stall()), FailureKind.RESET),
    ],
    ids=["no head", "no event", "no content", "comments only", "reset", "cut"],
)
async def test_a_stall_or_death_before_content_fails_the_send(
    far: ScriptedUpstream, upstream: HttpUpstream, steps: tuple[Step, ...], kind: FailureKind
) -> None:
    far.then(request(), *steps)
    failure = await failure_of(upstream, exchange(stream=True, timeouts=Timeouts(first_token_s=0.1, idle_s=0.05)))
    assert (failure.kind, failure.maybe_billed) == (kind, True)


AFTER_CONTENT: dict[str, tuple[tuple[Step, ...], FailureKind]] = {
    "stall": ((stall(),), FailureKind.IDLE),
    "comments only": ((dribble(chunk(b": ping\n\n") * 500, 14, 0.005),), FailureKind.IDLE),
    "reset": ((reset(),), FailureKind.RESET),
    "cut": ((half_close(), stall()), FailureKind.RESET),
    "honest end without a finish": ((send(chunk(b"")), stall()), FailureKind.TRUNCATED),
    "error event": ((send(chunk(ERROR)), stall()), FailureKind.IN_BAND),
    "broken JSON, and the end": (
        (send(chunk(events("{") + piece(None, "stop") + DONE)), stall()),
        FailureKind.BAD_RESPONSE,
    ),
    "much broken JSON": ((send(chunk(events("{") * 4)), stall()), FailureKind.BAD_RESPONSE),
    "broken framing": ((send(b"zz\r\n"), stall()), FailureKind.BAD_RESPONSE),
}


@pytest.mark.parametrize(("steps", "kind"), AFTER_CONTENT.values(), ids=AFTER_CONTENT.keys())
async def test_what_breaks_after_content_breaks_the_read(
    far: ScriptedUpstream, upstream: HttpUpstream, steps: tuple[Step, ...], kind: FailureKind
) -> None:
    seen = asyncio.Event()
    far.then(request(), send(SSE + chunk(piece("hello"))), waits(seen), *steps)
    got = await upstream.send(exchange(stream=True, timeouts=Timeouts(idle_s=0.1)))
    assert await got.read() == piece("hello")
    seen.set()
    rest, failure = await read(got)
    assert failure is not None
    assert (failure.kind, failure.maybe_billed) == (kind, True)
    assert rest.replace(b": ping\n\n", b"") == b""
    with pytest.raises(UpstreamError):
        await got.read()


async def test_slow_data_is_not_idle(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    wire = b"".join(chunk(piece(str(number))) for number in range(8)) + chunk(piece(None, "stop")) + chunk(DONE)
    size = len(chunk(piece("0")))
    far.then(request(), send(SSE), dribble(wire, size, 0.03), send(chunk(b"")), stall())
    started_s = time.monotonic()
    got, failure = await read(await upstream.send(exchange(stream=True, timeouts=Timeouts(idle_s=0.15))))
    assert failure is None
    assert got.endswith(DONE)
    assert time.monotonic() - started_s > 0.15


async def test_a_slow_caller_is_not_the_upstreams_fault(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    go_on = asyncio.Event()
    far.then(request(), send(SSE + chunk(piece("a"))), waits(go_on), send(chunk(piece("b"))), stall())
    got = await upstream.send(exchange(stream=True, timeouts=Timeouts(idle_s=0.05)))
    await got.read()
    await asyncio.sleep(0.1)
    go_on.set()
    got_late, failure = await read(got)
    assert got_late == piece("b")
    assert failure is not None
    assert failure.kind is FailureKind.IDLE


async def test_the_total_ends_a_stream_that_still_flows(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    far.then(request(), send(SSE), dribble(chunk(piece("a")) * 1000, len(chunk(piece("a"))), 0.005))
    got = await upstream.send(exchange(stream=True, total_s=0.1))
    text, failure = await read(got)
    assert text.startswith(piece("a"))
    assert failure is not None
    assert failure.kind is FailureKind.TOTAL


async def test_an_empty_answer_with_a_finish_reason_is_an_answer(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    far.otherwise(serve(chunked(ROLE, piece(None, "stop"), DONE)))
    got = await upstream.send(exchange(stream=True))
    assert got.first_token_s is None
    assert await read(got) == (ROLE + piece(None, "stop") + DONE, None)


async def test_a_finished_stream_does_not_wait_for_the_end_of_the_body(
    far: ScriptedUpstream, upstream: HttpUpstream
) -> None:
    """The caller has its end at once; the connection is reused when the body ends a little later."""
    ended = asyncio.Event()
    far.then(
        request(),
        send(SSE + chunk(piece("a", "stop")) + chunk(DONE)),
        waits(ended),
        send(chunk(b"")),
        request(),
        send(answer(WHOLE)),
    )
    got, failure = await read(await upstream.send(exchange(stream=True)))
    assert (got.endswith(DONE), failure) == (True, None)
    ended.set()
    async with asyncio.timeout(2):
        while not upstream._pool.idle_count:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
    assert (await upstream.send(exchange())).body == WHOLE
    assert len(far.connections) == 1


async def test_closing_an_answer_hangs_up(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    far.then(request(), send(SSE + chunk(piece("a"))), stall())
    got = await upstream.send(exchange(stream=True))
    await got.read()
    got.close()
    got.close()
    await asyncio.wait_for(far.connections[0].hung_up.wait(), 1)


async def test_a_cancelled_read_hangs_up(far: ScriptedUpstream, upstream: HttpUpstream) -> None:
    far.then(request(), send(SSE + chunk(piece("a"))), stall())
    got = await upstream.send(exchange(stream=True))
    await got.read()
    task = asyncio.ensure_future(got.read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait_for(far.connections[0].hung_up.wait(), 1)
    with pytest.raises(UpstreamError):
        await got.read()


async def test_an_adapter_that_refuses_to_stream_leaves_no_connection(
    far: ScriptedUpstream, upstream: HttpUpstream
) -> None:
    far.otherwise(request(), send(SSE + chunk(piece("a"))), stall())
    of = exchange(stream=True)
    of.request.endpoint = Endpoint.EMBEDDINGS
    assert (await failure_of(upstream, of)).kind is FailureKind.BAD_RESPONSE
    await asyncio.wait_for(far.connections[0].hung_up.wait(), 1)
