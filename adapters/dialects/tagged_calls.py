"""Calls written with tags, a tag for each parameter: what is between its tags is text, or JSON, as its schema says."""

# ruff: noqa: RUF001 - these are DeepSeek's own marks

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.dialects.tape import Marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.dialects.tape import Reading, Tape


@dataclass(frozen=True)
class TagForm:
    """The tags of one family. `name_end` empty: a name ends where a line or the next tag begins."""

    call_open: str
    name_end: str
    key_open: str
    key_end: str
    value_open: str
    value_end: str
    call_end: str
    section_end: str = ""


QWEN_CODER: Final = TagForm(
    "<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>", "</tool_call>"
)  # fmt: skip
SEED: Final = TagForm("<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>", "</seed:tool_call>")
GLM: Final = TagForm("", "", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "</tool_call>")
MINIMAX: Final = TagForm(
    '<invoke name="', '">', '<parameter name="', '">', "", "</parameter>", "</invoke>", "</minimax:tool_call>"
)
DSML: Final = TagForm(
    '<｜DSML｜invoke name="', '">', '<｜DSML｜parameter name="', ">", "", "</｜DSML｜parameter>", "</｜DSML｜invoke>",
    "</｜DSML｜function_calls>",
)  # fmt: skip
DSML_CALLS: Final = TagForm(
    '<｜DSML｜invoke name="', '">', '<｜DSML｜parameter name="', ">", "", "</｜DSML｜parameter>", "</｜DSML｜invoke>",
    "</｜DSML｜tool_calls>",
)  # fmt: skip


def read_tagged_calls(tape: Tape, form: TagForm, *, is_inside: bool = False) -> Reading[bool]:
    """After the mark of the section: its calls. `is_inside`: after the opening tag of a call."""
    made = False
    while True:
        yield from tape.space()
        start = tape.anchor()
        opened = is_inside and not made
        if not opened and not (made and not form.call_open):
            opened = yield from tape.has(form.call_open)
        if not opened:
            break
        if not (yield from _call(tape, form)):
            tape.at = start
            return made
        made = True
    if form.section_end:
        yield from tape.has(form.section_end)
    return made


def _call(tape: Tape, form: TagForm) -> Reading[bool]:
    name = yield from _name(tape, form)
    if name is None or name not in tape.tools:
        return False
    types = tape.tools[name]
    tape.call(name)
    before = "{"
    while True:
        yield from tape.space()
        start = tape.anchor()
        key = (yield from _key(tape, form)) if (yield from tape.has(form.key_open)) else None
        if key is None:
            tape.at = start
            break
        tape.is_anchored = False
        written = json.dumps(key.name, ensure_ascii=False)
        tape.argue(f"{before}{written}: ")
        before = ", "
        kind = key.kind or types.get(key.name, "")
        if not (yield from _value(tape, form.value_end, is_text=kind == "string")):
            return True
    closed = yield from tape.has(form.call_end)
    if closed or not tape.ended or (yield from tape.need()):
        tape.argue("{}" if before == "{" else "}")
    return True


def _name(tape: Tape, form: TagForm) -> Reading[str | None]:
    if form.name_end:
        head = yield from tape.upto(Marks(form.name_end))
        return None if head is None else head[0].strip()
    head = yield from tape.upto(Marks("\n", form.key_open, form.call_end))
    if head is None:
        return None
    tape.at -= len(head[1])
    return head[0].strip()


@dataclass(frozen=True, slots=True)
class _Key:
    """A parameter, and its type where the tag itself says it."""

    name: str
    kind: str = ""


def _key(tape: Tape, form: TagForm) -> Reading[_Key | None]:
    head = yield from tape.upto(Marks(form.key_end))
    if head is None:
        return None
    name, quote, attributes = head[0].partition('"')
    kind = ("string" if 'string="true"' in attributes else "json") if quote else ""
    if form.value_open:
        yield from tape.space()
        if not (yield from tape.has(form.value_open)):
            return None
    return _Key(name.strip(), kind)


def _value(tape: Tape, end: str, *, is_text: bool) -> Reading[bool]:
    """What a parameter is given; False where the text ends inside. Text is passed on as it comes."""
    if is_text:
        tape.argue('"')
        inside = _Inside(tape.argue)
        if not (yield from tape.pass_until(Marks(end), inside.put)):
            return False
        tape.argue('"')
        return True
    parts: list[str] = []
    if not (yield from tape.pass_until(Marks(end), parts.append)):
        return False
    tape.argue(as_json("".join(parts)))
    return True


class _Inside:
    """The inside of a JSON string. A line feed right after the opening tag and one before the closing do not count."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self._held = ""
        self._begun = False

    def put(self, text: str) -> None:
        if not self._begun:
            self._begun = True
            text = text.removeprefix("\n")
        text = self._held + text
        self._held = "\n" if text.endswith("\n") else ""
        if shown := text.removesuffix("\n"):
            self._put(json.dumps(shown, ensure_ascii=False)[1:-1])


def as_json(text: str) -> str:
    """A value of a type that is not text, or unknown: JSON where it is some, else a string."""
    text = text.strip()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        as_python = {"True": "true", "False": "false", "None": "null"}
        return as_python.get(text) or json.dumps(text, ensure_ascii=False)
    return text
