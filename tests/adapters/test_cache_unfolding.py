"""A kept answer told again adds up to itself, for us and for the official SDK, under the new call's name."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk

from adapters.cache_folding import fold
from adapters.cache_unfolding import Retelling, renamed, renamed_events, unfold
from adapters.sse import read_event
from policies.vocabulary import Endpoint

TELLING = Retelling("req1", 1_700_000_000, 4, include_usage=True)
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
TEXTS = st.text(max_size=40)
MAYBE = st.none() | TEXTS.filter(bool)
TOKENS = st.lists(
    st.fixed_dictionaries({"token": st.text(max_size=5), "logprob": st.just(-0.5), "bytes": st.none()}), max_size=6
)


def token_logprobs(tokens: list[Any]) -> Any:
    entries = [token | {"top_logprobs": []} for token in tokens]
    return {"content": entries, "refusal": None} if entries else None


MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | TEXTS, "refusal": MAYBE},
    optional={
        "reasoning": TEXTS.filter(bool),
        "reasoning_content": TEXTS.filter(bool),
        "annotations": st.just([{"type": "url_citation"}]),
    },
)
CHAT_CHOICES = st.fixed_dictionaries(
    {"message": MESSAGES, "logprobs": TOKENS.map(token_logprobs), "finish_reason": st.sampled_from(["stop", "eos"])},
    optional={"stop_reason": st.integers(1, 3)},
)
TEXT_CHOICES = st.fixed_dictionaries({"text": TEXTS, "logprobs": st.none(), "finish_reason": st.just("stop")})


def whole(choices: list[Any], kind: str = "chat.completion", **more: Any) -> Any:
    numbered = [{"index": number} | choice for number, choice in enumerate(choices)]
    return {"id": "old", "object": kind, "created": 5, "model": "m", "choices": numbered, "usage": USAGE} | more


def said(text: str, **more: Any) -> Any:
    message = {"role": "assistant", "content": text, "refusal": None}
    return whole([{"message": message, "logprobs": None, "finish_reason": "stop"} | more])


def told(answer: Any, telling: Retelling = TELLING, endpoint: Endpoint = Endpoint.CHAT) -> list[bytes]:
    events = unfold(endpoint, json.dumps(answer).encode(), telling)
    assert events is not None
    return list(events)


def chunks(answer: Any, telling: Retelling = TELLING, endpoint: Endpoint = Endpoint.CHAT) -> list[Any]:
    *events, done = told(answer, telling, endpoint)
    assert done == b"data: [DONE]\n\n"
    return [json.loads(read_event(event)[1] or b"") for event in events]


@given(st.lists(CHAT_CHOICES, min_size=1, max_size=3), st.integers(1, 9), st.sampled_from([{}, {"provider": "p"}]))
def test_unfolded_and_folded_again_a_chat_is_itself(choices: list[Any], size: int, more: dict[str, str]) -> None:
    answer = whole(choices, system_fingerprint="fp", **more)
    telling = Retelling("req1", 77, size, include_usage=True)

    again = fold(Endpoint.CHAT, b"".join(told(answer, telling)))

    assert again is not None
    assert json.loads(again) == answer | {"id": "chatcmpl-req1", "created": 77}


@given(st.lists(TEXT_CHOICES, min_size=1, max_size=3), st.integers(1, 9))
def test_unfolded_and_folded_again_a_completion_is_itself(choices: list[Any], size: int) -> None:
    answer = whole(choices, "text_completion")
    telling = Retelling("req1", 77, size, include_usage=True)

    again = fold(Endpoint.COMPLETIONS, b"".join(told(answer, telling, Endpoint.COMPLETIONS)))

    assert again is not None
    assert json.loads(again) == answer | {"id": "cmpl-req1", "created": 77}


@settings(max_examples=40)
@given(st.lists(CHAT_CHOICES, min_size=1, max_size=2), st.integers(1, 9))
def test_the_official_sdk_adds_it_up_the_same(choices: list[Any], size: int) -> None:
    answer = whole([choice | {"finish_reason": "stop"} for choice in choices], system_fingerprint="fp")
    state = ChatCompletionStreamState()

    for chunk in chunks(answer, Retelling("req1", 77, size, include_usage=True)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))

    final = state.get_final_completion()
    assert (final.id, final.created, final.usage and final.usage.total_tokens) == ("chatcmpl-req1", 77, 11)
    for choice, had in zip(final.choices, answer["choices"], strict=True):
        assert (choice.message.content or None) == (had["message"]["content"] or None)
        assert (choice.message.refusal or None) == had["message"]["refusal"]
        assert choice.finish_reason == "stop"
        tokens = had["logprobs"]["content"] if had["logprobs"] else []
        kept = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
        assert [one.token for one in kept] == [one["token"] for one in tokens]


def test_the_sdk_reads_completions() -> None:
    answer = whole([{"text": "once upon", "logprobs": None, "finish_reason": "stop"}], "text_completion")

    found = chunks(answer, endpoint=Endpoint.COMPLETIONS)
    parts = [cast("Completion", construct_type(value=chunk, type_=Completion)) for chunk in found]

    assert "".join(part.choices[0].text for part in parts if part.choices) == "once upon"


def test_a_stream_looks_as_openais_does() -> None:
    head = {"id": "chatcmpl-req1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
    quiet = {"logprobs": None, "finish_reason": None}

    assert chunks(said("Hi there")) == [
        head | {"choices": [{"index": 0, "delta": delta} | quiet | end], "usage": None}
        for delta, end in (
            ({"role": "assistant", "content": "", "refusal": None}, {}),
            ({"content": "Hi t"}, {}),
            ({"content": "here"}, {}),
            ({}, {"finish_reason": "stop"}),
        )
    ] + [head | {"choices": [], "usage": USAGE}]


def test_usage_is_told_to_who_asked() -> None:
    quiet = chunks(said("Hi"), Retelling("req1", 5))

    assert all("usage" not in chunk and chunk["choices"] for chunk in quiet)


def test_thoughts_come_first_and_once_where_they_are_written_twice() -> None:
    message = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "reasoning": "hm ok",
        "reasoning_content": "hm ok",
    }
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(whole([{"message": message}])) if chunk["choices"]]

    assert deltas[1:-1] == [
        {"reasoning": "hm o", "reasoning_content": "hm o"},
        {"reasoning": "k", "reasoning_content": "k"},
        {"content": "Hi"},
    ]


def test_log_probabilities_go_with_their_text() -> None:
    entries = [{"token": token, "logprob": -1.0} for token in ("Hel", "lo", " there")]
    both = chunks(said("Hello there", logprobs={"content": entries, "refusal": None}))
    other = chunks(said("Hello!", logprobs={"content": entries, "refusal": None}))

    def pairs(found: list[Any]) -> list[tuple[str, int]]:
        choices = [chunk["choices"][0] for chunk in found if chunk["choices"]]
        return [(c["delta"]["content"], len((c["logprobs"] or {"content": ""})["content"])) for c in choices[1:-1]]

    assert pairs(both) == [("Hello", 2), (" there", 1)]
    assert pairs(other) == [("Hell", 3), ("o!", 0)]


def test_log_probabilities_of_completions_go_with_their_text() -> None:
    lists = {"tokens": ["on", "ce", " upon"], "token_logprobs": [-1, -2, -3], "top_logprobs": None}
    choice = {"text": "once upon", "logprobs": lists | {"text_offset": [0, 2, 4]}, "finish_reason": "stop"}
    found = chunks(whole([choice], "text_completion"), endpoint=Endpoint.COMPLETIONS)
    told_with = [(c["choices"][0]["text"], c["choices"][0]["logprobs"]) for c in found if c["choices"]]

    assert told_with[0][1] == {
        "tokens": ["on", "ce"],
        "token_logprobs": [-1, -2],
        "top_logprobs": None,
        "text_offset": [0, 2],
    }
    assert [text for text, _ in told_with] == ["once", " upon", ""]


def test_what_else_there_is_goes_along() -> None:
    message = {"role": "assistant", "content": "Hi", "refusal": None, "reasoning_details": [{"text": "hm"}]}
    found = chunks(whole([{"message": message, "finish_reason": "stop", "stop_reason": 5}], citations=["a"]))

    assert found[0]["choices"][0]["delta"]["reasoning_details"] == [{"text": "hm"}]
    assert ["citations" in chunk for chunk in found] == [True] + [False] * (len(found) - 1)
    assert found[-2]["choices"][0]["stop_reason"] == 5


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[{"message":"x"}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_not_told(kept: bytes) -> None:
    assert unfold(Endpoint.CHAT, kept, TELLING) is None
    assert unfold(Endpoint.COMPLETIONS, kept, TELLING) is None
    assert unfold(Endpoint.RESPONSES, kept, TELLING) is None


def test_odd_parts_of_a_kept_answer_do_no_harm() -> None:
    odd = {"index": "x", "message": {"content": 5, "annotations": 7, "reasoning": ["a"]}, "logprobs": {"content": 5}}

    found = chunks({"choices": [odd], "usage": 5, "model": None})

    assert found[-1]["usage"] == 5
    assert {chunk["choices"][0]["index"] for chunk in found if chunk["choices"]} == {0}


def test_a_whole_answer_is_renamed_and_else_as_it_was() -> None:
    answer = b'{"id": "old","created":5, "x":1.50,"choices":[ ]}'

    assert renamed(Endpoint.CHAT, answer, TELLING) == (
        b'{"id":"chatcmpl-req1","created":1700000000,"x":1.50,"choices":[ ]}'
    )
    assert renamed(Endpoint.EMBEDDINGS, b'{"data":[ 1]}', TELLING) == b'{"data":[ 1]}'
    assert renamed(Endpoint.CHAT, b"[]", TELLING) is None
    assert renamed(Endpoint.CHAT, b"{", TELLING) is None


def test_a_response_and_its_messages_get_names_of_their_own() -> None:
    text = json.dumps('quoted: "id":"msg_abc"')
    body = b'{"id":"resp_abc","created_at":5,"output":[{"id":"rs_1"},{"id": "msg_abc","text":%b},{"id":"msg_d"}]}'

    found = renamed(Endpoint.RESPONSES, body % text.encode(), TELLING)

    assert found is not None
    fields = json.loads(found)
    first, second, third = fields["output"]
    assert (fields["id"], fields["created_at"], first["id"]) == ("resp_req100", 1_700_000_000, "rs_1")
    assert (second["id"], second["text"], third["id"]) == ("msg_req101", 'quoted: "id":"msg_abc"', "msg_req102")


def test_events_of_a_response_agree_on_the_new_names() -> None:
    events = b'data: {"item_id":"msg_abc"}\n\ndata: {"item":{"id":"msg_abc"}}\n\ndata: {"response":{"id":"resp_1"}}\n\n'

    expected = events.replace(b"msg_abc", b"msg_req100").replace(b"resp_1", b"resp_req101")
    assert renamed_events(events, TELLING) == expected
