from __future__ import annotations

import asyncio
import random
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from adapters.base import WireRequest
from gateway.transport import Response, TransportError
from gateway.transport.response import WINDOW_BYTES
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask, until
from tests.scripted_upstream import (
    answer,
    chunk,
    chunked,
    dribble,
    forever,
    half_close,
    head,
    request,
    reset,
    send,
    sets,
    stall,
    waits,
)

if TYPE_CHECKING:
    from gateway.transport import Pool
    from tests.scripted_upstream import ScriptedUpstream, Step

ask = Ask()
MIB = 1024 * 1024
CHUNKED = head(transfer_encoding="chunked")


async def read_to_the_end(response: Response) -> tuple[bytes, FailureKind | None]:
    pieces = []
    try:
        while piece := await response.read():
            pieces.append(piece)
    except TransportError as error:
        return b"".join(pieces), error.failure.kind
    return b"".join(pieces), None


async def test_headers_are_lower_case_and_repeats_are_joined(upstream: ScriptedUpstream, pool: Pool) -> None:
    wire = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    upstream.then(request(), send(wire))
    response = await ask(pool)
    assert response.status == 429
    assert response.headers == {"retry-after": "3", "x-a": "1, 2", "content-length": "0"}


@pytest.mark.parametrize("end", [half_close(), reset()], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "start",
    [head(content_length="10") + b"hello", CHUNKED + chunk(b"hello"), CHUNKED + chunk(b"hello") + b"5\r\nab"],
    ids=["content-length", "between chunks", "in a chunk"],
)
async def test_a_body_cut_short_is_a_reset_after_what_came(
    upstream: ScriptedUpstream, pool: Pool, start: bytes, end: Step
) -> None:
    seen = asyncio.Event()
    upstream.then(request(), send(start), waits(seen), end, stall())
    response = await ask(pool)
    first = await response.read()
    seen.set()
    rest, kind = await read_to_the_end(response)
    assert (first + rest).startswith(b"hello")
    assert kind is FailureKind.RESET
    assert pool.open_count == 0


@pytest.mark.parametrize("wire", [answer(b"whole")[:-1], answer(b"no gzip", headers=[("content-encoding", "gzip")])])
async def test_a_failure_that_is_kept_holds_on_to_nothing(upstream: ScriptedUpstream, pool: Pool, wire: bytes) -> None:
    """A raised exception knows its frames, and a frame its buffers: a circle that only the garbage collector breaks."""
    upstream.then(request(), send(wire))
    response = await ask(pool)
    with pytest.raises(TransportError) as failed:
        await response.read_all()
    with pytest.raises(TransportError) as again:
        await response.read_all()
    assert response.error is not None
    assert response.error.__traceback__ is None
    assert response.error.failure == failed.value.failure == again.value.failure


async def test_an_answer_cut_by_rst_is_not_taken_for_one_that_ends_with_the_connection(
    upstream: ScriptedUpstream, pool: Pool
) -> None:
    seen = asyncio.Event()
    upstream.then(request(), send(b"HTTP/1.0 200 OK\r\n\r\nhello"), waits(seen), reset())
    response = await ask(pool)
    await response.read()
    seen.set()
    assert await read_to_the_end(response) == (b"", FailureKind.RESET)


@pytest.mark.parametrize(
    "wire", [answer(b"x" * 1001), chunked(b"x" * 500, b"x" * 501)], ids=["content-length", "chunked"]
)
async def test_an_answer_beyond_its_limit_is_refused(upstream: ScriptedUpstream, pool: Pool, wire: bytes) -> None:
    upstream.then(request(), send(wire), stall())
    with pytest.raises(TransportError, match="too large") as refused:
        await (await ask(pool)).read_all(1000)
    assert refused.value.failure.kind is FailureKind.BAD_RESPONSE


async def test_a_huge_content_length_is_refused_before_its_body(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(head(content_length=str(10**12))), stall())
    with pytest.raises(TransportError, match="too large"):
        await (await ask(pool)).read_all()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)


async def test_a_large_answer_within_the_limit_arrives_whole(upstream: ScriptedUpstream, pool: Pool) -> None:
    body = bytes(range(256)) * 4096 * 4
    upstream.then(request(), send(answer(body)))
    assert await (await ask(pool)).read_all() == body
    assert pool.idle_count == 1


async def test_one_huge_chunk_streams_in_bounded_pieces(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(chunked(b"x" * (16 * MIB))))
    response, sizes = await ask(pool), []
    while piece := await response.read():
        sizes.append(len(piece))
    assert sum(sizes) == 16 * MIB
    assert max(sizes) < 3 * WINDOW_BYTES


