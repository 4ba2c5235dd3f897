from __future__ import annotations

import json

import pytest

from tests.adapters.dialects.said import Message, read


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("now()", {}),
        ("now(a=1, b=-2.5, c='x', d=\"y\")", {"a": 1, "b": -2.5, "c": "x", "d": "y"}),
        ("now(a=[1, 'b', None], c={'d': True, \"e\": {}},)", {"a": [1, "b", None], "c": {"d": True, "e": {}}}),
        (r"now(a='it\'s\n\"so\"', b='')", {"a": 'it\'s\n"so"', "b": ""}),
        ("now(a=red)", {"a": "red"}),
        ("now( a = [ ] )", {"a": []}),
    ],
)
def test_python_becomes_json(written: str, arguments: object) -> None:
    for text in (f"[{written}]", f"[{written}, {written}]"):
        calls = read("llama_python", text, cuts=range(len(text))).calls
        assert {name for name, _ in calls} == {"now"}
        assert [json.loads(told) for _, told in calls] == [arguments] * len(calls)


@pytest.mark.parametrize("written", ["[1, 2]", "[]", "[print(1)]", "[now]", "[now", '["now(1)"]', "{x}"])
def test_what_is_no_call_is_text(written: str) -> None:
    assert read("llama_python", written, cuts=range(len(written))) == Message(written)


def test_gemma_quotes_in_its_own_way() -> None:
    written = '<|tool_call>call:run{code:<|"|>a {"b"} \\ \n<|"|>,n:[{k:1},<|"|>x<|"|>],t:false}<tool_call|>'
    (call,) = read("gemma", written, cuts=range(len(written))).calls
    assert json.loads(call[1]) == {"code": 'a {"b"} \\ \n', "n": [{"k": 1}, "x"], "t": False}


@pytest.mark.parametrize("written", ["<|tool_call>call:nobody{}", "<|tool_call>now{}", "<|tool_call>call:now"])
def test_gemma_calls_what_there_is(written: str) -> None:
    assert read("gemma", written) == Message(written)


@pytest.mark.parametrize(
    ("written", "told", "left"),
    [
        ("[now(a=1", '{"a": ', ""),
        ("[now(a='x", '{"a": "x', ""),
        ("[now(a=1 b=2)]", '{"a": 1', "b=2)]"),
        ("[now(1)]", "{", "1)]"),
        ("[now(a=)]", '{"a": ', ")]"),
    ],
)
def test_a_call_that_cannot_go_on_is_left_as_it_is(written: str, told: str, left: str) -> None:
    message = read("llama_python", written)
    assert message.calls == [["now", told]] or message.calls[0][1].startswith(told)
    assert message.text == left or left in written
