from __future__ import annotations

import pytest

from adapters.dialects.json_calls import MAX_HEAD_CHARS
from tests.adapters.dialects.said import Message, read

CALL = ["now", '{"a": 1}']


@pytest.mark.parametrize(
    "written",
    [
        '{"name": "now", "arguments": {"a": 1}}',
        '{"arguments": {"a": 1}, "name": "now"}',
        '{"name": "now", "parameters": {"a": 1}, "id": "x", "more": [1, {"b": 2}]}',
        '{"id": 3, "tool_name": "now", "args": {"a": 1}}',
        '{"function": "now", "input": {"a": 1}}',
        '{"type": "function", "function": {"name": "now", "arguments": "{\\"a\\": 1}"}, "id": "x"}',
        '[{"name": "now", "arguments": {"a": 1}}]',
        '```json\n{"name": "now", "arguments": {"a": 1}}\n```',
        '\n\n{ "name" : "now" , "arguments" : {"a": 1} }\n',
    ],
)
def test_one_call_in_many_spellings(written: str) -> None:
    for mark, close in (("", ""), ("<tool_call>", "</tool_call>"), ("<tool_call>", "")):
        assert read("generic", mark + written + close) == Message(calls=[CALL])


@pytest.mark.parametrize(
    ("arguments", "told"), [("null", "{}"), ('""', "{}"), ("{}", "{}"), ('"{}"', "{}"), ("[1]", "[1]")]
)
def test_arguments_are_what_was_written(arguments: str, told: str) -> None:
    assert read("generic", f'{{"name": "now", "arguments": {arguments}}}').calls == [["now", told]]


def test_a_call_needs_no_arguments() -> None:
    assert read("generic", '{"name": "now"}').calls == [["now", "{}"]]


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "[]",
        '{"name": 3}',
        '{"name": "nobody", "arguments": {}}',
        '{"arguments": {"a": 1}}',
        '{"name": "now" "arguments": {}}',
        '{"a": 1, "b": [2]}',
        '{"function": {"name": "nobody"}}',
        '{"function": "nobody"}',
        '{name: "now"}',
        '{"padding": "' + "x" * MAX_HEAD_CHARS + '", "name": "now"}',
    ],
)
def test_what_is_no_call_is_text(written: str) -> None:
    assert read("generic", written, cuts=range(0, len(written), 7)) == Message(written)
    assert read("generic", f"<tool_call>{written}</tool_call>") == Message(f"<tool_call>{written}</tool_call>")


def test_what_follows_the_last_call_is_text() -> None:
    written = '[{"name": "now", "arguments": {}}, {"name": "nobody"}]'
    assert read("generic", written) == Message(' {"name": "nobody"}]'.lstrip(), calls=[["now", "{}"]])


def test_a_call_that_breaks_off_keeps_what_was_read_of_it() -> None:
    assert read("generic", '{"name": "now", "arguments": {"a": [1, 2').calls == [["now", '{"a": [1, 2']]
    assert read("generic", '{"name": "now", "arguments": {"a": 1}, "id": ?}') == Message("?}", calls=[CALL])
