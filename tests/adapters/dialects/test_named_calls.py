# ruff: noqa: RUF001 - these are DeepSeek's own marks
from __future__ import annotations

import pytest

from tests.adapters.dialects.said import Message, read

SECTION, CALL, NAME = "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"


@pytest.mark.parametrize(
    ("dialect", "written"),
    [
        ("mistral", "[TOOL_CALLS]nobody[ARGS]{}"),
        ("mistral", "[TOOL_CALLS]now[CALL_ID]abc"),
        ("mistral", "[TOOL_CALLS]"),
        ("mistral", "[TOOL_CALLS] are what Mistral writes"),
        ("functionary_tags", "<function=nobody>{}</function>"),
        ("functionary_tags", "#include <function=x"),
        ("deepseek", f"{SECTION}{CALL}function{NAME}nobody\n{{}}"),
        ("deepseek", f"{SECTION}no call"),
        ("kimi", "<|tool_calls_section_begin|><|tool_call_begin|>functions.nobody:0<|tool_call_argument_begin|>{}"),
        ("kimi", "<|tool_calls_section_begin|>none"),
    ],
)
def test_what_is_no_call_is_text(dialect: str, written: str) -> None:
    assert read(dialect, written, cuts=range(len(written))) == Message(written)


def test_a_second_call_of_nobody_is_text() -> None:
    first = f"{CALL}now{NAME}{{}}<｜tool▁call▁end｜>"
    second = f"{CALL}nobody{NAME}{{}}"
    assert read("deepseek", SECTION + first + second) == Message(second, calls=[["now", "{}"]])


def test_mistral_may_leave_out_the_mark_of_arguments() -> None:
    assert read("mistral", '[TOOL_CALLS]now{"a": 1}').calls == [["now", '{"a": 1}']]


def test_kimi_may_name_a_function_without_its_number() -> None:
    written = "<|tool_calls_section_begin|><|tool_call_begin|>now<|tool_call_argument_begin|>{}<|tool_call_end|>"
    assert read("kimi", written).calls == [["now", "{}"]]
