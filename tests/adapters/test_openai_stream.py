"""Chat and completions streams, as servers send them and as they break."""

from __future__ import annotations

import json

import pytest

from adapters.base import NAME_CHARS_KEPT, REASON_CHARS_KEPT, REASONS_KEPT, FailedStream
from adapters.openai_events import DONE
from adapters.openai_stream import ChatDecoder
from adapters.schema import InferenceRequest
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Endpoint, FailureKind


def decoder(*, choices: int = 1, include_usage: bool = False) -> ChatDecoder:
    return ChatDecoder(InferenceRequest(Endpoint.CHAT, "m", True, include_usage, {}, 0, choices))


def event(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields).encode()


def chunk(delta: object = None, reason: object = None, index: object = 0, **fields: object) -> bytes:
    return event(choices=[{"index": index, "delta": delta, "finish_reason": reason}], **fields)


TEXT, STOP = chunk({"content": "Hi"}), chunk({}, "stop")
USAGE = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3})


def test_only_the_usage_that_we_asked_for_is_taken_out() -> None:
    unasked, asked = decoder(), decoder(include_usage=True)
    stream = TEXT + STOP + USAGE + DONE
    assert unasked.feed(stream) == TEXT + STOP + DONE
    assert asked.feed(stream) == stream
    assert unasked.tally.usage == asked.tally.usage == Usage(9, 3)


def test_usage_beside_content_goes_on() -> None:
    stream = decoder()
    last = chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 3})
    assert stream.feed(TEXT + last + DONE) == TEXT + last + DONE
    assert stream.tally.usage == Usage(9, 3)


def test_what_is_kept_of_names_and_reasons_has_an_end() -> None:
    """Records keep them for longer than the answer lasts, and an upstream may write what it wants."""
    stream = decoder()
    reasons = [chunk({"content": "x"}, f"{n}" * 10_000, index=n) for n in range(1_000)]
    stream.feed(chunk({"content": "x"}, model="m" * 100_000, id="i" * 100_000) + b"".join(reasons))
    assert stream.feed(DONE) == DONE
    assert [len(name or "") for name in (stream.tally.model, stream.tally.id)] == [NAME_CHARS_KEPT] * 2
    assert len(stream.tally.finish_reasons) == REASONS_KEPT
    assert {len(reason) for reason in stream.tally.finish_reasons} == {REASON_CHARS_KEPT}
    assert len(stream._finished) == 1


def test_the_last_usage_wins() -> None:
    stream = decoder()
    running = [chunk({"content": "x"}, usage={"prompt_tokens": 9, "completion_tokens": n}) for n in (1, 2)]
    stream.feed(b"".join(running) + STOP + USAGE + USAGE + DONE)
    assert stream.tally.usage == Usage(9, 3)


def test_a_prompt_that_the_last_usage_leaves_out_was_told_before() -> None:
    stream = decoder()
    start = chunk({"content": "x"}, usage={"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4})
    stream.feed(start + STOP + event(choices=[], usage={"prompt_tokens": 0, "completion_tokens": 5}) + DONE)
    assert stream.tally.usage == Usage(9, 5, 4)


def test_text_after_the_last_usage_makes_it_a_lower_bound() -> None:
    """Who translates Anthropic's form may tell of the prompt at the start, and forget to tell of the rest."""
    early, whole, beside, without = (decoder() for _ in range(4))
    early.feed(USAGE + TEXT + STOP + DONE)
    whole.feed(USAGE + TEXT + STOP + USAGE + DONE)
    beside.feed(chunk({"content": "x"}, usage={"prompt_tokens": 9, "completion_tokens": 1}) + STOP + DONE)
    without.feed(TEXT + STOP + DONE)
    assert [one.tally.is_usage_early for one in (early, whole, beside)] == [True, False, False]
    assert without.tally.usage is None


def test_the_tier_of_service_may_stand_in_any_chunk() -> None:
    stream = decoder()
    named = chunk({"content": "x"}, service_tier="flex")
    assert stream.tally.service is None
    stream.feed(named + TEXT + event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3}) + STOP + DONE)
    assert stream.tally.usage == Usage(9, 3, details=UsageDetails(service="flex"))
    assert stream.tally.service == "flex"


