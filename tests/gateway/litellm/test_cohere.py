from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.litellm.cohere import legible


def line(event: dict[str, Any]) -> dict[str, Any]:
    shaped = legible(json.dumps(event).encode())
    return {} if shaped is None else dict(json.loads(shaped))


def test_text_passes_as_it_is() -> None:
    event = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}}
    assert line(event) == event


def test_a_tool_call_becomes_a_list() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    start = {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}
    assert line(start)["delta"] == {"tool_calls": [{"id": "a", "name": "f", "arguments": ""}]}
    more = {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": "{"}}}},
    }
    assert line(more)["delta"] == {"tool_calls": [{"id": "", "name": "", "arguments": "{"}]}


def test_the_end_keeps_usage_and_names_tool_calls_in_openais_word() -> None:
    delta = {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 1}}}
    assert line({"type": "message-end", "delta": delta}) == {
        "event": "message-end",
        "data": {"delta": {"finish_reason": "tool_calls", "usage": {"tokens": {"input_tokens": 1}}}},
    }


@pytest.mark.parametrize(
    "event", [{"type": "message-start"}, {"type": "content-end"}, {}, {"type": "message-end", "delta": 7}]
)
def test_the_rest_is_left_out(event: dict[str, Any]) -> None:
    assert line(event) == {}


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_what_is_no_json_object_is_said_to_be_none(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        legible(payload)
