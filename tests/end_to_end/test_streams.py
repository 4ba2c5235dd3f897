"""Streams through the real gateway: a break after the first content is told in the stream; what is odd gets through."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import (
    DONE,
    GOOD_STREAM,
    ROLE,
    USAGE,
    Ask,
    good,
    judged,
    piece,
    proving_ground,
    usage_piece,
    whole,
)
from tests.scripted_upstream import answer, chunk, chunked, dribble, events, forever, head, request, reset, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground, Trial
    from tests.scripted_upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BEGUN = SSE + chunk(ROLE + piece("hel"))
IN_BAND = '{"error": {"message": "the model is overloaded", "type": "server_error", "code": "overloaded"}}'


@dataclass(frozen=True)
class Break:
    """What goes wrong after the first content; `code` is the error event's, `outcome` the ledger's."""

    name: str
    steps: tuple[Step, ...]
    code: str
    outcome: str
    begun: bytes = BEGUN

    def __str__(self) -> str:
        return self.name


def bad(name: str, data: bytes) -> Break:
    return Break(name, (send(chunk(data)), stall()), "upstream_bad_response", "bad_response")


def damaged(name: str, data: bytes) -> Break:
    """A stream that goes on to its end as if nothing had been lost."""
    rest = data + piece(finish="stop") + DONE
    return Break(name, (send(chunk(rest) + chunk(b"")),), "upstream_bad_response", "bad_response")


def cut(name: str, *data: bytes) -> Break:
    """A body that ends well framed, and yet too early."""
    return Break(name, (send(b"".join(map(chunk, data)) + chunk(b"")),), "upstream_incomplete", "truncated")


BREAKS = [
    Break("a reset", (reset(),), "upstream_incomplete", "reset"),
    Break("a close", (), "upstream_incomplete", "reset"),
    Break("a reset within a chunk", (send(b"ff\r\ndata: {"), reset()), "upstream_incomplete", "reset"),
    Break("a close within a chunk", (send(b"ff\r\ndata: {"),), "upstream_incomplete", "reset"),
    Break("a close within an event", (send(chunk(b'data: {"cho')),), "upstream_incomplete", "reset"),
    Break(
        "a close without a length",
        (),
        "upstream_incomplete",
        "truncated",
        head(content_type="text/event-stream", connection="close") + ROLE + piece("hel"),
    ),
    cut("an end without finish"),
    cut("an end within an event", b'data: {"choices": [{"index": 0, "delta": {"content": "lo'),
    cut("an end within a line", b"dat"),
    Break("chunks that are none", (send(b"xyz\r\n"),), "upstream_bad_response", "bad_response"),
    Break("an error event", (send(chunk(events(IN_BAND)) + chunk(b"")),), "upstream_error", "in_band"),
    Break(
        "an error event before [DONE]",
        (send(chunk(events(IN_BAND) + DONE) + chunk(b"")),),
        "upstream_error",
        "in_band",
    ),
    Break(
        "an event named error",
        (send(chunk(b"event: error\n" + events('{"message": "no"}')) + chunk(b"")),),
        "upstream_error",
        "in_band",
    ),
    Break(
        "a finish that is an error",
        (send(chunk(piece(finish="error") + DONE) + chunk(b"")),),
        "upstream_error",
        "in_band",
    ),
    damaged("an event that is no JSON", events("this is not JSON")),
    damaged("a cut event", events('{"choices": [{"index": 0, "delta": {"content": "lo')),
    bad("more events that are no JSON than is borne", events("this is not JSON") * 4),
    bad("the wrong shape", events('{"choices": 5}')),
    bad("an array", events("[]")),
    damaged("HTML", events("<html>Bad gateway</html>")),
    bad("an event of 3 MB", piece("x" * (3 << 20))),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path_factory.mktemp("streams"), lanes=200) as ground:
        yield ground


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken(ground: Ground) -> dict[tuple[str, bool], Trial | BaseException]:
    return await ground.trials(
        {
            (case.name, backed): Ask(case.steps, backed, stream=True, begun=case.begun)
            for case in BREAKS
            for backed in (False, True)
        }
    )


@pytest.mark.parametrize("backed", [False, True], ids=["alone", "backed"])
@pytest.mark.parametrize("case", BREAKS, ids=str)
async def test_a_stream_that_breaks_says_so(
    broken: dict[tuple[str, bool], Trial | BaseException],
    case: Break,
    backed: bool,  # noqa: FBT001 - a parameter
) -> None:
    """After the first content no fallback can help: it would begin anew."""
    trial = judged(broken[case.name, backed])
    reply = trial.reply
    assert (reply.status, reply.ended, reply.text) == (200, True, "hel")
    *_, last = reply.events
    assert "[DONE]" not in reply.events
    assert (last["error"]["code"], last["error"]["request_id"]) == (case.code, reply.id)
    assert last["error"]["type"] == "api_error"
    assert reply.attempts == 1
    (row,) = trial.rows
    assert (row["outcome"], row["error_code"]) == (case.outcome, case.outcome)
    assert (row["deployment"], row["estimated"], row["cancelled"]) == (trial.lane.name, 1, 0)
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    assert row["cost_nanousd"] == 1000 * row["input_tokens"] + 2000 * row["output_tokens"]


LONG = "x" * (1 << 20)
EMOJI = "hé\N{GRINNING FACE}llo"
RAW_EMOJI = events(json.dumps({"choices": [{"index": 0, "delta": {"content": EMOJI}}]}, ensure_ascii=False))
ENDING = piece(finish="stop") + usage_piece(USAGE) + DONE
MULTI_LINE = b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "hello"}}]}\n\n'
UNSPACED = GOOD_STREAM.replace(b"data: ", b"data:")
FIELDS = b"event: chunk\nid: 7\nretry: 10\nfoo: bar\n"
CLOSED = head(content_type="text/event-stream", connection="close")
GOOD = {
    "one piece": ((send(chunked(GOOD_STREAM)),), "hello"),
    "byte by byte": ((send(SSE + b"".join(chunk(bytes([byte])) for byte in GOOD_STREAM) + chunk(b"")),), "hello"),
    "in tiny segments": ((dribble(chunked(GOOD_STREAM), 7),), "hello"),
    "UTF-8 cut in every place": ((dribble(chunked(ROLE, RAW_EMOJI, ENDING), 1),), EMOJI),
    "CR": ((send(chunked(GOOD_STREAM.replace(b"\n", b"\r"))),), "hello"),
    "CRLF": ((send(chunked(GOOD_STREAM.replace(b"\n", b"\r\n"))),), "hello"),
    "CRLF byte by byte": ((dribble(chunked(GOOD_STREAM.replace(b"\n", b"\r\n")), 1),), "hello"),
    "a byte order mark": ((send(chunked(b"\xef\xbb\xbf" + GOOD_STREAM)),), "hello"),
    "no space after the colon": ((send(chunked(UNSPACED)),), "hello"),
    "data over two lines": ((send(chunked(ROLE, MULTI_LINE, ENDING)),), "hello"),
    "other fields": ((send(chunked(FIELDS + ROLE, FIELDS + piece("hello"), ENDING)),), "hello"),
    "comments": ((send(chunked(b": ping\n\n", ROLE, b": ping\n\n", piece("hello"), b":\n\n", ENDING)),), "hello"),
    "an event of a megabyte": ((send(chunked(ROLE, piece(LONG), ENDING)),), LONG),
    "no blank line at the end": ((send(chunked(GOOD_STREAM[:-2])),), "hello"),
    "no [DONE]": ((send(chunked(ROLE, piece("hello"), piece(finish="stop"), usage_piece(USAGE))),), "hello"),
    "[DONE] twice": ((send(chunked(GOOD_STREAM, DONE)),), "hello"),
    "content after [DONE]": ((send(chunked(GOOD_STREAM, piece("more"))),), "hello"),
    "no choices": ((send(chunked(events('{"choices": []}'), GOOD_STREAM)),), "hello"),
    "a null delta": ((send(chunked(events('{"choices": [{"index": 0, "delta": null}]}'), GOOD_STREAM)),), "hello"),
    "HTTP/1.0 until the end": ((send(CLOSED.replace(b"1.1", b"1.0") + GOOD_STREAM),), "hello"),
    "HTTP/1.1 until the end": ((send(CLOSED + GOOD_STREAM),), "hello"),
    "a length": ((send(answer(GOOD_STREAM, headers=[("content-type", "text/event-stream")])),), "hello"),
    "JSON's content type": ((send(chunked(GOOD_STREAM, content_type="application/json")),), "hello"),
    "HTML's content type": ((send(chunked(GOOD_STREAM, content_type="text/html")),), "hello"),
    "no content type": ((send(head(transfer_encoding="chunked") + chunk(GOOD_STREAM) + chunk(b"")),), "hello"),
    "100 and 103 first": (
        (send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + chunked(GOOD_STREAM)),),
        "hello",
    ),
    "gzip": ((send(answer(gzip.compress(GOOD_STREAM), headers=[("content-encoding", "gzip")])),), "hello"),
    "gzip byte by byte": (
        (dribble(answer(gzip.compress(GOOD_STREAM), headers=[("content-encoding", "gzip")]), 1),),
        "hello",
    ),
    "chunk extensions and trailers": (
        (send(SSE + b"%x;a=b\r\n%b\r\n0\r\nx-trailer: y\r\n\r\n" % (len(GOOD_STREAM), GOOD_STREAM)),),
        "hello",
    ),
}
WHOLES = {
    "100 and 103 first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + answer(whole("hello")),
    "HTTP/1.0 until the end": b"HTTP/1.0 200 OK\r\n\r\n" + whole("hello"),
    "HTTP/1.1 until the end": b"HTTP/1.1 200 OK\r\n\r\n" + whole("hello"),
    "chunks": chunked(whole("hello")[:20], whole("hello")[20:], content_type="application/json"),
    "gzip": answer(gzip.compress(whole("hello")), headers=[("content-encoding", "gzip")]),
    "HTML's content type": answer(whole("hello"), headers=[("content-type", "text/html")]),
    "blanks around": answer(b"\r\n  " + whole("hello") + b"\n"),
    "201": answer(whole("hello"), status=201),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd(ground: Ground) -> dict[tuple[str, bool], Trial | BaseException]:
    streams = {(name, True): Ask(steps, stream=True) for name, (steps, _) in GOOD.items()}
    return await ground.trials(streams | {(name, False): Ask((send(data),)) for name, data in WHOLES.items()})


@pytest.mark.parametrize("name", GOOD)
async def test_an_odd_stream_gets_through(odd: dict[tuple[str, bool], Trial | BaseException], name: str) -> None:
    trial = judged(odd[name, True])
    assert (trial.reply.status, trial.reply.ended) == (200, True)
    assert trial.reply.text == GOOD[name][1]
    assert trial.reply.events[-1] == "[DONE]"
    assert trial.reply.events.count("[DONE]") == 1
    check_paid(trial)


@pytest.mark.parametrize("name", WHOLES)
async def test_an_odd_whole_gets_through(odd: dict[tuple[str, bool], Trial | BaseException], name: str) -> None:
    trial = judged(odd[name, False])
    assert (trial.reply.status, trial.reply.ended, trial.reply.text) == (200, True, "hello")
    check_paid(trial)


def check_paid(trial: Trial) -> None:
    """What the upstream reported, and not a token more."""
    (row,) = trial.rows
    assert (row["outcome"], row["status"], row["estimated"]) == ("ok", 200, 0)
    assert (row["input_tokens"], row["output_tokens"], row["cost_nanousd"]) == (3, 2, 7000)


REPORTS: dict[str, tuple[bytes, tuple[int, int] | None]] = {
    "none": (b"", None),
    "null": (usage_piece(None), None),
    "a string": (usage_piece("5"), None),
    "strings": (usage_piece({"prompt_tokens": "3", "completion_tokens": "2"}), None),
    "negative": (usage_piece({"prompt_tokens": -3, "completion_tokens": -2}), None),
    "huge": (usage_piece({"prompt_tokens": 10**30, "completion_tokens": 10**30}), None),
    "not a number": (usage_piece({"prompt_tokens": 1.5, "completion_tokens": [2]}), None),
    "twice": (usage_piece({"prompt_tokens": 1, "completion_tokens": 1}) + usage_piece(USAGE), (3, 2)),
    "nonsense after sense": (usage_piece(USAGE) + usage_piece({"prompt_tokens": -1}), (3, 2)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reported(ground: Ground) -> dict[str, Trial | BaseException]:
    return await ground.trials(
        {
            name: Ask((send(chunked(ROLE, piece("hello"), piece(finish="stop"), data, DONE)),), stream=True)
            for name, (data, _) in REPORTS.items()
        }
    )


@pytest.mark.parametrize("name", REPORTS)
async def test_usage_is_believed_or_estimated(reported: dict[str, Trial | BaseException], name: str) -> None:
    trial = judged(reported[name])
    assert (trial.reply.status, trial.reply.text, trial.reply.events[-1]) == (200, "hello", "[DONE]")
    (row,) = trial.rows
    counts, believed = (row["input_tokens"], row["output_tokens"]), REPORTS[name][1]
    assert (row["outcome"], bool(row["estimated"])) == ("ok", believed is None)
    assert counts == (believed or counts)
    assert min(counts) > 0
    assert max(counts) < 100


async def test_content_is_there_before_the_stream_goes_on(ground: Ground) -> None:
    """Nothing is held back: each event is the caller's as soon as it came."""
    go_on = asyncio.Event()

    async def wait(_: object) -> None:
        await go_on.wait()

    lane = ground.lane(send(BEGUN), wait, send(chunk(piece("lo") + ENDING) + chunk(b"")))
    caller = await ground.open(lane.alone)
    await caller.read_until(b"hel")
    go_on.set()
    reply = await caller.rest()
    assert (reply.text, reply.events[-1]) == ("hello", "[DONE]")
    await ground.settled(reply)


async def test_a_connection_that_died_on_reuse_is_replaced_unseen(ground: Ground) -> None:
    """The one retry that is no attempt: a kept connection closed just as it was used again, before any answer."""
    lane = ground.lane(send(answer(whole("one"))), request(), reset())
    first = await ground.ask(lane.alone)
    ground.stage.scripts[lane.name] = (send(answer(whole("two"))),)
    second = await ground.ask(lane.alone)
    assert (first.text, second.text, second.status, second.attempts) == ("one", "two", 200, 1)
    assert [row["outcome"] for row in await ground.settled(second)] == ["ok"]


async def test_a_connection_is_kept_for_the_next_call(ground: Ground) -> None:
    lane = ground.lane(send(chunked(GOOD_STREAM)), forever(request(), good()))
    before = len(ground.far.connections)
    for stream in (True, False, True):
        reply = await ground.ask(lane.alone, stream=stream)
        assert reply.text == "hello"
    assert len(ground.far.connections) == before + 1
    await ground.settled(reply)
