"""Conversations with a model of our own engine: what goes in, what comes out whole, and what comes as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import CHAT, SCRIPTS, conversation, rendered

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.end_to_end.engine.house import House

TURNS: Any = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Name a river."}]
ASK: Any = {**conversation("steady", TURNS), "max_tokens": 12}
PROMPT = rendered(("system", "Be short."), ("user", "Name a river."))


def content(answer: dict[str, Any], choice: int = 0) -> str:
    return str(answer["choices"][choice]["message"]["content"])


# what an answer looks like


def test_an_answer_has_all_that_clients_read(house: House) -> None:
    answer = house.asked(CHAT, ASK)
    (choice,) = answer["choices"]
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", "steady")
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "length", "assistant")
    usage = answer["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    assert len({house.asked(CHAT, ASK)["id"] for _ in range(3)}) == 3


def test_the_chat_template_is_all_that_goes_between_messages_and_model(house: House) -> None:
    chat, completion = house.asked(CHAT, ASK), house.complete("steady", PROMPT, max_tokens=12)
    assert content(chat) == completion["choices"][0]["text"]
    assert chat["usage"]["prompt_tokens"] == completion["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ([{"type": "text", "text": "Name a"}, {"type": "text", "text": "river."}], "Name a\nriver."),
        ([{"type": "text", "text": "Name a river."}], "Name a river."),
        ([], ""),
    ],
    ids=["parts", "one part", "no part"],
)
def test_parts_of_text_are_lines_of_it(house: House, given: list[dict[str, str]], same: str) -> None:
    answers = [house.chat("steady", [{"role": "user", "content": one}], max_tokens=8) for one in (given, same)]
    assert content(answers[0]) == content(answers[1])
    assert answers[0]["usage"]["prompt_tokens"] == answers[1]["usage"]["prompt_tokens"]


def test_developers_are_the_system(house: House) -> None:
    told = house.chat("steady", [{"role": "developer", "content": "Be short."}, TURNS[1]], max_tokens=12)
    assert content(told) == content(house.asked(CHAT, ASK))


def test_a_begun_answer_is_gone_on_with(house: House) -> None:
    begun = house.chat("steady", [*TURNS, {"role": "assistant", "content": "The Rh"}], max_tokens=8)
    plain = house.complete("steady", PROMPT + "The Rh", max_tokens=8)
    assert content(begun) == plain["choices"][0]["text"]
    assert begun["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"]


def test_the_end_of_a_text_is_no_part_of_it(house: House) -> None:
    answer = house.chat("scripted", "A")
    assert content(answer) == SCRIPTS["A"]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_answer_may_be_empty(house: House) -> None:
    answer = house.chat("scripted", "?")
    assert (content(answer), answer["choices"][0]["finish_reason"]) == ("", "stop")
    stream = house.stream(CHAT, conversation("scripted", "?"))
    assert (stream.text(), stream.reason()) == ("", "stop")


def test_the_newer_name_of_the_limit_is_as_good(house: House) -> None:
    assert house.chat("steady", "x", max_completion_tokens=3)["usage"]["completion_tokens"] == 3


# streams


@pytest.mark.parametrize("ask", [ASK, conversation("scripted", "A")], ids=["cut", "ended"])
def test_a_stream_says_what_the_whole_says(house: House, ask: dict[str, Any]) -> None:
    whole, stream = house.asked(CHAT, ask), house.stream(CHAT, ask)
    assert stream.text() == content(whole)
    assert stream.reason() == whole["choices"][0]["finish_reason"]
    first, *others = stream.choices()
    assert first["delta"]["role"] == "assistant"
    assert not first["delta"]["content"]
    assert all("role" not in one["delta"] for one in others)
    assert others[-1]["delta"] == {}
    assert [one["finish_reason"] for one in others[:-1]] == [None] * (len(others) - 1)
    heads = {(chunk["id"], chunk["object"], chunk["model"], chunk["created"]) for chunk in stream.chunks}
    assert len(heads) == 1
    assert next(iter(heads))[1:3] == ("chat.completion.chunk", ask["model"])


def test_no_chunk_holds_half_a_character(house: House) -> None:
    """The script's tokens are cut within letters, so a token is not always a chunk."""
    said = [one["delta"].get("content") or "" for one in house.stream(CHAT, conversation("scripted", "A")).choices()]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(said)
    assert len([one for one in said if one]) > 10