def test_zeros_at_the_end_take_nothing_back() -> None:
    stream = decoder()
    zeros = event(choices=[], usage={"prompt_tokens": 0, "completion_tokens": 0})
    stream.feed(zeros + TEXT + USAGE + zeros + STOP + DONE)
    assert stream.tally.usage == Usage(9, 3)


@pytest.mark.parametrize("usage", [None, "12", 7, {}, {"prompt_tokens": -1}, {"prompt_tokens": 10**12}, [1]])
def test_usage_that_cannot_be_believed_is_no_usage(usage: object) -> None:
    stream = decoder(include_usage=True)
    sent = TEXT + STOP + event(choices=[], usage=usage) + DONE
    assert stream.feed(sent) == sent
    assert stream.tally.usage is None


def test_groq_keeps_its_usage_elsewhere() -> None:
    stream = decoder()
    stream.feed(TEXT + chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 3}}) + DONE)
    assert stream.tally.usage == Usage(9, 3)
    stream.feed(b"")


@pytest.mark.parametrize(
    ("delta", "started"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": None}, False),
        (None, False),
        ({"content": "x"}, True),
        ({"reasoning_content": "x"}, True),
        ({"reasoning": "x"}, True),
        ({"refusal": "x"}, True),
        ({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"id": "a"}}, True),
    ],
)
def test_a_stream_starts_with_content(delta: object, *, started: bool) -> None:
    stream = decoder()
    stream.feed(chunk(delta))
    assert stream.started is started


def test_completions_start_with_text() -> None:
    stream = decoder()
    stream.feed(event(choices=[{"index": 0, "text": ""}]))
    assert not stream.started
    stream.feed(event(choices=[{"index": 0, "text": " upon"}]))
    assert stream.started
    assert stream.tally.text == [" upon"]


def test_a_missing_end_marker_is_supplied_once_every_choice_has_stopped() -> None:
    stream = decoder(choices=2)
    stream.feed(TEXT + STOP)
    with pytest.raises(FailedStream) as failed:
        stream.finish()
    assert (failed.value.failure.kind, failed.value.failure.code) == (FailureKind.TRUNCATED, "upstream_incomplete")
    stream = decoder(choices=2)
    stream.feed(TEXT + STOP + chunk({}, "stop", index=1))
    assert stream.finish() == DONE
    assert stream.ended


def test_a_repeated_finish_reason_does_not_stand_in_for_another_choice() -> None:
    stream = decoder(choices=2)
    stream.feed(TEXT + STOP + STOP)
    with pytest.raises(FailedStream):
        stream.finish()


@pytest.mark.parametrize("before", [b"", chunk({"role": "assistant", "content": ""}), USAGE, event(choices=[])])
def test_an_end_marker_after_nothing_is_no_success(before: bytes) -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(before + DONE)
    assert failed.value.failure.kind is FailureKind.TRUNCATED


def test_an_end_marker_after_content_ends_streams_of_servers_that_give_no_reason() -> None:
    stream = decoder()
    assert stream.feed(TEXT + DONE) == TEXT + DONE
    assert stream.ended
    assert stream.tally.finish_reasons == []


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (event(error={"message": "busy", "code": 503}), 503, "503"),
        (event(error="boom"), None, None),
        (event(object="error", message="boom", code=400), 400, "400"),
        (b"event: error\n" + event(message="boom", code="overloaded"), None, "overloaded"),
        (chunk({"content": ""}, "error", error={"message": "busy", "code": 502}), 502, "502"),
        (chunk({"content": ""}, "error"), None, None),
    ],
)
def test_errors_inside_a_stream_are_failures(sent: bytes, status: int | None, code: str | None) -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(sent)
    failure = failed.value.failure
    assert (failure.kind, failure.status, failure.code) == (FailureKind.IN_BAND, status, code)
    assert not failure.maybe_billed


