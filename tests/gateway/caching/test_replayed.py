"""A kept answer is given as it is asked for, and never to who asks for something else."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.openai_request import parse
from gateway.caching.replayed import PIECE_BYTES, Replayed, replayed
from gateway.state.answers.store import Entry, Used
from policies.cache_rules import ReplayPace
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.upstream import Answer

BODY = json.dumps({
    "id": "old",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
}).encode()  # fmt: skip
ENTRY = Entry(
    id="ce_1", owner="o", route="r", scope=b"s", exact=b"e", near=b"", question="", endpoint="chat/completions",
    body=BODY, is_events=False, headers=(("openai-version", "1"),), model="m", deployment="d", used=Used(),
    stored_at_s=0.0, expires_at_s=9.0,
)  # fmt: skip
EVENTS = b'event: response.created\ndata: {"response":{"id":"resp_1"}}\n\nevent: x\ndata: {"item_id":"msg_1"}\n\n'
RESPONSE = msgspec.structs.replace(ENTRY, endpoint="responses", body=EVENTS, is_events=True)


def chat(*, stream: bool = False) -> InferenceRequest:
    fields = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    return parse(Endpoint.CHAT, json.dumps(fields).encode())


def response(*, stream: bool = False) -> InferenceRequest:
    return parse(Endpoint.RESPONSES, json.dumps({"model": "m", "stream": stream, "input": "hi"}).encode())


def given(entry: Entry, request: InferenceRequest, pace: ReplayPace | None = None) -> Answer:
    answer = replayed(entry, request, "req1", 77.9, pace or ReplayPace())
    assert answer is not None
    return answer


async def read_all(answer: Answer) -> list[bytes]:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return pieces


def test_a_whole_answer() -> None:
    answer = given(ENTRY, chat())

    assert answer.body is not None
    assert json.loads(answer.body) == json.loads(BODY) | {"id": "chatcmpl-req1", "created": 77}
    assert answer.headers == ENTRY.headers


async def test_a_stream_without_a_pace_comes_in_one_piece() -> None:
    answer = given(ENTRY, chat(stream=True))

    [piece] = await read_all(answer)

    assert answer.body is None
    assert piece.count(b'"content":"Hi there"') == 1
    assert piece.endswith(b"data: [DONE]\n\n")
    assert await answer.read() == b""


async def test_a_long_stream_comes_in_pieces_that_hold_nobody_up() -> None:
    long = msgspec.structs.replace(ENTRY, body=BODY.replace(b"Hi there", b"words " * 20_000))

    pieces = await read_all(given(long, chat(stream=True)))

    assert len(pieces) > 10
    assert max(map(len, pieces)) < PIECE_BYTES + 1000


async def test_at_a_pace_each_event_has_its_time() -> None:
    started_s = time.monotonic()

    pieces = await read_all(given(ENTRY, chat(stream=True), ReplayPace(piece_chars=4, pause_s=0.01)))

    assert [piece.count(b"data: ") for piece in pieces] == [1] * 5
    assert time.monotonic() - started_s >= 0.05


async def test_a_caller_who_leaves_a_paced_stream_leaves_at_once() -> None:
    answer = given(ENTRY, chat(stream=True), ReplayPace(pause_s=60.0))
    await answer.read()
    reading = asyncio.ensure_future(answer.read())
    await asyncio.sleep(0)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    answer.close()


async def test_closed_it_says_no_more() -> None:
    answer = given(ENTRY, chat(stream=True))

    answer.close()
    answer.close()

    assert await answer.read() == b""


async def test_a_stream_of_responses_is_told_under_new_names() -> None:
    pieces = await read_all(given(RESPONSE, response(stream=True), ReplayPace(pause_s=0.001)))

    assert pieces == [
        b'event: response.created\ndata: {"response":{"id":"resp_req100"}}\n\n',
        b'event: x\ndata: {"item_id":"msg_req101"}\n\n',
    ]


@pytest.mark.parametrize(
    ("entry", "request_"),
    [
        (ENTRY, response()),
        (RESPONSE, response()),
        (RESPONSE, chat(stream=True)),
        (msgspec.structs.replace(RESPONSE, endpoint="chat/completions"), chat(stream=True)),
        (msgspec.structs.replace(RESPONSE, is_events=False), response(stream=True)),
        (msgspec.structs.replace(ENTRY, body=b"{"), chat()),
        (msgspec.structs.replace(ENTRY, body=b"{}"), chat(stream=True)),
    ],
)
def test_what_was_asked_otherwise_is_not_given(entry: Entry, request_: InferenceRequest) -> None:
    assert replayed(entry, request_, "req1", 77.0, ReplayPace()) is None


async def test_an_answer_without_events_is_at_its_end() -> None:
    assert await Replayed((), body=b"{}").read() == b""
