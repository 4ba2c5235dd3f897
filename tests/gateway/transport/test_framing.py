from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.transport import Response, TransportError
from gateway.transport.framing import HEAD_LIMIT_BYTES, IDLE_S, Framing, FramingError
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask
from tests.scripted_upstream import answer, chunk, chunked, dribble, half_close, head, request, send, stall

if TYPE_CHECKING:
    from gateway.transport import Pool
    from tests.scripted_upstream import ScriptedUpstream

CHUNKED = head(transfer_encoding="chunked")

REFUSED = {
    "CL and TE": head(content_length="5", transfer_encoding="chunked") + b"0\r\n\r\n",
    "TE and CL": head(transfer_encoding="chunked", content_length="5") + b"0\r\n\r\n",
    "two different CL": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "list of CL": head(content_length="5,5") + b"hello",
    "signed CL": head(content_length="+5") + b"hello",
    "negative CL": head(content_length="-5") + b"hello",
    "CL beyond 64 bits": head(content_length="9" * 30) + b"hello",
    "empty CL": head(content_length="") + b"hello",
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nhello",
    "negative chunk size": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk size in C style": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk without its end": CHUNKED + b"1\r\nhello\r\n0\r\n\r\n",
    "chunk lines without CR": CHUNKED + b"5\nhello\n0\n\n",
    "coding over chunked": head(transfer_encoding="gzip, chunked") + b"0\r\n\r\n",
    "chunked not last": head(transfer_encoding="chunked, identity") + b"0\r\n\r\n",
    "unknown transfer coding": head(transfer_encoding="xchunked") + b"0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 Many\r\nContent-Length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x00",
    "101 without upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "10,000 headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "1 MiB of headers": b"HTTP/1.1 200 OK\r\n" + (b"a: " + b"b" * 8000 + b"\r\n") * 130 + b"\r\n",
    "one header of 1 MiB": b"HTTP/1.1 200 OK\r\na: " + b"b" * (1 << 20) + b"\r\n\r\n",
    "chunk extension of 1 MiB": CHUNKED + b"5;" + b"x" * (1 << 20) + b"\r\nhello\r\n0\r\n\r\n",
    "trailers of 1 MiB": CHUNKED + b"5\r\nhello\r\n0\r\n" + b"t: " + b"x" * (1 << 20) + b"\r\n\r\n",
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10_000,
}


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED.keys())
async def test_doubtful_framing_is_a_bad_response_and_the_connection_is_gone(
    upstream: ScriptedUpstream, pool: Pool, wire: bytes
) -> None:
    upstream.then(request(), send(wire), stall())
    with pytest.raises(TransportError) as refused:
        await (await Ask()(pool)).read_all()
    assert refused.value.failure.kind is FailureKind.BAD_RESPONSE
    assert refused.value.failure.maybe_billed
    assert pool.open_count == 0
    await upstream.connections[0].hung_up.wait()


ACCEPTED = {
    "content-length": (answer(b"hello"), b"hello"),
    "chunked": (chunked(b"hel", b"lo"), b"hello"),
    "one-byte chunks": (chunked(*[b"x"] * 50_000), b"x" * 50_000),
    "chunk extensions": (CHUNKED + b"5;name=value\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (CHUNKED + chunk(b"hello") + b"0\r\nAuthorization: x\r\n\r\n", b"hello"),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hello"), b"hello"),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n" + answer(b"hello"), b"hello"),
    "empty": (answer(b""), b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
}


