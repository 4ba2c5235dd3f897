from __future__ import annotations

import json

import pytest

from adapters.base import FailedStream
from adapters.openai_answer import read_answer
from adapters.openai_responses import ResponsesDecoder
from adapters.schema import InferenceRequest
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Endpoint, FailureKind


def decoder() -> ResponsesDecoder:
    return ResponsesDecoder(InferenceRequest(Endpoint.RESPONSES, "m", True, False, {}, 0))


def event(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


CREATED = event("response.created", response={"id": "resp_1", "model": "gpt-5", "status": "in_progress", "usage": None})
DELTA = event("response.output_text.delta", delta="Hi")
RESPONSE = {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 9, "output_tokens": 3}}
COMPLETED = event("response.completed", response=RESPONSE)


def test_a_stream_ends_with_its_own_marker() -> None:
    stream = decoder()
    assert stream.feed(CREATED) == CREATED
    assert not stream.started
    assert stream.feed(DELTA + COMPLETED + DELTA) == DELTA + COMPLETED
    assert (stream.started, stream.ended, stream.finish()) == (True, True, b"")
    tally = stream.tally
    assert (tally.id, tally.model, tally.usage, tally.text) == ("resp_1", "gpt-5", Usage(9, 3), ["Hi"])
    assert tally.finish_reasons == ["completed"]


def test_an_incomplete_response_is_an_answer_that_says_why() -> None:
    stream = decoder()
    response = RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    stream.feed(DELTA + event("response.incomplete", response=response))
    assert stream.ended
    assert stream.tally.finish_reasons == ["max_output_tokens"]


@pytest.mark.parametrize(
    ("sent", "started"),
    [
        (event("response.output_item.added", item={"type": "message", "content": []}), False),
        (event("response.output_item.added", item={"type": "reasoning", "summary": []}), False),
        (event("response.content_part.added", part={"type": "output_text", "text": ""}), False),
        (event("response.output_text.delta", delta=""), False),
        (event("response.output_item.added", item={"type": "function_call", "name": "f"}), True),
        (event("response.output_item.done", item={"type": "reasoning"}), True),
        (event("response.reasoning_summary_text.delta", delta="hm"), True),
        (event("response.function_call_arguments.delta", delta="{"), True),
        (event("response.refusal.delta", delta="no"), True),
        (event("response.audio.delta", delta="AAAA"), True),
    ],
)
def test_a_stream_starts_with_content(sent: bytes, *, started: bool) -> None:
    stream = decoder()
    assert stream.feed(sent) == sent
    assert stream.started is started


def test_sound_is_not_text() -> None:
    stream = decoder()
    stream.feed(event("response.audio.delta", delta="AAAA") + event("response.audio.transcript.delta", delta="Hi"))
    assert stream.tally.text == ["Hi"]


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (event("response.failed", response={"status": "failed", "error": {"code": "server_error", "message": "boom"}}),
         "server_error", "boom"),
        (event("error", code="rate_limit_exceeded", message="wait", param=None), "rate_limit_exceeded", "wait"),
        (event("error", error={"type": "server_error", "message": "boom"}), "server_error", "boom"),
        (b'data: {"error":{"code":"x","message":"boom"}}\n\n', "x", "boom"),
        (event("response.failed"), None, "The upstream reported an error."),
    ],
)  # fmt: skip
def test_a_failed_response_is_a_failure(sent: bytes, code: str | None, message: str) -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(CREATED + sent)
    failure = failed.value.failure
    assert failure.kind is FailureKind.IN_BAND
    assert failure.message == message
    assert failure.code in (code, "response.failed")


@pytest.mark.parametrize("sent", [b"", CREATED, DELTA, COMPLETED[:-20], DELTA + b"data: [DO"])
def test_a_stream_without_its_marker_was_cut(sent: bytes) -> None:
    stream = decoder()
    stream.feed(sent)
    with pytest.raises(FailedStream) as failed:
        stream.finish()
    assert failed.value.failure.kind is FailureKind.TRUNCATED


def test_chat_s_end_marker_is_not_this_one() -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(CREATED + b"data: [DONE]\n\n")
    assert failed.value.failure.kind is FailureKind.TRUNCATED


@pytest.mark.parametrize(
    "sent", [b"data: x\n\n", b'data: {"response":7}\n\n', b'data: {"item":[]}\n\n', b"data: []\n\n"]
)
def test_events_that_cannot_be_read_are_failures(sent: bytes) -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(sent)
    assert failed.value.failure.kind is FailureKind.BAD_RESPONSE


def test_a_name_may_come_after_the_data_or_only_beside_it() -> None:
    stream = decoder()
    late = b'data: {"delta":"Hi"}\nevent: response.output_text.delta\n\n'
    assert stream.feed(late) == late
    assert stream.started


def test_searches_and_the_tier_of_service_come_with_the_usage() -> None:
    stream = decoder()
    searched = {"type": "web_search_call", "action": {"type": "search", "query": "x"}}
    opened = {"type": "web_search_call", "action": {"type": "open_page", "url": "x"}}
    for item in (searched, opened, {"type": "web_search_call"}, {"type": "message"}):
        stream.feed(event("response.output_item.added", item=item))
        stream.feed(event("response.output_item.done", item=item))
    stream.feed(event("response.completed", response=RESPONSE | {"service_tier": "flex"}))
    assert stream.tally.usage == Usage(9, 3, details=UsageDetails(searches=2, service="flex"))


def test_a_whole_response_says_the_same() -> None:
    output = [{"type": "web_search_call", "action": {"type": kind}} for kind in ("find_in_page", "search")]
    body = json.dumps(RESPONSE | {"output": output, "service_tier": "default"}).encode()
    assert read_answer(Endpoint.RESPONSES, body).usage == Usage(9, 3, details=UsageDetails(searches=1))
