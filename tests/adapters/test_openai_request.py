"""Requests as clients send them, and the list of what is wrong with the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.openai_request import VALUES_KEPT, parse
from adapters.openai_smuggled import OVERRIDES
from adapters.schema import InvalidRequest
from policies.vocabulary import Endpoint

USER = {"role": "user", "content": "Hi"}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": [USER]} | fields).encode()


def refusal(data: bytes, endpoint: Endpoint = Endpoint.CHAT) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        parse(endpoint, data)
    assert refused.value.status == 400
    return refused.value


def test_a_request_is_taken_apart() -> None:
    data = b'{"model":"smart","messages":[{"role":"user","content":"Hi"}],"stream":true,"n":3,"new":{"x":1.50}}'
    request = parse(Endpoint.CHAT, data)
    assert (request.model, request.stream, request.include_usage, request.choices) == ("smart", True, False, 3)
    assert list(request.members) == ["model", "messages", "stream", "n", "new"]
    assert bytes(request.members["new"]) == b'{"x":1.50}'
    assert request.body_bytes == len(data)


@pytest.mark.parametrize(
    ("options", "asked"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True}, True)],
)
def test_whether_the_caller_asked_for_usage_is_known(options: object, *, asked: bool) -> None:
    assert parse(Endpoint.CHAT, body(stream=True, stream_options=options)).include_usage is asked


@pytest.mark.parametrize(
    ("endpoint", "fields", "choices"),
    [
        (Endpoint.COMPLETIONS, {"prompt": "x", "n": 2}, 2),
        (Endpoint.COMPLETIONS, {"prompt": ["x", "y"], "n": 2, "best_of": 3}, 4),
        (Endpoint.COMPLETIONS, {"prompt": [1, 2, 3]}, 1),
        (Endpoint.COMPLETIONS, {"prompt": [[1], [2], [3]]}, 3),
        (Endpoint.RESPONSES, {"prompt": {"id": "pmpt_1"}}, 1),
        (Endpoint.RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_text"}]}]}, 1),
    ],
)
def test_the_choices_of_an_answer_are_counted(endpoint: Endpoint, fields: dict[str, object], choices: int) -> None:
    assert parse(endpoint, json.dumps({"model": "m", **fields}).encode()).choices == choices


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("model", ["", " ", 7, ["m"], None, {}, "m" * 513, "gpt\n4", "gpt\x00", "gpt\u2028", "\x7f"])
def test_what_is_no_model_name_is_refused(endpoint: Endpoint, model: object) -> None:
    fields = {"model": model, "messages": [USER], "prompt": "x", "input": "x", "query": "x", "documents": ["x"]}
    fields = fields if endpoint is not Endpoint.RESPONSES else {"model": model, "input": "x"}
    assert refusal(json.dumps(fields).encode(), endpoint).param == "model"


def test_a_missing_field_is_named() -> None:
    missing = {
        Endpoint.CHAT: "messages",
        Endpoint.COMPLETIONS: "prompt",
        Endpoint.EMBEDDINGS: "input",
        Endpoint.RESPONSES: "input",
        Endpoint.RERANK: "query",
    }
    for endpoint, name in missing.items():
        refused = refusal(b'{"model":"m"}', endpoint)
        assert (refused.param, refused.code) == (name, "missing_required_parameter")
    assert refusal(b'{"messages":[{"role":"user","content":"x"}]}').param == "model"


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("bomb", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000])
@pytest.mark.parametrize("where", ["messages", "tools", "input", "prompt", "metadata", "thing_of_tomorrow"])
def test_nesting_bombs_are_refused_wherever_they_lie(endpoint: Endpoint, bomb: bytes, where: str) -> None:
    assert "nested too deeply" in refusal(b'{"model":"m","%b":%b}' % (where.encode(), bomb), endpoint).message


def test_tools_are_not_nested_deeper_than_upstreams_can_read() -> None:
    deep = b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"a":' + b"[" * 200 + b"]" * 200 + b"}]}"
    assert refusal(deep).param == "tools"


MESSAGES: dict[str, tuple[object, str]] = {
    "not a list": ("Hi", "messages"),
    "null": (None, "messages"),
    "empty": ([], "messages"),
    "an object": ({}, "messages"),
    "a string inside": (["Hi"], "messages[0]"),
    "no role": ([{"content": "x"}], "messages[0].role"),
    "a bad role": ([USER, {"role": "wizard", "content": "x"}], "messages[1].role"),
    "a role that is no text": ([{"role": 1, "content": "x"}], "messages[0].role"),
    "null content": ([USER] * 3 + [{"role": "user", "content": None}], "messages[3].content"),
    "no content": ([{"role": "tool", "tool_call_id": "a"}], "messages[0].content"),
    "an assistant without anything": ([{"role": "assistant", "content": None}], "messages[0].content"),
    "content that is a number": ([USER, {"role": "user", "content": 7}], "messages[1].content"),
    "an unknown part": ([USER] * 3 + [{"role": "user", "content": [{"type": "hologram"}]}], "messages[3].content"),
    "a part without a type": ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content"),
    "a part that is text": ([{"role": "user", "content": ["x"]}], "messages[0].content"),
    "a text part without text": ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content"),
    "an image part without image": ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content"),
    "tool calls that are text": ([{"role": "assistant", "tool_calls": "x"}], "messages[0].tool_calls"),
}


@pytest.mark.parametrize(("messages", "param"), MESSAGES.values(), ids=MESSAGES)
def test_bad_messages_are_named_by_place(messages: object, param: str) -> None:
    refused = refusal(body(messages=messages))
    assert refused.param == param
    assert param in refused.message


def test_messages_that_real_clients_send_pass() -> None:
    messages: list[dict[str, Any]] = [
        {"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant", "tool", "function")
    ]
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function"}]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"role": "function", "name": "f", "content": None},
        {"role": "user", "content": []},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, {"type": "thinking", "thinking": []}]},
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://example.org/v.mp4"}}]},
    ]
    assert parse(Endpoint.CHAT, body(messages=messages)).model == "m"


LINKS = [
    "file:///etc/passwd",
    "gopher://x",
    "ftp://x/y.png",
    "//x/y.png",
    "/etc/passwd",
    "javascript:x",
    "",
    " http://x",
]


@pytest.mark.parametrize("url", LINKS)
@pytest.mark.parametrize("form", ["object", "text", "responses", "output"])
def test_links_that_are_neither_web_nor_data_are_refused(url: str, form: str) -> None:
    if form in ("object", "text"):
        link = {"url": url} if form == "object" else url
        refused = refusal(body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": link}]}]))
        assert refused.param == "messages[0].content"
    else:
        image = {"type": "input_image", "image_url": url}
        item = {"role": "user", "content": [image]} if form == "responses" else {"type": "x", "output": [image]}
        refused = refusal(json.dumps({"model": "m", "input": [item]}).encode(), Endpoint.RESPONSES)
        assert refused.param == "input"
    assert refused.code == "invalid_image_url"


@pytest.mark.parametrize("url", ["https://example.org/a.png", "HTTP://example.org", "data:image/png;base64,AAAA"])
def test_web_and_data_links_pass(url: str) -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    assert parse(Endpoint.CHAT, body(messages=messages)).model == "m"
    assert parse(Endpoint.RESPONSES, json.dumps({"model": "m", "input": items}).encode()).model == "m"


@pytest.mark.parametrize("name", sorted(OVERRIDES))
def test_a_caller_never_chooses_where_a_call_goes(name: str) -> None:
    refused = refusal(body(**{name: None}))
    assert (refused.param, refused.code) == (name, "unknown_parameter")


def test_a_tool_may_have_a_timeout() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"timeout": {}, "api_key": {}}}}}
    assert parse(Endpoint.CHAT, body(tools=[tool])).model == "m"


def test_fields_that_contradict_each_other_are_refused() -> None:
    assert refusal(body(max_tokens=1, max_completion_tokens=2)).param == "max_tokens"
    assert refusal(body(stream_options={"include_usage": True})).param == "stream_options"
    assert refusal(body(stream=False, stream_options={})).param == "stream_options"
    assert refusal(b'{"model":"m","prompt":"x","n":3,"best_of":2}', Endpoint.COMPLETIONS).param == "best_of"
    assert parse(Endpoint.CHAT, body(max_tokens=2, max_completion_tokens=2)).model == "m"
    assert parse(Endpoint.CHAT, body(max_tokens=None, max_completion_tokens=2, stream_options=None)).model == "m"


@pytest.mark.parametrize("texts", ["", [], [[]], ["a", 1], [1, [1]], [[1], "a"]])
def test_texts_to_embed_are_all_of_one_kind_and_not_empty(texts: object) -> None:
    assert refusal(json.dumps({"model": "m", "input": texts}).encode(), Endpoint.EMBEDDINGS).param == "input"


def test_embeddings_cannot_be_streamed() -> None:
    assert refusal(b'{"model":"m","input":"x","stream":true}', Endpoint.EMBEDDINGS).param == "stream"


def test_nul_never_reaches_what_is_stored() -> None:
    assert refusal(body(user="a\0b")).param == "user"
    assert refusal(body(metadata={"a": "b\0"})).param == "metadata"
    assert refusal(body(metadata={"a\0": "b"})).param == "metadata"


@pytest.mark.parametrize("value", [b"1e999", b"9" * 5000])
@pytest.mark.parametrize("name", [b"temperature", b"max_tokens", b"thing_of_tomorrow", b"seed"])
def test_numbers_out_of_range_are_refused_by_name(name: bytes, value: bytes) -> None:
    refused = refusal(b'{"model":"m","messages":[{"role":"user","content":"x"}],"%b":%b}' % (name, value))
    assert refused.param == name.decode()


@pytest.mark.parametrize("name", ["logit_bias", "metadata", "stop", "user"])
def test_small_members_of_large_bodies_are_refused_by_size(name: str) -> None:
    refused = refusal(b'{"model":"m","messages":[],"%b":{"a":"%b"}}' % (name.encode(), b"x" * 1_048_576))
    assert refused.param == name
    assert "larger than 262144 bytes" in refused.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": "", "documents": ["a"]}, "query"),
        ({"query": ["a"], "documents": ["a"]}, "query"),
        ({"query": "a"}, "documents"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a", "documents": "a"}, "documents"),
        ({"query": "a", "documents": ["a"] * 10_001}, "documents"),
        ({"query": "a", "documents": [1]}, "documents[]"),
        ({"query": "a", "documents": [{"title": "a"}]}, "documents[].text"),
        ({"query": "a", "documents": [{"text": "a", "image": "https://x/a.png"}]}, "documents[].image"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "a", "documents": ["a"], "stream": True}, "stream"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_ranking_is_refused(fields: dict[str, object], param: str) -> None:
    assert (refusal(json.dumps({"model": "m", **fields}).encode(), Endpoint.RERANK).param or "").replace(
        "[0]", "[]"
    ) == param


def test_documents_have_a_bound_that_costs_nothing() -> None:
    many = b"[" + b'"",' * 1_500_000 + b'""]'
    refused = refusal(b'{"model":"m","query":"x","documents":%b}' % many, Endpoint.RERANK)
    assert refused.code == "context_length_exceeded"


def test_token_arrays_have_a_bound() -> None:
    tokens = b"[" + b"1," * 1_500_000 + b"1]"
    assert refusal(b'{"model":"m","input":%b}' % tokens, Endpoint.EMBEDDINGS).code == "context_length_exceeded"


def test_a_refusal_never_echoes_a_long_value() -> None:
    assert len(refusal(body(messages=[{"role": "x" * 100_000, "content": "y"}])).message) < 400


@pytest.mark.parametrize(
    ("endpoint", "fields", "size"),
    [
        (Endpoint.CHAT, {"messages": [USER]}, (1, 1, None)),
        (Endpoint.CHAT, {"messages": [USER], "n": 3, "max_tokens": 9}, (3, 3, 9)),
        (Endpoint.CHAT, {"messages": [USER], "max_tokens": None, "max_completion_tokens": 8}, (1, 1, 8)),
        (Endpoint.COMPLETIONS, {"prompt": "a"}, (1, 1, None)),
        (Endpoint.COMPLETIONS, {"prompt": ["a", "b"], "n": 2, "best_of": 5, "max_tokens": 9}, (4, 10, 9)),
        (Endpoint.COMPLETIONS, {"prompt": [[1], [2], [3]], "best_of": 2}, (3, 6, None)),
        (Endpoint.EMBEDDINGS, {"input": ["a", "b"]}, (2, 0, None)),
        (Endpoint.RESPONSES, {"input": "a", "max_output_tokens": 7}, (1, 1, 7)),
        (Endpoint.RERANK, {"query": "a", "documents": ["b", {"text": "c", "title": "d"}], "top_n": 1}, (2, 0, None)),
    ],
)
def test_what_may_be_generated(
    endpoint: Endpoint, fields: dict[str, object], size: tuple[int, int, int | None]
) -> None:
    request = parse(endpoint, json.dumps({"model": "m", **fields}).encode())
    assert (request.choices, request.generations, request.output_tokens_max) == size
    assert request.output_tokens_added is None


@pytest.mark.parametrize(
    ("endpoint", "fields", "has_media"),
    [
        (Endpoint.CHAT, {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, False),
        (Endpoint.CHAT, {"messages": [{"role": "assistant", "content": None, "refusal": "No."}]}, False),
        (Endpoint.CHAT, {"messages": [{"role": "assistant", "audio": {"id": "a"}}, USER]}, True),
        (Endpoint.CHAT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}, USER]}, True),
        (Endpoint.RESPONSES, {"input": "Hi"}, False),
        (Endpoint.RESPONSES, {"input": [USER]}, True),
        (Endpoint.EMBEDDINGS, {"input": "Hi"}, False),
    ],
)
def test_a_prompt_that_may_be_more_than_text_is_told(
    endpoint: Endpoint, fields: dict[str, object], *, has_media: bool
) -> None:
    assert parse(endpoint, json.dumps({"model": "m"} | fields).encode()).has_media is has_media


@pytest.mark.parametrize("value", [[[]] * VALUES_KEPT, [""] * VALUES_KEPT, [{"a": None}] * (VALUES_KEPT // 2)])
def test_a_conversation_of_countless_values_is_refused_before_any_is_made(value: list[object]) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": value}}]}
    said = refusal(body(messages=[call]))
    assert (said.param, said.code) == ("messages", "context_length_exceeded")
    said = refusal(json.dumps({"model": "m", "input": [call]}).encode(), Endpoint.RESPONSES)
    assert said.param == "input"


def test_brackets_and_commas_in_a_text_are_no_values() -> None:
    text = '{"a": [1, 2, "\\"]}' * VALUES_KEPT
    assert parse(Endpoint.CHAT, body(messages=[{"role": "user", "content": text}])).choices == 1
