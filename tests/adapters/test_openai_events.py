"""What holds for every stream, whichever its events: forwarding, keep-alives, failing, ending."""

from __future__ import annotations

import pytest

from adapters.base import FailedStream
from adapters.openai_events import DONE
from adapters.openai_stream import ChatDecoder
from adapters.schema import InferenceRequest
from policies.vocabulary import Endpoint, FailureKind

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"busy","code":503}}\n\n'
COMMENT = b": keep-alive\n\n"


def decoder() -> ChatDecoder:
    return ChatDecoder(InferenceRequest(Endpoint.CHAT, "m", True, True, {}, 0))


def failure_of(stream: ChatDecoder, *pieces: bytes) -> FailureKind:
    def read() -> None:
        for piece in pieces:
            stream.feed(piece)
        stream.finish()

    with pytest.raises(FailedStream) as failed:
        read()
    return failed.value.failure.kind


def test_keep_alives_go_on_only_inside_an_answer() -> None:
    stream = decoder()
    assert stream.feed(COMMENT + ROLE + COMMENT) == ROLE
    assert not stream.started
    assert stream.feed(TEXT + COMMENT) == TEXT + COMMENT
    assert stream.started


@pytest.mark.parametrize("event", [b"data:\n\n", b"data: \n\n", b"id: 7\n\n", b"event: ping\n\n", b": a\nid: 7\n\n"])
def test_events_without_data_crash_sdks_and_are_dropped(event: bytes) -> None:
    stream = decoder()
    assert stream.feed(TEXT + event + STOP) == TEXT + STOP


def test_line_ends_become_lf_and_names_stay() -> None:
    stream = decoder()
    named = b"event: chunk\nid: 1\n" + TEXT
    assert stream.feed(named.replace(b"\n", b"\r\n")) == named


def test_a_failure_before_the_first_content_is_raised_at_once() -> None:
    assert failure_of(decoder(), ROLE + ERROR) is FailureKind.IN_BAND
    assert failure_of(decoder(), ROLE + TEXT + ERROR) is FailureKind.IN_BAND


def test_a_failure_behind_content_does_not_swallow_it() -> None:
    stream = decoder()
    assert stream.feed(TEXT) == TEXT
    assert stream.feed(TEXT + ERROR + TEXT) == TEXT
    assert failure_of(stream) is FailureKind.IN_BAND
    assert failure_of(stream, TEXT) is FailureKind.IN_BAND


def test_nothing_follows_the_end_marker() -> None:
    stream = decoder()
    assert stream.feed(TEXT + STOP + DONE + DONE + TEXT) == TEXT + STOP + DONE
    assert stream.ended
    assert stream.feed(TEXT + ERROR) == b""
    assert stream.finish() == b""


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r", b"data: [DONE]\r\n\r"])
def test_an_end_marker_without_its_blank_line_counts(end: bytes) -> None:
    stream = decoder()
    forwarded = stream.feed(TEXT + STOP + end)
    assert (forwarded + stream.finish()).endswith(b"[DONE]\n\n")
    assert stream.ended


@pytest.mark.parametrize(
    "torn", [b"", b"data: ", b'data: {"choices":[{"ind', b"da", b": comm", TEXT[:-2], TEXT + b"data: [DO"]
)
def test_a_cut_stream_never_looks_like_a_success(torn: bytes) -> None:
    stream = decoder()
    stream.feed(TEXT)
    stream.feed(torn)
    assert failure_of(stream) is FailureKind.TRUNCATED
    assert not stream.ended


def test_a_last_event_without_its_blank_line_is_an_error_if_it_says_so() -> None:
    assert failure_of(decoder(), TEXT, ERROR[:-2]) is FailureKind.IN_BAND


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"", FailureKind.TRUNCATED, "before it was complete"),
        (b"<html><body>busy</body></html>", FailureKind.BAD_RESPONSE, "HTML"),
        (b"<!doctype html>\n\n<html></html>\n\n", FailureKind.BAD_RESPONSE, "HTML"),
        (b'{"choices":[{"message":{"content":"Hi"}}]}', FailureKind.BAD_RESPONSE, "instead of an answer"),
        (b'{"error":{"message":"busy"}}', FailureKind.IN_BAND, "busy"),
        (b'{\n  "error": {"message": "busy"}\n}\n\n', FailureKind.IN_BAND, "busy"),
        (b"upstream connect error", FailureKind.TRUNCATED, "before it was complete"),
    ],
)
def test_a_body_that_is_no_stream_is_named(body: bytes, kind: FailureKind, says: str) -> None:
    stream = decoder()
    with pytest.raises(FailedStream, match=says) as failed:
        stream.finish() if stream.feed(body) == b"" else None
    assert failed.value.failure.kind is kind


def test_broken_text_inside_a_stream_is_mended() -> None:
    stream = decoder()
    assert stream.feed(TEXT.replace(b"Hi", b"a\xff")) == TEXT.replace(b"Hi", "a\ufffd".encode())
    assert stream.feed(TEXT.replace(b"Hi", b"\\ud83d")) == TEXT.replace(b"Hi", b"\\ufffd")
    assert stream.feed(TEXT.replace(b"Hi", b"\\ud83d\\ude00")) == TEXT.replace(b"Hi", b"\\ud83d\\ude00")
    assert "".join(stream.tally.text) == "a\ufffd\ufffd😀"