def test_an_error_after_content_may_have_been_billed() -> None:
    stream = decoder()
    stream.feed(TEXT)
    with pytest.raises(FailedStream) as failed:
        stream.feed(event(error={"message": "busy"}))
    assert failed.value.failure.maybe_billed


@pytest.mark.parametrize(
    "sent",
    [b'data: {"choices":[{"ind\n\n', b"data: hello\n\n", b"data: [1]\n\n", b"data: null\n\n", b'data: {"a":"\0"}\n\n',
     b'data: {"choices":"x"}\n\n', b'data: {"choices":[1]}\n\n', b'data: {"choices":[{"delta":"x"}]}\n\n',
     b"data: " + b"[" * 100_000 + b"\n\n", b"data: {}{}\n\n"],
    ids=lambda sent: repr(sent[:30]),
)  # fmt: skip
def test_events_that_cannot_be_read_are_failures(sent: bytes) -> None:
    with pytest.raises(FailedStream) as failed:
        decoder().feed(sent)
    assert failed.value.failure.kind is FailureKind.BAD_RESPONSE


@pytest.mark.parametrize(
    "sent",
    [
        event(choices=[]),
        event(choices=None),
        event(),
        event(choices=[{"index": None, "delta": {"content": ["x"]}, "finish_reason": 7}]),
        event(choices=[{}], id=7, model=[], usage="x"),
        event(choices=[], prompt_filter_results=[{"prompt_index": 0}]),
        event(choices=[], x_groq="x"),
        event(type="ping"),
    ],
)
def test_odd_but_harmless_events_go_on(sent: bytes) -> None:
    stream = decoder()
    assert stream.feed(sent) == sent


def test_who_answered_is_noted_from_the_first_event_that_says_it() -> None:
    stream = decoder()
    stream.feed(
        event(id="", model="", choices=[]) + chunk({"content": "x"}, id="c-1", model="gpt") + chunk({}, id="c-2")
    )
    assert (stream.tally.id, stream.tally.model) == ("c-1", "gpt")


# -- events that cannot be read --

DAMAGED = b'data: {"choices":[{"delta":{"content":\n\n'
WORDS = [chunk({"content": word}) for word in ("It", " goes", " on", " 🚂")]


def counted(tokens: int, **details: object) -> bytes:
    return event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": tokens, **details})


def ends(stream: ChatDecoder, pieces: list[bytes]) -> tuple[bytes, FailureKind | None]:
    """All that is forwarded, and how the stream failed, if it did."""
    forwarded = b""
    try:
        for piece in pieces:
            forwarded += stream.feed(piece)
        forwarded += stream.finish()
    except FailedStream as failed:
        return forwarded, failed.failure.kind
    return forwarded, None


def every_way_to_cut(stream: bytes) -> list[list[bytes]]:
    return [
        [stream],
        [stream[at : at + 1] for at in range(len(stream))],
        *([stream[:at], stream[at:]] for at in range(1, len(stream))),
    ]


PROVEN_WHOLE = {
    "in the middle": [*WORDS[:2], DAMAGED, *WORDS[2:], STOP, counted(4), DONE],
    "as many as are borne": [*WORDS[:2], DAMAGED, DAMAGED, *WORDS[2:], DAMAGED, STOP, counted(4), DONE],
    "plain words": [WORDS[0], b"data: out of order\n\n", *WORDS[1:], STOP, counted(4), DONE],
    "the usage beside the end": [
        *WORDS,
        DAMAGED,
        chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": 4}),
        DONE,
    ],
    "thoughts that nobody sees": [
        *WORDS,
        DAMAGED,
        STOP,
        counted(7, completion_tokens_details={"reasoning_tokens": 3}),
        DONE,
    ],
    "behind the end of the answer": [*WORDS, STOP, DAMAGED, DONE],
    "without an end marker": [*WORDS, DAMAGED, STOP, counted(4)],
}
IN_DOUBT = {
    "a token is missing": [*WORDS[:2], DAMAGED, *WORDS[3:], STOP, counted(4), DONE],
    "nobody counted": [*WORDS[:2], DAMAGED, *WORDS[2:], STOP, DONE],
    "counted before the damage": [*WORDS[:2], counted(2), DAMAGED, STOP, DONE],
    "more events than tokens": [*WORDS[:2], DAMAGED, *WORDS[2:], STOP, counted(3), DONE],
    "nobody says why it ended": [*WORDS[:2], DAMAGED, *WORDS[2:], counted(4), DONE],
    "a count that is none": [*WORDS[:2], DAMAGED, *WORDS[2:], STOP, counted(-4), DONE],
    "a tool was called": [
        WORDS[0],
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}),
        DAMAGED,
        chunk({}, "tool_calls"),
        counted(3),
        DONE,
    ],
    "thoughts that are shown": [chunk({"reasoning": "hm"}), *WORDS, DAMAGED, STOP, counted(5), DONE],
}


