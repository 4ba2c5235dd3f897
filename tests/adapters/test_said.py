"""What was said, in OpenTelemetry's shapes, whatever API it was said to and however odd it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Tally
from adapters.openai_answer import read_answer
from adapters.openai_stream import ChatDecoder
from adapters.said import READ_BYTES_MAX, TOO_LONG, input_messages, instructions, output_messages, tool_definitions
from adapters.schema import InferenceRequest
from policies.vocabulary import Endpoint

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def asked(endpoint: Endpoint = Endpoint.CHAT, **members: Any) -> InferenceRequest:
    request = InferenceRequest.unread(endpoint)
    request.members = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in members.items()}
    return request


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def test_a_conversation_with_a_tool() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Rain?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "12 mm"},
    ]
    call = {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}, "id": "c1"}
    assert input_messages(asked(messages=messages)) == [
        {"role": "system", "parts": [text("Be brief.")]},
        {"role": "user", "parts": [text("Rain?"), {"type": "blob", "modality": "image", "content": "[not shown]"}]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "12 mm", "id": "c1"}]},
    ]


def test_the_responses_api_has_items_and_instructions() -> None:
    request = asked(
        Endpoint.RESPONSES,
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Rain?"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{broken"},
            {"type": "function_call_output", "call_id": "c1", "output": "12 mm"},
            {"type": "reasoning", "summary": []},
        ],
        tools=[{"type": "function", "name": "weather", "description": "Asks.", "parameters": {}, "strict": True}],
    )
    assert instructions(request) == [text("Be brief.")]
    assert [message["role"] for message in input_messages(request)] == ["user", "assistant", "tool"]
    assert input_messages(request)[1]["parts"][0]["arguments"] == "{broken"
    assert tool_definitions(request) == [
        {"type": "function", "name": "weather", "description": "Asks.", "parameters": {}}
    ]


def test_what_is_no_conversation_is_a_users_message() -> None:
    said = [
        asked(Endpoint.COMPLETIONS, prompt="Once"),
        asked(Endpoint.COMPLETIONS, prompt=["Once", "Twice"]),
        asked(Endpoint.EMBEDDINGS, input=[1, 2, 3]),
        asked(Endpoint.RERANK, query="Rain?", documents=["Sun.", {"text": "Rain."}]),
    ]
    shown = [[part["content"] for message in input_messages(one) for part in message["parts"]] for one in said]
    assert shown == [["Once"], ["Once", "Twice"], ["[3 tokens]"], ["Rain?", "Sun.", "Rain."]]


def test_tools_of_chat_lose_their_wrapping() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    assert tool_definitions(asked(tools=[tool, "odd"])) == [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    ]


def test_what_is_very_long_is_not_taken_apart() -> None:
    request = asked()
    request.members["messages"] = msgspec.Raw(b'"' + b"x" * READ_BYTES_MAX + b'"')
    assert input_messages(request) == [{"role": "user", "parts": [text(TOO_LONG)]}]


def test_an_answer_tells_thoughts_words_and_calls_apart() -> None:
    message = {"role": "assistant", "reasoning_content": "Hm.", "content": "Wait: ", "tool_calls": [CALL]}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode()
    parts = [
        text("Wait: "),
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}},
    ]
    assert output_messages(read_answer(Endpoint.CHAT, body)) == [
        {"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}
    ]


def test_so_does_a_stream_however_it_is_cut() -> None:
    arguments = ['{"ci', 'ty": ', '"Oslo"}']
    deltas: list[dict[str, Any]] = [
        {"reasoning_content": "H"},
        {"reasoning_content": "m."},
        {"content": "Wait"},
        {"content": ": "},
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments),
    ]
    decoder = ChatDecoder(asked())
    for delta in deltas:
        decoder.feed(b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n")
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    decoder.feed(b"data: " + json.dumps(end).encode() + b"\n\n")
    [message] = output_messages(decoder.tally)
    assert message["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        text("Wait: "),
        {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}},
    ]


def test_an_answer_that_never_came_says_nothing_and_one_that_broke_off_says_so() -> None:
    assert output_messages(Tally()) == []
    assert output_messages(Tally(text=["Onc"])) == [
        {"role": "assistant", "parts": [text("Onc")], "finish_reason": "error"}
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "x")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(Endpoint), JSON, JSON, JSON)
def test_nothing_that_callers_send_breaks_it(endpoint: Endpoint, said: Any, tools: Any, system: Any) -> None:
    request = asked(endpoint, messages=said, input=said, query=said, tools=tools, instructions=system)
    for message in input_messages(request):
        assert isinstance(message["role"], str)
        assert isinstance(message["parts"], list)
    msgspec.json.encode([input_messages(request), tool_definitions(request), instructions(request)])


@given(st.binary(max_size=40))
def test_nor_does_what_is_no_json(raw: bytes) -> None:
    request = asked()
    request.members["messages"] = msgspec.Raw(raw)
    assert isinstance(input_messages(request), list)