async def test_a_slow_reader_holds_the_upstream_back(upstream: ScriptedUpstream, pool: Pool) -> None:
    """Nobody reads for a while: what is kept stays near the window although the upstream would send 64 MiB."""
    upstream.then(request(), send(head(content_length=str(64 * MIB))), forever(send(b"x" * MIB)))
    response = await ask(pool)
    connection = response.connection
    assert connection is not None
    await until(lambda: connection._paused)
    tracemalloc.start()
    for _ in range(50):
        await asyncio.sleep(0)
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response._waiting_bytes < 3 * WINDOW_BYTES
    assert grown_bytes < 8 * MIB
    read_bytes = 0
    while read_bytes < 8 * MIB:
        read_bytes += len(await response.read())
    response.close()


async def test_a_paused_connection_is_reused_once_it_was_read(upstream: ScriptedUpstream, pool: Pool) -> None:
    body = b"x" * (2 * MIB)
    upstream.then(request(), send(answer(body)), request(), send(answer(b"again")))
    response = await ask(pool)
    connection = response.connection
    assert connection is not None
    await until(lambda: connection._paused)
    assert await response.read_all() == body
    assert await (await ask(pool)).read_all() == b"again"
    assert len(upstream.connections) == 1


async def test_closing_abandons_the_connection_and_may_be_done_twice(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(CHUNKED + chunk(b"hello")), stall())
    response = await ask(pool)
    assert await response.read() == b"hello"
    response.close()
    response.close()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)
    assert pool.open_count == 0
    assert await read_to_the_end(response) == (b"", FailureKind.RESET)


async def test_a_cancelled_read_closes_the_upstreams_socket(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(CHUNKED + chunk(b"hello")), stall())
    response = await ask(pool)
    await response.read()
    task = asyncio.ensure_future(response.read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)
    assert pool.open_count == 0


async def test_what_is_drained_lets_the_connection_be_reused(upstream: ScriptedUpstream, pool: Pool) -> None:
    drained = asyncio.Event()
    upstream.then(
        request(),
        send(CHUNKED + chunk(b"hello")),
        waits(drained),
        dribble(chunk(b"unwanted") + chunk(b"")),
        request(),
        send(answer(b"again")),
    )
    response = await ask(pool)
    await response.read()
    response.drain()
    drained.set()
    await until(lambda: pool.idle_count)
    assert await (await ask(pool)).read_all() == b"again"
    assert len(upstream.connections) == 1


async def test_draining_ends_when_too_much_comes(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(CHUNKED + chunk(b"hello")), forever(send(chunk(b"x" * 10_000))))
    response = await ask(pool)
    await response.read()
    response.drain()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 2)
    assert pool.open_count == 0


async def test_draining_ends_when_nothing_comes(
    upstream: ScriptedUpstream, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.response._DRAIN_S", 0.05)
    upstream.then(request(), send(CHUNKED + chunk(b"hello")), stall())
    response = await ask(pool)
    await response.read()
    response.drain()
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 2)
    assert pool.open_count == 0


async def test_the_start_of_an_error_is_cut_at_its_limit(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(head(500, content_length=str(50 * MIB))), forever(send(b"x" * MIB)))
    response = await ask(pool)
    assert await response.read_start(64 * 1024, 1.0) == b"x" * 64 * 1024
    assert pool.open_count == 0


async def test_the_start_of_an_error_is_what_came_in_time(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(head(500, content_length="100") + b"half"), stall())
    response = await ask(pool)
    assert await response.read_start(64 * 1024, 0.05) == b"half"


async def test_a_small_error_keeps_its_connection(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(answer(b"no", status=500)), request(), send(answer(b"yes")))
    assert await (await ask(pool)).read_start(64 * 1024, 1.0) == b"no"
    assert await (await ask(pool)).read_all() == b"yes"
    assert len(upstream.connections) == 1


async def test_a_phase_counts_only_while_someone_waits(upstream: ScriptedUpstream, pool: Pool) -> None:
    go_on = asyncio.Event()
    upstream.then(request(), send(CHUNKED + chunk(b"a")), waits(go_on), send(chunk(b"b") + chunk(b"")))
    response = await ask(pool)
    await response.read()
    loop = asyncio.get_running_loop()
    response.limit_phase(FailureKind.IDLE, loop.time() + 0.02)
    connection = response.connection
    assert connection is not None
    connection.arm(loop.time() + 0.02)
    await asyncio.sleep(0.05)
    go_on.set()
    response.limit_phase(FailureKind.IDLE, loop.time() + 2)
    assert await read_to_the_end(response) == (b"b", None)


