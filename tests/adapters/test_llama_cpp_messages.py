from __future__ import annotations

from typing import Any

import pytest

from adapters.llama_cpp_messages import conversation
from adapters.schema import InvalidRequest


def test_parts_become_one_text_and_developers_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": parts},
        {"role": "user", "content": "c", "name": "n"},
    ]
    assert conversation(messages) == [
        {"role": "system", "content": "a\nb"},
        {"role": "user", "content": "c", "name": "n"},
    ]


@pytest.mark.parametrize(
    ("arguments", "read"),
    [('{"a": 1}', {"a": 1}), ("", {}), (None, {}), ("no json", "no json"), ({"a": 1}, {"a": 1})],
)
def test_tool_arguments_become_objects(arguments: object, read: object) -> None:
    """Templates write them as JSON themselves; what is none goes through as it is."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (message,) = conversation([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert message["content"] == ""
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": read}


def test_results_name_their_function_and_thoughts_have_both_names() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked: dict[str, Any] = {"role": "assistant", "tool_calls": [call], "reasoning_content": "hm"}
    results = [{"role": "tool", "tool_call_id": one, "content": "1"} for one in ("c1", "c2")]
    said, known, unknown = conversation([asked, *results])
    assert said["thinking"] == "hm"
    assert known["name"] == "f"
    assert "name" not in unknown
    assert conversation([{**results[0], "name": "g"}])[0]["name"] == "g"


def test_no_calls_are_as_good_as_absent() -> None:
    """A template that asks whether there are calls would take null for some."""
    said = {"role": "assistant", "content": "x"}
    assert conversation([{**said, "tool_calls": None}]) == conversation([{**said, "tool_calls": []}]) == [said]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 3}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[0].content"),
        ({"role": "user", "content": ["x"]}, "messages[0].content"),
        ({"role": "assistant", "tool_calls": ["x"]}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": 3}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"id": 3, "function": {"name": "f"}}]}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}, "messages[0].tool_calls"),
    ],
)
def test_what_a_text_model_cannot_read_names_its_place(message: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        conversation([message])
    assert refusal.value.param == param


def test_a_conversation_has_messages() -> None:
    with pytest.raises(InvalidRequest, match="must not be empty"):
        conversation([])


def test_arguments_of_far_too_many_values_are_not_even_read() -> None:
    """They are one text to whoever counts values, and hundreds of megabytes once they are read."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "[" + "1e9," * 60_000 + "1]"}}
    message = {"role": "assistant", "tool_calls": [call, call]}
    with pytest.raises(InvalidRequest, match="more than 100000 values") as refusal:
        conversation([message])
    assert (refusal.value.param, refusal.value.code) == ("messages", "context_length_exceeded")