@pytest.mark.parametrize("events", PROVEN_WHOLE.values(), ids=PROVEN_WHOLE.keys())
def test_damage_that_provably_took_nothing_is_left_out(events: list[bytes]) -> None:
    expected = b"".join(one for one in events if one != DAMAGED and b"out of order" not in one)
    if DONE not in events:
        expected += DONE
    for pieces in every_way_to_cut(b"".join(events)):
        assert ends(decoder(include_usage=True), pieces) == (expected, None)


@pytest.mark.parametrize("events", IN_DOUBT.values(), ids=IN_DOUBT.keys())
def test_damage_that_may_have_taken_something_fails_the_stream_before_its_end(events: list[bytes]) -> None:
    told = [one for one in events if b'"finish_reason": null' in one]
    for pieces in every_way_to_cut(b"".join(events)):
        stream = decoder(include_usage=True)
        forwarded, failure = ends(stream, pieces)
        assert (failure, stream.ended) == (FailureKind.BAD_RESPONSE, False)
        assert all(one in forwarded for one in told if len(pieces) > 2)  # else it may move elsewhere unseen
        assert not any(word in forwarded for word in (DONE, DAMAGED, b'"stop"', b'"tool_calls"}'))


def test_text_flows_on_while_damage_is_in_doubt() -> None:
    stream = decoder()
    assert stream.feed(WORDS[0] + DAMAGED) == WORDS[0]
    assert stream.feed(WORDS[1]) == WORDS[1]
    assert stream.feed(STOP) == b""
    assert stream.tally.damaged_events == 1
    assert stream.feed(counted(2) + DONE) == STOP + DONE


def test_more_damage_than_is_borne_fails_at_once() -> None:
    assert ends(decoder(), [WORDS[0] + DAMAGED * 3 + WORDS[1], DAMAGED, WORDS[2]]) == (
        WORDS[0] + WORDS[1],
        FailureKind.BAD_RESPONSE,
    )


def test_damage_before_content_fails_at_once() -> None:
    assert ends(decoder(), [chunk({"role": "assistant"}) + DAMAGED + WORDS[0]]) == (b"", FailureKind.BAD_RESPONSE)


def test_a_cut_behind_damage_is_a_cut() -> None:
    assert ends(decoder(), [WORDS[0], DAMAGED, WORDS[1]]) == (WORDS[0] + WORDS[1], FailureKind.TRUNCATED)


def test_an_error_event_that_is_not_json_is_an_error() -> None:
    with pytest.raises(FailedStream, match="upstream went away") as failed:
        decoder().feed(WORDS[0] + b"event: error\ndata: upstream went away\n\n")
    assert failed.value.failure.kind is FailureKind.IN_BAND


def test_all_choices_count_towards_the_proof() -> None:
    stream = decoder(choices=2)
    other = chunk({"content": "Hi"}, index=1)
    end = STOP + chunk({}, "stop", index=1)
    assert ends(stream, [TEXT + DAMAGED + other + end + counted(2) + DONE]) == (TEXT + other + end + DONE, None)
    assert ends(decoder(choices=2), [TEXT + DAMAGED + other + STOP + counted(2) + DONE])[1] is FailureKind.BAD_RESPONSE
