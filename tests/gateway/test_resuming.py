"""A stream that breaks and goes on: what the caller reads, what is asked of whom, and what is told when nobody can."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from adapters.openai_events import DONE
from gateway.call import Reply
from gateway.errors import LimitError, RequestError, UpstreamError
from gateway.resuming import resumable
from policies.route_rules import Resume
from policies.usage import Usage
from policies.vocabulary import Endpoint, Failure, FailureKind
from tests.gateway.broken_streams import (
    ALIGN,
    BOTH,
    CUT,
    OUT_OF_TIME,
    PREFILL,
    REFUSED,
    WORDS,
    Attempts,
    Counts,
    Far,
    broken,
    chunk,
    read,
    request,
    resumed,
    saying,
    text_of,
    told,
    usage_of,
)

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest


async def test_nothing_changes_for_a_stream_that_does_not_break() -> None:
    pieces = saying("first", *WORDS)
    attempts = Attempts()
    answer = resumed(Far("first", pieces), attempts)
    assert await read(answer) == (pieces, None)
    assert await answer.read() == b""
    assert (attempts.asked, attempts.dropped) == ([], [])
    assert answer.headers == (("openai-version", "first"),)


@pytest.mark.parametrize("at", range(1, len(WORDS) + 1))
@pytest.mark.parametrize("way", [Resume.PREFILL, Resume.ALIGN])
async def test_the_caller_reads_one_answer_wherever_the_stream_broke(at: int, way: Resume) -> None:
    again = WORDS if way is Resume.ALIGN else WORDS[at:]
    first, second = broken(*WORDS[:at]), Far("second", saying("second", *again))
    attempts = Attempts(second)
    got, error = await read(resumed(first, attempts, (way,)))
    assert error is None
    assert text_of(got) == "".join(WORDS)
    assert {(event["id"], event["model"], event["created"]) for event in told(got)} == {("c-first", "first", 5)}
    assert [event["choices"][0]["delta"].get("role") for event in told(got)].count("assistant") == 1
    assert [event["choices"][0]["finish_reason"] for event in told(got)][-1] == "stop"
    assert b"".join(got).endswith(DONE)
    assert b"".join(got).count(DONE) == 1
    assert b"".join(got).count(b": resumed by " + way.value.encode() + b"\n\n") == 1
    assert (first.closed, attempts.dropped) == (True, [CUT])


async def test_tokens_flow_as_they_come() -> None:
    answer = resumed(broken("The", " 🚂"), Attempts(Far("second", saying("second", " goes", " on"))), PREFILL)
    assert [text_of([await answer.read()]) for _ in range(5)] == ["", "The", " 🚂", " goes", " on"]


async def test_a_prefill_goes_to_who_accepts_it_with_the_text_in_it() -> None:
    attempts = Attempts(Far("second", saying("second", " goes")))
    asked = request(max_tokens=10, temperature=0.5)
    await read(resumed(broken("The", " 🚂"), attempts, PREFILL, asked))
    ((sent, exclude, only_prefill),) = attempts.asked
    assert json.loads(bytes(sent.members["messages"]))[-1] == {"role": "assistant", "content": "The 🚂"}
    assert bytes(sent.members["max_tokens"]) == b"8"
    assert (exclude, only_prefill) == (frozenset({"first"}), True)


async def test_an_alignment_asks_another_the_same() -> None:
    attempts = Attempts(Far("second", saying("second", *WORDS)))
    asked = request(max_tokens=10)
    await read(resumed(broken("The", " 🚂"), attempts, ALIGN, asked))
    assert attempts.asked == [(asked, frozenset({"first"}), False)]


async def test_a_completion_goes_on_from_any_model() -> None:
    def text(of: str, said: str, reason: str | None = None) -> bytes:
        fields = {
            "id": of,
            "object": "text_completion",
            "choices": [{"index": 0, "text": said, "finish_reason": reason}],
        }
        return b"data: %b\n\n" % json.dumps(fields).encode()

    attempts = Attempts(Far("second", [text("second", " upon"), text("second", "", "stop"), DONE]))
    first = Far("first", [text("first", "Once")], CUT)
    got, error = await read(resumed(first, attempts, PREFILL, request(Endpoint.COMPLETIONS, prompt="Tell: ")))
    assert error is None
    assert [event["choices"][0]["text"] for event in told(got)] == ["Once", " upon", ""]
    ((sent, _, only_prefill),) = attempts.asked
    assert (bytes(sent.members["prompt"]), only_prefill) == (b'"Tell: Once"', False)


async def test_an_answer_that_parts_ends_with_the_original_error() -> None:
    other = Far("second", saying("second", "The", " horse", " goes"))
    attempts = Attempts(other)
    got, error = await read(resumed(broken("The", " 🚂"), attempts, ALIGN))
    assert text_of(got) == "The 🚂"
    assert error is not None
    assert error.failure is CUT
    assert b"resumed" not in b"".join(got)
    assert attempts.dropped == [CUT, None]
    assert other.closed


@pytest.mark.parametrize(
    "pieces",
    [
        saying("second", "The"),
        saying("second", "The", end=None),
        [chunk("second", reasoning_content="hm"), *saying("second", *WORDS)],
        [chunk("second", tool_calls=[{"index": 0}]), DONE],
    ],
)
async def test_what_is_shorter_or_more_than_text_is_another_answer(pieces: list[bytes]) -> None:
    got, error = await read(resumed(broken("The", " 🚂"), Attempts(Far("second", pieces)), ALIGN))
    assert text_of(got) == "The 🚂"
    assert error is not None
    assert error.failure is CUT


async def test_an_answer_that_ends_exactly_there_ends_the_stream() -> None:
    again = Far("second", saying("second", "The", " 🚂", end="length"))
    got, error = await read(resumed(broken("The", " 🚂"), Attempts(again), ALIGN))
    assert error is None
    assert told(got)[-1]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "length"}
    assert b"".join(got).endswith(DONE)


async def test_a_model_that_begins_anew_does_not_double_the_text() -> None:
    attempts = Attempts(Far("second", saying("second", *WORDS)), Far("third", saying("third", *WORDS)))
    got, error = await read(resumed(broken("The", " 🚂"), attempts))
    assert (text_of(got), error) == ("".join(WORDS), None)
    assert [only_prefill for _, _, only_prefill in attempts.asked] == [True, False]
    assert attempts.dropped == [CUT, None]


async def test_a_refused_prefill_falls_to_alignment_and_never_shows() -> None:
    refused = UpstreamError(REFUSED, "second")
    attempts = Attempts(refused, None, None, Far("second", saying("second", *WORDS)))
    got, error = await read(resumed(broken("The"), attempts))
    assert error is not None
    assert error.failure is CUT  # aligned with nobody: `first` broke off and `None` was left
    attempts = Attempts(refused, None, Far("second", saying("second", *WORDS)))
    got, error = await read(resumed(broken("The"), attempts))
    assert (text_of(got), error) == ("".join(WORDS), None)
    assert [exclude for _, exclude, _ in attempts.asked] == [{"first"}, {"first", "second"}, {"first"}]


async def test_a_model_that_broke_off_goes_on_itself_where_nobody_else_can() -> None:
    attempts = Attempts(None, None, Far("first", saying("first", *WORDS[1:])))
    got, error = await read(resumed(broken("The"), attempts))
    assert (text_of(got), error) == ("".join(WORDS), None)
    assert attempts.asked[-1][1:] == (frozenset(), True)
    attempts = Attempts()
    crashed = Failure(FailureKind.CRASHED, "gone")
    assert (await read(resumed(broken("The", failure=crashed), attempts)))[1] is not None
    assert [exclude for _, exclude, _ in attempts.asked] == [{"first"}, {"first"}]


async def test_attempts_that_fail_before_content_are_not_asked_twice() -> None:
    attempts = Attempts(UpstreamError(CUT, "second"), Far("third", saying("third", *WORDS)))
    _, error = await read(resumed(broken("The"), attempts, ALIGN))
    assert error is not None
    assert error.deployment == "first"
    assert [exclude for _, exclude, _ in attempts.asked] == [{"first"}]


async def test_a_refusal_of_the_request_does_not_speak_for_others() -> None:
    attempts = Attempts(
        UpstreamError(REFUSED, "second"), UpstreamError(REFUSED, "third"), UpstreamError(REFUSED, "third")
    )
    _, error = await read(resumed(broken("The"), attempts, ALIGN))
    assert error is not None
    assert error.deployment == "first"
    assert [exclude for _, exclude, _ in attempts.asked] == [
        {"first"},
        {"first", "second"},
        {"first", "second", "third"},
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        RequestError("no"),
        LimitError("over", status=429, type_="x", code="rate_limit_exceeded", retry_after_s=1.0),
    ],
)
async def test_a_refusal_of_our_own_leaves_the_original_error(refusal: Exception) -> None:
    _, error = await read(resumed(broken("The"), Attempts(refusal), ALIGN))
    assert error is not None
    assert error.failure is CUT


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        (saying("first", "The", end=None), OUT_OF_TIME),
        (saying("first", "The", end=None), Failure(FailureKind.IN_BAND, code="content_filter")),
        ([*saying("first", "The", end=None), chunk("first", reason="stop")], CUT),
        ([chunk("first", reasoning_content="hm"), *saying("first", "The", end=None)], CUT),
        ([chunk("first", tool_calls=[{"index": 0}])], CUT),
        (saying("first", "half an emoji \ufffd", end=None), CUT),
    ],
)
async def test_what_cannot_go_on_breaks_as_it_always_did(pieces: list[bytes], failure: Failure) -> None:
    attempts = Attempts(Far("second", saying("second", *WORDS)))
    got, error = await read(resumed(Far("first", pieces, failure), attempts))
    assert got == pieces
    assert error is not None
    assert error.failure is failure
    assert (attempts.asked, attempts.dropped) == ([], [])


async def test_a_text_with_a_hole_is_not_continued_but_may_align() -> None:
    first = broken("The", " 🚂")
    first.tally.damaged_events = 1
    attempts = Attempts(Far("second", saying("second", *WORDS)))
    got, error = await read(resumed(first, attempts))
    assert (text_of(got), error) == ("".join(WORDS), None)
    assert [only_prefill for _, _, only_prefill in attempts.asked] == [False]


@pytest.mark.parametrize(
    "asked",
    [
        request(tools=[{"type": "function", "function": {"name": "f"}}]),
        request(response_format={"type": "json_object"}),
        request(n=2),
        request(logprobs=True),
        request(reasoning_effort="low"),
        request(Endpoint.RESPONSES, input="Hi"),
    ],
)
def test_requests_for_more_than_plain_text_keep_their_answer(asked: InferenceRequest) -> None:
    first = broken("The")
    assert resumable(Reply(first, first.deployment), asked, BOTH, Attempts(), Counts()) is first


def test_whole_answers_and_routes_that_do_not_resume_keep_theirs() -> None:
    first, whole = broken("The"), Far("first", [], whole=b"{}")
    assert resumable(Reply(first, first.deployment), request(), (), Attempts(), Counts()) is first
    assert resumable(Reply(whole, whole.deployment), request(), BOTH, Attempts(), Counts()) is whole


async def test_a_second_break_goes_on_from_all_the_text() -> None:
    second = Far("second", saying("second", " goes", " on", end=None), CUT)
    attempts = Attempts(second, Far("third", saying("third", " for", " long", ".")))
    answer = resumed(broken("The", " 🚂"), attempts, PREFILL)
    got, error = await read(answer)
    assert (text_of(got), error) == ("".join(WORDS), None)
    assert [json.loads(bytes(sent.members["messages"]))[-1]["content"] for sent, _, _ in attempts.asked] == [
        "The 🚂",
        "The 🚂 goes on",
    ]
    assert [exclude for _, exclude, _ in attempts.asked] == [{"first"}, {"first", "second"}]
    assert (len(attempts.dropped), second.closed, answer.tally.text) == (2, True, ["what third said"])


async def test_the_error_is_of_the_attempt_that_the_caller_read_last() -> None:
    stalled = Failure(FailureKind.IDLE, "silent")
    _, error = await read(
        resumed(broken("The"), Attempts(Far("second", saying("second", " 🚂", end=None), stalled)), PREFILL)
    )
    assert error is not None
    assert (error.failure, error.deployment) == (stalled, "second")
    unseen = Far("second", saying("second", "The", end=None), stalled)
    attempts = Attempts(unseen)
    _, error = await read(resumed(broken("The", " 🚂"), attempts, ALIGN))
    assert error is not None
    assert (error.failure, error.deployment) == (CUT, "first")
    assert attempts.dropped == [CUT, stalled]


# -- usage --


async def test_the_usage_covers_all_attempts() -> None:
    second = Far("second", [*saying("second", " goes")[:-1], usage_of("second", 30, 7), DONE])
    asked = request(stream_options={"include_usage": True})
    got, _ = await read(resumed(broken("The", " 🚂"), Attempts(second), PREFILL, asked))
    (usage,) = [event["usage"] for event in told(got) if event.get("usage")]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (40, 10, 50)
    assert usage["estimated"] is True


async def test_what_the_broken_attempt_said_itself_is_believed() -> None:
    first = broken("The", " 🚂")
    first.tally.usage = Usage(5, 2, estimated=True)
    second = Far("second", [*saying("second", " goes")[:-1], usage_of("second", 30, 7), DONE])
    asked = request(stream_options={"include_usage": True})
    got, _ = await read(resumed(first, Attempts(second), PREFILL, asked))
    (usage,) = [event["usage"] for event in told(got) if event.get("usage")]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (35, 9)


async def test_a_usage_that_no_upstream_told_is_estimated_once() -> None:
    asked = request(stream_options={"include_usage": True})
    got, _ = await read(resumed(broken("The"), Attempts(Far("second", saying("second", " 🚂"))), PREFILL, asked))
    assert told(got)[-1] == {
        "id": "c-first",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "first",
        "choices": [],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 6,
            "total_tokens": 36,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "estimated": True,
        },
    }
    assert b"".join(got).endswith(DONE)


async def test_a_caller_who_did_not_ask_is_told_no_usage() -> None:
    got, _ = await read(resumed(broken("The"), Attempts(Far("second", saying("second", " 🚂"))), PREFILL))
    assert not any("usage" in event for event in told(got))
