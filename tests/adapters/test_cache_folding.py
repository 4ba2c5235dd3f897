"""Streams fold into the answer they add up to, however their bytes were cut; what would lose a part does not fold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.cache_folding import fold
from policies.usage import Usage
from policies.vocabulary import Endpoint

GOLDEN = Path(__file__).parent / "golden"
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def event(fields: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields, ensure_ascii=False).encode()


def chunk(delta: Any, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    return event(HEAD | {"choices": [{"index": index, "delta": delta, "finish_reason": reason} | more]})


def text(piece: str, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "text": piece, "finish_reason": reason} | more
    return event({"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m", "choices": [choice]})


ROLE, HI, STOP = chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), chunk({}, "stop")


def folded(*events: bytes, endpoint: Endpoint = Endpoint.CHAT, usage: Usage | None = None) -> Any:
    body = fold(endpoint, b"".join(events) + DONE, usage)
    return None if body is None else json.loads(body)


def message(*events: bytes) -> Any:
    whole = folded(*events)
    return whole and whole["choices"][0]["message"]


GOLDEN_STREAMS = ["chat_stream_plain", "chat_stream_reasoning", "chat_stream_azure_filter_first", "chat_stream_refusal"]


@pytest.mark.parametrize(
    "name", [*GOLDEN_STREAMS, "chat_stream_two_choices_with_usage", "completions_stream", "chat_stream_audio"]
)
def test_what_callers_got_of_golden_streams(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    events = "".join(f"{told}\n\n" for told in golden.get("reply", golden["stream"])).encode()

    body = fold(Endpoint(golden["endpoint"]), events)

    assert (body and json.loads(body)) == json.loads((GOLDEN / "folded" / f"{name}.json").read_text())


def test_a_whole_stream_adds_up() -> None:
    assert folded(ROLE, HI, chunk({"content": " there"}), STOP, event(HEAD | {"choices": [], "usage": USAGE})) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi there", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


def test_usage_that_the_caller_had_not_asked_for_is_put_in() -> None:
    assert folded(ROLE, HI, STOP, usage=Usage(9, 2, 4, 0, 1))["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert "usage" not in folded(ROLE, HI, STOP)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"reasoning": "hm"}, {"reasoning": "hmhm"}),
        ({"reasoning_content": "hm"}, {"reasoning_content": "hmhm"}),
        ({"refusal": "No"}, {"refusal": "NoNo"}),
        ({"annotations": [{"type": "url_citation"}]}, {"annotations": [{"type": "url_citation"}] * 2}),
        ({"tool_calls": [], "function_call": None, "audio": None}, {}),
    ],
)
def test_parts_of_a_message(delta: dict[str, Any], expected: dict[str, Any]) -> None:
    found = message(ROLE, chunk(delta), chunk(delta), HI, STOP)

    assert found == {"role": "assistant", "content": "Hi", "refusal": None} | expected


def test_there_is_no_content_where_none_was_told() -> None:
    assert message(chunk({"role": "assistant"}), STOP)["content"] is None
    assert message(ROLE, STOP)["content"] == ""


def test_choices_come_in_their_order() -> None:
    whole = folded(chunk({"content": "B"}, index=1), chunk({"content": "A"}), chunk({}, "stop", 1), chunk({}, "length"))

    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in whole["choices"]] == [
        (0, "A", "length"),
        (1, "B", "stop"),
    ]


def test_log_probabilities_are_put_together() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    whole = folded(
        chunk({"content": "Hi"}, logprobs={"content": [token], "refusal": None}),
        chunk({"content": "Hi"}, logprobs={"content": [token], "refusal": None}),
        STOP,
    )

    assert whole["choices"][0]["logprobs"] == {"content": [token, token], "refusal": None}


def test_completions_add_up_too() -> None:
    lists = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": None, "text_offset": [0]}
    whole = folded(
        text("a", logprobs=lists), text("a", logprobs=lists), text("", "stop"), endpoint=Endpoint.COMPLETIONS
    )

    assert whole["object"] == "text_completion"
    assert whole["choices"] == [
        {
            "index": 0,
            "text": "aa",
            "logprobs": {
                "tokens": ["a", "a"],
                "token_logprobs": [-1.0, -1.0],
                "top_logprobs": None,
                "text_offset": [0, 0],
            },
            "finish_reason": "stop",
        }
    ]


def test_what_is_said_the_same_each_time_is_kept() -> None:
    def told(**more: Any) -> Any:
        return folded(
            event(HEAD | {"provider": "p", "choices": []}), chunk({"content": "Hi"}), STOP, event(HEAD | more)
        )

    assert told(provider="p")["provider"] == "p"
    assert told(provider="q") is None
    assert folded(HI, chunk({}, "stop", stop_reason=5))["choices"][0]["stop_reason"] == 5
    assert folded(chunk({}, stop_reason=4), chunk({}, "stop", stop_reason=5)) is None


def test_padding_and_filters_that_let_everything_pass_are_left_out() -> None:
    passed = {"hate": {"filtered": False}}
    padded = event(HEAD | {"obfuscation": "xyz", "choices": [{"index": 0, "delta": {"content": "Hi"}}]})
    whole = folded(padded, chunk({}, "stop", content_filter_results=passed), b": keep-alive\n\n")

    assert "obfuscation" not in whole
    assert "content_filter_results" not in whole["choices"][0]
    assert folded(HI, chunk({}, "stop", content_filter_results={"hate": {"filtered": True}})) is None


@pytest.mark.parametrize(
    "odd",
    [
        chunk({"audio": {"data": "AA"}}),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"function_call": {"name": "f"}}),
        chunk({"content": [{"type": "text", "text": "hi"}]}),
        chunk({"content": 5}),
        chunk({"reasoning_details": [{"text": "hm"}]}),
        chunk({"images": [{}]}),
        chunk("hi"),
        chunk({}, logprobs={"content": "x"}),
        chunk({}, logprobs={"others": []}),
        chunk({}, logprobs=[]),
        chunk({}, index="0"),  # type: ignore[arg-type]
        chunk({}, message={"content": "Hi"}),
        chunk({}, text="Hi"),
        event(HEAD | {"choices": {}}),
        event(HEAD | {"choices": ["hi"]}),
        event({"error": {"message": "no"}}),
        b"event: delta\ndata: {}\n\n",
        b"data: [1]\n\n",
        b"data: {\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        DONE,
    ],
)
def test_what_nobody_understands_is_not_folded(odd: bytes) -> None:
    assert folded(ROLE, odd, HI, STOP) is None


def test_without_an_end_there_is_no_answer() -> None:
    assert fold(Endpoint.CHAT, ROLE + HI + STOP) is None
    assert fold(Endpoint.CHAT, DONE) is None
    assert fold(Endpoint.CHAT, b"") is None


def test_what_is_first_said_beside_a_piece_of_text_is_kept() -> None:
    late = event(HEAD | {"service_tier": "flex", "choices": [{"index": 0, "delta": {"content": "!"}}]})
    other = event(HEAD | {"id": "another", "provider": "p", "choices": [{"index": 1, "delta": {"content": "Yo"}}]})

    whole = folded(ROLE, HI, late, late, other, STOP, chunk({}, "stop", 1))

    assert (whole["service_tier"], whole["provider"], whole["id"]) == ("flex", "p", "chatcmpl-1")
    assert [one["message"]["content"] for one in whole["choices"]] == ["Hi!!", "Yo"]