def test_usage_comes_last_and_only_where_it_is_asked_for(house: House) -> None:
    usage = house.asked(CHAT, ASK)["usage"]
    asked = house.stream(CHAT, ASK | {"stream_options": {"include_usage": True}}).chunks
    assert asked[-1]["choices"] == []
    told = asked[-1]["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (usage["prompt_tokens"], 12)
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in asked[:-1])
    for options in ({}, {"stream_options": {"include_usage": False}}):
        assert not any(chunk.get("usage") for chunk in house.stream(CHAT, ASK | options).chunks)


def test_the_official_client_reads_both(client: OpenAI) -> None:
    ask = conversation("scripted", "A")
    whole = client.chat.completions.create(**ask)
    with client.chat.completions.stream(**ask) as stream:
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.content == whole.choices[0].message.content == SCRIPTS["A"]


# what is known is not read again


def test_what_a_slot_still_knows_is_told(house: House) -> None:
    """With one slot, as many tokens are known as the new prompt begins with like the one before."""

    def ask(numbers: str) -> tuple[int, int, int]:
        messages = [{"role": "system", "content": "Count."}, {"role": "user", "content": numbers}]
        usage = house.chat("thrifty", messages, max_tokens=4)["usage"]
        told = usage["prompt_tokens"]
        alike = rendered(("system", "Count."), ("user", "")).index("<|im_end|>\n<|im_start|>assistant")
        return told, usage["prompt_tokens_details"]["cached_tokens"], alike

    size, _, _ = ask("1 2 3 4 5 6")
    tail = house.complete("thrifty", "<|im_end|>\n<|im_start|>assistant\n", max_tokens=1)["usage"]["prompt_tokens"]
    ask("1 2 3 4 5 6")
    assert ask("1 2 3 4 5 6")[:2] == (size, size - 1)
    assert ask("1 2 3 4 5 9")[:2] == (size, size - tail - 1)
    assert ask("1 2 3 9 9 9")[:2] == (size, size - tail - len("4 5 9"))


def test_what_is_known_costs_what_the_policy_says(house: House) -> None:
    ask = conversation("thrifty", "How much is the fish, and how much is the same fish a second time?")
    house.post(CHAT, ask | {"max_tokens": 4})
    answer = house.post(CHAT, ask | {"max_tokens": 4})
    usage, row = answer.json()["usage"], house.row(answer.headers["x-request-id"])
    known = usage["prompt_tokens_details"]["cached_tokens"]
    assert known == usage["prompt_tokens"] - 1
    assert (row["cached_input_tokens"], row["input_tokens"]) == (known, usage["prompt_tokens"])
    assert row["cost_nanousd"] == 1000 + known * 500 + 4 * 2000


def test_where_the_time_went_is_on_record(house: House) -> None:
    answer = house.post(CHAT, ASK | {"max_tokens": 64})
    row = house.row(answer.headers["x-request-id"])
    assert 0 <= row["engine_ms"] <= row["duration_ms"]


# several choices


def test_choices_differ_and_each_has_an_end(house: House) -> None:
    ask = ASK | {"n": 3, "temperature": 1, "seed": 5}
    answer, stream = house.asked(CHAT, ask), house.stream(CHAT, ask)
    assert [one["index"] for one in answer["choices"]] == [0, 1, 2]
    assert {one["finish_reason"] for one in answer["choices"]} == {"length"}
    texts = [content(answer, index) for index in range(3)]
    assert len(set(texts)) == 3
    assert [stream.text(index) for index in range(3)] == texts
    assert [stream.reason(index) for index in range(3)] == ["length"] * 3
    assert answer["usage"]["completion_tokens"] == 36


def test_choices_at_temperature_0_are_the_same_one(house: House) -> None:
    answer = house.asked(CHAT, ASK | {"n": 2})
    assert content(answer, 0) == content(answer, 1) == content(house.asked(CHAT, ASK))


# requests that nobody can answer


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [123]}, "messages[0]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [{"role": 123, "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 123}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"messages": [*TURNS, {}]}, "messages[2].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 5}, "stop"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"the": 1}}, "logit_bias"),
        ({"logit_bias": {"9999": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "smell"]}, "modalities"),
        ({"modalities": ["text", "audio"]}, "model"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
    ],
)
def test_nonsense_is_refused_by_name(house: House, changed: dict[str, Any], param: str) -> None:
    for stream in (False, True):
        error = house.refused(CHAT, ASK | changed | {"stream": stream})
        assert error["type"] == "invalid_request_error"
        assert error["param"].startswith(param)


def test_what_has_no_effect_is_named_and_no_reason_to_refuse(house: House) -> None:
    answer = house.post(CHAT, ASK | {"mirostat": 2, "verbosity": "low", "user": "ada", "metadata": {"a": "b"}})
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-ignored"] == "mirostat, verbosity"
