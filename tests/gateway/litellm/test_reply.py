from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import FailedStream
from gateway.litellm.reply import TEXT_KEPT_CHARS, StreamTranslator, embeddings_answer, usage_of, whole_answer
from policies.usage import Correction, Usage, UsageDetails
from policies.vocabulary import FailureKind


def chunk(finish: str | None = None, usage: dict[str, Any] | None = None, **delta: object) -> dict[str, Any]:
    found: dict[str, Any] = {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta}]}
    if finish:
        found["choices"][0]["finish_reason"] = finish
    if usage:
        found["usage"] = usage
    return found


def call(index: int, own: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    return {"index": index, "id": own, "function": {"name": name, "arguments": arguments}}


def choice_in(event: bytes) -> dict[str, Any]:
    choice: dict[str, Any] = json.loads(event.removeprefix(b"data: "))["choices"][0]
    return choice


USED = {"prompt_tokens": 9, "completion_tokens": 4}


def test_a_stream_starts_with_content_and_ends_with_a_reason() -> None:
    stream = StreamTranslator(include_usage=True)
    stream.feed(chunk(role="assistant", content=""), provider_finished=False)
    assert not stream.started
    stream.feed(chunk(content="Hi"), provider_finished=False)
    assert (stream.started, stream.ended) == (True, False)
    assert choice_in(stream.feed(chunk(finish="stop"), provider_finished=True))["finish_reason"] == "stop"
    assert stream.feed(chunk(usage=USED), provider_finished=True) == b""
    last = stream.finish()
    assert last.endswith(b"data: [DONE]\n\n")
    assert json.loads(last.split(b"\n")[0].removeprefix(b"data: "))["usage"]["total_tokens"] == 13
    assert stream.tally.finish_reasons == ["stop"]
    assert stream.tally.usage == Usage(9, 4)


@pytest.mark.parametrize("delta", [{"reasoning_content": "hm"}, {"refusal": "no"}, {"tool_calls": [call(0, "a", "f")]}])
def test_reasoning_refusals_and_tool_calls_are_content(delta: dict[str, Any]) -> None:
    stream = StreamTranslator(include_usage=False)
    stream.feed(chunk(**delta), provider_finished=False)
    assert stream.started
    assert stream.tally.text


def test_a_finish_reason_that_the_provider_did_not_give_is_a_cut() -> None:
    stream = StreamTranslator(include_usage=False)
    stream.feed(chunk(content="Hi"), provider_finished=False)
    with pytest.raises(FailedStream) as raised:
        stream.feed(chunk(finish="stop"), provider_finished=False)
    assert raised.value.failure.kind is FailureKind.TRUNCATED
    with pytest.raises(FailedStream):
        stream.finish()


def test_parallel_calls_under_one_number_are_told_apart_by_their_ids() -> None:
    stream = StreamTranslator(include_usage=False)
    parts = [
        call(0, "a", "f"),
        call(0, arguments="{}"),
        call(0, "b", "g"),
        call(0, "", arguments="[]"),
        call(0, "a", arguments="!"),
    ]
    shown = [choice_in(stream.feed(chunk(tool_calls=[part]), provider_finished=False)) for part in parts]
    assert [choice["delta"]["tool_calls"][0]["index"] for choice in shown] == [0, 0, 1, 1, 1]


def test_numbers_that_are_right_stay() -> None:
    stream = StreamTranslator(include_usage=False)
    parts = [call(0, "a", "f"), call(1, "b", "g"), call(0, arguments="{}"), call(1, arguments="[]")]
    shown = [choice_in(stream.feed(chunk(tool_calls=[part]), provider_finished=False)) for part in parts]
    assert [choice["delta"]["tool_calls"][0]["index"] for choice in shown] == [0, 1, 0, 1]


def test_text_is_kept_up_to_a_limit_and_counted_beyond() -> None:
    stream = StreamTranslator(include_usage=False)
    for _ in range(5):
        stream.feed(chunk(content="x" * (TEXT_KEPT_CHARS // 4)), provider_finished=False)
    assert sum(map(len, stream.tally.text)) == TEXT_KEPT_CHARS
    assert stream.tally.text_dropped_chars == TEXT_KEPT_CHARS // 4


def test_a_whole_answer_shows_openais_members_only() -> None:
    message = {"role": "assistant", "content": "Hi"}
    reply = {
        "id": "c",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    body, tally = whole_answer(
        {**reply, "usage": {**USED, "cost": 0.1}, "vertex_ai_safety_results": []}, calls_stop=False
    )
    shown = json.loads(body)
    assert set(shown) == {"id", "object", "created", "model", "choices", "usage"}
    assert set(shown["usage"]) == {
        "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"
    }  # fmt: skip
    assert shown["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "refusal": None}
    assert (tally.text, tally.usage, tally.finish_reasons, tally.model) == (["Hi"], Usage(9, 4), ["stop"], "m")


@pytest.mark.parametrize("reply", [{}, {"choices": []}, {"choices": [{"index": 0}]}, {"choices": [{"message": "Hi"}]}])
def test_an_answer_without_a_message_is_none(reply: dict[str, Any]) -> None:
    with pytest.raises(FailedStream) as raised:
        whole_answer(reply, calls_stop=False)
    assert raised.value.failure.kind is FailureKind.BAD_RESPONSE


def test_tool_calls_under_stop_are_put_right_where_a_provider_does_that() -> None:
    reply = {"choices": [{"message": {"tool_calls": [call(0, "a", "f", "{}")]}, "finish_reason": "stop"}]}
    assert whole_answer(reply, calls_stop=True)[1].finish_reasons == ["tool_calls"]
    assert whole_answer(reply, calls_stop=False)[1].finish_reasons == ["stop"]


def test_zeros_that_litellm_fills_in_are_no_usage() -> None:
    assert usage_of({"prompt_tokens": 0, "completion_tokens": 0}) is None
    assert usage_of({}) is None
    assert usage_of({"prompt_tokens": 9, "prompt_tokens_details": 5, "completion_tokens_details": "x"}) == Usage(9)


def test_parts_of_the_usage_never_exceed_the_whole() -> None:
    details = {"cached_tokens": 99, "cache_creation_tokens": 98}
    used = usage_of({**USED, "prompt_tokens_details": details, "completion_tokens_details": {"reasoning_tokens": 97}})
    corrected = UsageDetails(corrected=(Correction.PART_ABOVE_WHOLE,) * 3)
    assert used == Usage(9, 4, cached_input_tokens=9, cache_write_tokens=0, reasoning_tokens=4, details=corrected)


def test_counts_that_cannot_be_are_none_and_said_to_have_been_told() -> None:
    used = usage_of({**USED, "completion_tokens": -4, "prompt_tokens_details": {"cached_tokens": 10**12}})
    assert used == Usage(9, details=UsageDetails(corrected=(Correction.NEGATIVE, Correction.TOO_LARGE)))


@pytest.mark.parametrize("data", [None, [], [{}], [{"embedding": []}], [{"embedding": ["a"]}], [{"embedding": None}]])
def test_missing_vectors_are_a_bad_response(data: list[object] | None) -> None:
    with pytest.raises(FailedStream):
        embeddings_answer({"data": data}, as_base64=False)


def test_base64_is_little_endian_32_bit() -> None:
    body, _ = embeddings_answer({"data": [{"embedding": [1.0, -2]}], "model": "m"}, as_base64=True)
    assert json.loads(body)["data"] == [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAMA="}]


def test_what_litellm_reckons_is_no_bill_and_what_the_provider_bills_is() -> None:
    used = {"prompt_tokens": 9, "completion_tokens": 4}
    assert usage_of(used | {"cost": 0.1}) == Usage(9, 4)
    billed = Usage(9, 4, details=UsageDetails(billed_nanousd=100_000_000))
    assert usage_of(used | {"cost": 0.1, "cost_details": {"upstream_inference_cost": 0.1}}) == billed
    assert usage_of(used | {"cost": 7.0, "cost_in_usd_ticks": 1_000_000_000}) == billed
    assert usage_of(used | {"cost": {"total_cost": 0.1}}) == billed
    assert usage_of(used, "flex") == Usage(9, 4, details=UsageDetails(service="flex"))