async def test_the_total_counts_even_when_nobody_waits(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.then(request(), send(CHUNKED + chunk(b"a")), stall())
    response = await Ask(total_s=0.05)(pool)
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)
    assert await read_to_the_end(response) == (b"a", FailureKind.TOTAL)


def compressed(body: bytes, wbits: int) -> bytes:
    squeezer = zlib.compressobj(wbits=wbits)
    return squeezer.compress(body) + squeezer.flush()


@pytest.mark.parametrize(
    ("coding", "wbits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("deflate", -15), ("GZIP", 31)]
)
async def test_compression_nobody_asked_for_is_undone(
    upstream: ScriptedUpstream, pool: Pool, coding: str, wbits: int
) -> None:
    body = random.Random(0).randbytes(600_000).hex().encode()
    squeezed = compressed(body, wbits)
    wire = head(content_encoding=coding, content_length=str(len(squeezed))) + squeezed
    upstream.then(request(), dribble(wire, 1000), request(), send(answer(b"again")))
    assert await (await ask(pool)).read_all() == body
    assert await (await ask(pool)).read_all() == b"again"
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


async def test_a_compressed_stream_flows(upstream: ScriptedUpstream, pool: Pool) -> None:
    squeezer, go_on = zlib.compressobj(wbits=31), asyncio.Event()
    first = squeezer.compress(b"data: 1\n\n") + squeezer.flush(zlib.Z_SYNC_FLUSH)
    second = squeezer.compress(b"data: 2\n\n") + squeezer.flush()
    wire = head(content_encoding="gzip", transfer_encoding="chunked") + chunk(first)
    upstream.then(request(), send(wire), waits(go_on), send(chunk(second) + chunk(b"")))
    response = await ask(pool)
    assert await response.read() == b"data: 1\n\n"
    go_on.set()
    assert await read_to_the_end(response) == (b"data: 2\n\n", None)


async def test_a_caller_that_leaves_while_a_body_is_inflated_takes_the_connection_along(
    upstream: ScriptedUpstream, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeezed = compressed(b"hello" * 1000, 31)
    upstream.then(request(), send(head(content_encoding="gzip", content_length="9999") + squeezed), stall())
    response = await ask(pool)

    async def cancelled(_delay_s: float) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("gateway.transport.response.asyncio.sleep", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await response.read_all()
    await until(lambda: pool.open_count == 0)


GZIP = compressed(b"hello" * 100, 31)
BROKEN = {
    "br": ("br", b"x"),
    "zstd": ("zstd", b"x"),
    "twice": ("gzip, gzip", compressed(GZIP, 31)),
    "not gzip": ("gzip", b"plainly not compressed"),
    "wrong checksum": ("gzip", GZIP[:-8] + b"12345678"),
    "cut short": ("gzip", GZIP[:-9]),
    "100,000 members": ("gzip", GZIP + compressed(b"", 31) * 100_000),
    "bomb": ("gzip", compressed(bytes(200 * MIB), 31)),
}


@pytest.mark.parametrize(("coding", "squeezed"), BROKEN.values(), ids=BROKEN.keys())
async def test_compression_beyond_reason_is_refused(
    upstream: ScriptedUpstream, pool: Pool, coding: str, squeezed: bytes
) -> None:
    wire = head(content_encoding=coding, content_length=str(len(squeezed))) + squeezed
    upstream.then(request(), send(wire), stall())
    tracemalloc.start()
    with pytest.raises(TransportError) as refused:
        await (await ask(pool)).read_all()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.failure.kind is FailureKind.BAD_RESPONSE
    assert peak_bytes < 64 * MIB


async def test_limits_reach_an_answer_that_never_begins(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(request(), stall())
    for how, first_token, kind in (
        (Ask(Timeouts(first_token_s=0.05)), True, FailureKind.FIRST_TOKEN),
        (Ask(total_s=0.05), False, FailureKind.TOTAL),
        (Ask(Timeouts(first_token_s=0.01), total_s=0.1), False, FailureKind.TOTAL),
    ):
        with pytest.raises(TransportError) as late:
            await how(pool, first_token=first_token)
        assert late.value.failure.kind is kind
        assert late.value.failure.maybe_billed


async def test_an_answer_may_come_before_the_request_is_through(upstream: ScriptedUpstream, pool: Pool) -> None:
    answered = asyncio.Event()
    upstream.then(send(answer(b"too large", status=413)), sets(answered), stall())
    response = await Ask(wire=WireRequest("/v1/x", b"x" * (32 * MIB)))(pool)
    assert response.status == 413
