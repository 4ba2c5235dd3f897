from __future__ import annotations

import json

import pytest

from adapters.dialects.tagged_calls import as_json
from tests.adapters.dialects.said import Message, read


@pytest.mark.parametrize(
    ("text", "written"),
    [("1", "1"), (" [1] ", "[1]"), ("True", "true"), ("None", "null"), ("x y", '"x y"'), ("", '""'), ("é", '"é"')],
)
def test_values_are_json_where_they_are_some(text: str, written: str) -> None:
    assert as_json(text) == written


@pytest.mark.parametrize("value", ["5", '"quoted"', "a\n\nb\n", "</param", "é\t\\", "<function=now>"])
def test_text_stays_text(value: str) -> None:
    """A parameter that is a string by its schema is what stands between its tags, whatever it looks like."""
    written = f"<tool_call>\n<function=run>\n<parameter=code>\n{value}\n</parameter>\n</function>\n</tool_call>"
    (call,) = read("qwen_coder", written, cuts=range(len(written))).calls
    assert json.loads(call[1]) == {"code": value}


def test_text_is_passed_on_as_it_comes() -> None:
    written = "<tool_call><function=run><parameter=code>for x"
    assert read("qwen_coder", written).calls == [["run", '{"code": "for x']]


@pytest.mark.parametrize(
    "written",
    [
        "<tool_call>",
        "<tool_call>\n<function=nobody>\n</function>",
        "<tool_call><function=now",
        "<tool_call>now",
        "<function=nobody>",
    ],
)
def test_what_is_no_call_is_text(written: str) -> None:
    assert read("qwen_coder", written, cuts=range(len(written))) == Message(written)


def test_a_call_ends_where_its_tags_do() -> None:
    written = "<tool_call><function=now>surprise</function></tool_call>"
    assert read("qwen_coder", written) == Message("surprise</function></tool_call>", calls=[["now", "{}"]])


def test_a_call_that_breaks_off_is_not_closed() -> None:
    written = "<tool_call>get_weather\n<arg_key>days</arg_key>\n<arg_value>12"
    assert read("glm", written).calls == [["get_weather", '{"days": ']]
