from __future__ import annotations

import time

from adapters.dialects import Kind, Reader, dialect_named, tool_types
from adapters.dialects.reader import MAX_FALSE_STARTS
from tests.adapters.dialects.said import TOOLS, Message, read

CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'


def reader(reasoning: str = "", opening: str = "") -> Reader:
    return Reader(dialect_named("hermes", reasoning), tool_types(TOOLS), opening=opening)


def test_a_name_comes_first_and_arguments_as_they_come() -> None:
    one = reader()
    assert one.feed('<tool_call>{"name": "get_wea') == []
    assert one.feed('ther", "arguments": {"ci') == [(Kind.CALL, "get_weather"), (Kind.ARGUMENTS, '{"ci')]
    assert one.feed('ty": "Par') == [(Kind.ARGUMENTS, 'ty": "Par')]
    assert one.feed('is"}}') == [(Kind.ARGUMENTS, 'is"}')]
    assert one.feed("</tool_call>") == []
    assert one.finish() == []


def test_text_is_held_back_only_while_it_could_be_a_mark() -> None:
    one = reader()
    assert one.feed("a < b and <tool") == [(Kind.TEXT, "a < b and")]
    assert one.feed("s> c") == [(Kind.TEXT, " <tools> c")]


def test_an_answer_may_begin_inside_of_a_thought() -> None:
    one = reader("think", "<think>")
    assert one.is_thinking
    assert one.feed("so be it</think>Yes") == [(Kind.THOUGHT, "so be it"), (Kind.TEXT, "Yes")]
    assert not one.is_thinking


def test_without_tools_or_thoughts_text_goes_straight_through() -> None:
    one = Reader(dialect_named("hermes"), {})
    assert one.feed(" <tool_call> ") == [(Kind.TEXT, " <tool_call> ")]
    assert one.feed("") == one.finish() == []


def test_white_space_around_calls_is_dropped_and_kept_everywhere_else() -> None:
    assert read("hermes", f" Look: \n{CALL}\n{CALL}\n") == Message(
        " Look:", calls=[["get_weather", '{"city": "Paris"}']] * 2
    )
    assert read("hermes", " Look: \n") == Message(" Look: \n")


def test_false_starts_cost_no_more_than_their_number() -> None:
    """A model that writes the beginnings of calls, over and over, holds nobody up."""
    written = '<tool_call>{"x": "' * 3000
    started_s = time.process_time()
    assert read("hermes", written, cuts=range(0, len(written), 4)).text == written
    assert time.process_time() - started_s < 3
    assert read("hermes", "<tool_call>?" * (MAX_FALSE_STARTS + 9) + CALL).calls == []


def test_a_forced_answer_is_a_name_and_arguments() -> None:
    assert read("hermes", "now\n{}\n", forced=True) == Message(calls=[["now", "{}\n"]])