@pytest.mark.parametrize(("wire", "body"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_proper_framing_yields_the_body_and_keeps_the_connection(
    upstream: ScriptedUpstream, pool: Pool, wire: bytes, body: bytes
) -> None:
    upstream.then(request(), send(wire), request(), send(answer(b"again")))
    response = await Ask()(pool)
    assert await response.read_all() == body
    assert "x-early" not in response.headers
    assert "authorization" not in response.headers
    assert await (await Ask()(pool)).read_all() == b"again"
    assert len(upstream.connections) == 1


UNTIL_CLOSE = {
    "1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "1.1": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\nhello",
}


@pytest.mark.parametrize("wire", UNTIL_CLOSE.values(), ids=UNTIL_CLOSE.keys())
async def test_a_body_may_end_with_the_connection(upstream: ScriptedUpstream, pool: Pool, wire: bytes) -> None:
    upstream.then(request(), send(wire), half_close(), stall())
    assert await (await Ask()(pool)).read_all() == b"hello"
    assert pool.open_count == 0


NOT_REUSED = {
    "connection: close": answer(b"hello", headers=[("connection", "close")]),
    "close in a list": answer(b"hello", headers=[("connection", "x, close")]),
    "1.0 without keep-alive": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "keep-alive for no time": answer(b"hello", headers=[("keep-alive", "timeout=0, max=100")]),
    "more than the answer": answer(b"hello") + b"H",
    "a second answer": answer(b"hello") + answer(b"smuggled"),
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("wire", NOT_REUSED.values(), ids=NOT_REUSED.keys())
async def test_a_connection_with_a_doubt_is_never_reused(upstream: ScriptedUpstream, pool: Pool, wire: bytes) -> None:
    upstream.then(request(), send(wire), stall())
    upstream.then(request(), send(answer(b"fresh")), stall())
    assert await (await Ask()(pool)).read_all() in (b"hello", b"")
    assert await (await Ask()(pool)).read_all() == b"fresh"
    assert len(upstream.connections) == 2


async def test_an_answer_cut_anywhere_reads_the_same(upstream: ScriptedUpstream, pool: Pool) -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\n" + chunked("grüße 🚂".encode(), b"!")
    sizes = range(1, len(wire))
    upstream.then(*(step for size in sizes for step in (request(), dribble(wire, size))))
    for _ in sizes:
        assert (await (await Ask()(pool)).read_all()).decode() == "grüße 🚂!"
    assert len(upstream.connections) == 1


def test_every_cut_gives_the_same_head_and_body() -> None:
    wire = b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + chunked(b"hello ", "wörld".encode())

    def read(cut: int) -> tuple[int, dict[bytes, bytes], list[bytes], bool]:
        framing, response = Framing(), _Sink()
        framing.begin(response)  # type: ignore[arg-type]  # it has what framing needs
        framing.feed(wire[:cut])
        framing.feed(wire[cut:])
        assert framing.over
        return response.status, response.fields, [b"".join(response.pieces)], framing.reusable

    whole = read(0)
    assert whole[2] == ["hello wörld".encode()]
    assert all(read(cut) == whole for cut in range(len(wire)))


class _Sink:
    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.inflater = None
        self.pieces: list[bytes] = []

    def take_in(self, piece: bytes) -> None:
        self.pieces.append(piece)


def test_headers_dribbled_without_end_are_cut_off_at_the_limit() -> None:
    framing = Framing()
    framing.begin(_Sink())  # type: ignore[arg-type]  # it has what framing needs
    framing.feed(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(HEAD_LIMIT_BYTES // 1000):
        framing.feed(b"x" * 1000)
    with pytest.raises(FramingError, match="oversized"):
        framing.feed(b"x" * 1000)


@pytest.mark.parametrize(
    ("advertised", "idle_s"),
    [
        (b"timeout=5, max=100", 4.0),
        (b"max=100, timeout=5", 4.0),
        (b"timeout=3600", IDLE_S),
        (b"timeout=" + b"9" * 400, IDLE_S),
        (b"timeout=soon", IDLE_S),
        (b"max=100", IDLE_S),
    ],
)
def test_a_peer_says_how_long_it_keeps_a_connection(advertised: bytes, idle_s: float) -> None:
    framing = Framing()
    framing.begin(_Sink())  # type: ignore[arg-type]  # it has what framing needs
    framing.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: " + advertised + b"\r\n\r\n")
    assert framing.idle_s == idle_s


async def test_headers_dribbled_byte_by_byte_are_bound_by_the_first_token_limit(
    upstream: ScriptedUpstream, pool: Pool
) -> None:
    upstream.then(request(), dribble(answer(b"x" * 5000), 1, 0.01))
    with pytest.raises(TransportError) as late:
        await Ask(Timeouts(first_token_s=0.1))(pool, first_token=True)
    assert late.value.failure.kind is FailureKind.FIRST_TOKEN
    await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 2)


def test_response_is_what_framing_fills() -> None:
    assert set(vars(_Sink())) - {"pieces"} <= set(Response.__slots__)
