"""Calls that begin with a function's name and go on with its arguments as JSON, each family with marks of its own."""

# ruff: noqa: RUF001 - these are DeepSeek's own marks

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adapters.dialects.json_calls import read_json_calls
from adapters.dialects.json_text import copy_json
from adapters.dialects.tape import Marks

if TYPE_CHECKING:
    from adapters.dialects.tape import Reading, Tape

DEEPSEEK_SECTION: Final = "<｜tool▁calls▁begin｜>"
DEEPSEEK_CALL: Final = "<｜tool▁call▁begin｜>"
DEEPSEEK_NAME: Final = "<｜tool▁sep｜>"
DEEPSEEK_END: Final = "<｜tool▁call▁end｜>"
DEEPSEEK_SECTION_END: Final = "<｜tool▁calls▁end｜>"
KIMI_SECTION: Final = "<|tool_calls_section_begin|>"
KIMI_CALL: Final = "<|tool_call_begin|>"
KIMI_ARGUMENTS: Final = "<|tool_call_argument_begin|>"
KIMI_END: Final = "<|tool_call_end|>"
KIMI_SECTION_END: Final = "<|tool_calls_section_end|>"

_LINE: Final = Marks("\n")
_TAG_END: Final = Marks(">")
_MISTRAL_NAME: Final = Marks("[ARGS]", "[CALL_ID]", "{")
_MISTRAL_ID: Final = Marks("[ARGS]")
_DEEPSEEK_NAME: Final = Marks(DEEPSEEK_NAME)
_KIMI_NAME: Final = Marks(KIMI_ARGUMENTS)


def read_mistral(tape: Tape) -> Reading[bool]:
    """After [TOOL_CALLS]: a list of JSON objects, or `name[ARGS]{...}`, with an id before [ARGS] in some versions."""
    yield from tape.space()
    if not (yield from tape.need()):
        return False
    if tape.text[tape.at] in "[{":
        return (yield from read_json_calls(tape))
    head = yield from tape.upto(_MISTRAL_NAME)
    if head is None:
        return False
    name, mark = head
    if mark == "{":
        tape.at -= 1
    if mark == "[CALL_ID]" and (yield from tape.upto(_MISTRAL_ID)) is None:
        return False
    return (yield from read_named(tape, name.strip()))


def read_function_tag(tape: Tape) -> Reading[bool]:
    """After `<function=`: `name>{...}</function>`."""
    head = yield from tape.upto(_TAG_END)
    made = head is not None and (yield from read_named(tape, head[0].strip()))
    if made:
        yield from tape.space()
        yield from tape.has("</function>")
    return made


def read_deepseek(tape: Tape) -> Reading[bool]:
    """After the mark of the section: calls of `function<sep>name` and a fenced object, or of `name<sep>{...}`."""
    made = False
    while True:
        yield from tape.space()
        start = tape.anchor()
        if not (yield from tape.has(DEEPSEEK_CALL)):
            break
        name = yield from _deepseek_name(tape)
        if name is None or name not in tape.tools:
            tape.at = start
            return made
        yield from tape.space()
        if (yield from tape.has("```")):
            yield from tape.has("json")
        yield from read_named(tape, name)
        made = True
        for close in ("```", DEEPSEEK_END):
            yield from tape.space()
            yield from tape.has(close)
    yield from tape.has(DEEPSEEK_SECTION_END)
    return made


def _deepseek_name(tape: Tape) -> Reading[str | None]:
    head = yield from tape.upto(_DEEPSEEK_NAME)
    if head is not None and head[0].strip() == "function":
        head = yield from tape.upto(_LINE)
    return None if head is None else head[0].strip()


def read_kimi(tape: Tape) -> Reading[bool]:
    """After the mark of the section: calls that are named `functions.name:0`."""
    made = False
    while True:
        yield from tape.space()
        start = tape.anchor()
        if not (yield from tape.has(KIMI_CALL)):
            break
        head = yield from tape.upto(_KIMI_NAME)
        name = head[0].strip().removeprefix("functions.") if head is not None else ""
        if not (yield from read_named(tape, name.rpartition(":")[0] or name)):
            tape.at = start
            return made
        made = True
        yield from tape.space()
        yield from tape.has(KIMI_END)
    yield from tape.has(KIMI_SECTION_END)
    return made


def read_named(tape: Tape, name: str) -> Reading[bool]:
    """The arguments of a call whose name has been read. False where there is no such function."""
    if name not in tape.tools:
        return False
    yield from tape.space()
    tape.call(name)
    yield from copy_json(tape, tape.argue)
    return True
