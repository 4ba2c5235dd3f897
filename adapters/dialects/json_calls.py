"""Calls written as JSON objects: `{"name": ..., "arguments": {...}}`, one or a list of them."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Final

from adapters.dialects.json_text import copy_json, read_json

if TYPE_CHECKING:
    from adapters.dialects.tape import Reading, Tape

NAMES: Final = frozenset(("name", "tool_name", "function"))
ARGUMENTS: Final = frozenset(("arguments", "parameters", "args", "input"))
MAX_HEAD_CHARS: Final = 16_384


class Made(Enum):
    """What an object turned out to be; a broken call has begun and cannot be taken back."""

    NO_CALL = 0
    CALL = 1
    BROKEN = 2


def read_json_calls(tape: Tape, closes: tuple[str, ...] = ()) -> Reading[bool]:
    """Calls that may be fenced, listed, and closed by a mark. False where the first object is none."""
    yield from tape.space()
    if (yield from tape.has("```")):
        yield from tape.has("json")
        yield from tape.space()
    is_list = yield from tape.has("[")
    made = 0
    while True:
        yield from tape.space()
        start = tape.anchor()
        call = yield from _object(tape)
        if call is not Made.CALL:
            if call is Made.NO_CALL:
                tape.at = start
            return made > 0 or call is Made.BROKEN
        made += 1
        yield from tape.space()
        if not (yield from _goes_on(tape, is_list=is_list)):
            break
    for close in ("]" if is_list else "", "```", *closes):
        yield from tape.space()
        if close:
            yield from tape.has(close)
    return True


def _goes_on(tape: Tape, *, is_list: bool) -> Reading[bool]:
    """Whether another call follows: after a comma in a list, else after a semicolon or nothing at all."""
    if is_list:
        return (yield from tape.has(","))
    if (yield from tape.has(";")):
        yield from tape.space()
    return (yield from tape.need()) and tape.text[tape.at] == "{"


def _object(tape: Tape) -> Reading[Made]:
    """One call: its name first, and its arguments as they come."""
    call = _Call(tape)
    if not (yield from tape.has("{")):
        return Made.NO_CALL
    while True:
        key = yield from _key(tape)
        if key is None or not (yield from call.member(key)):
            break
        yield from tape.space()
        if (yield from tape.has("}")):
            return call.end()
        if not (yield from tape.has(",")):
            break
    return Made.BROKEN if call.begun else Made.NO_CALL


class _Call:
    """A call while its members are read. Those besides name and arguments say nothing that a caller needs."""

    def __init__(self, tape: Tape) -> None:
        self.begun = False
        self._tape = tape
        self._name: str | None = None
        self._held: str | None = None

    def member(self, key: str) -> Reading[bool]:
        """Read the value of a member; False where it shows that this is no call, or cannot be read."""
        tape = self._tape
        if key == "function" and (yield from tape.need()) and tape.text[tape.at] == "{":
            made = yield from _object(tape)
            self.begun = made is not Made.NO_CALL
            self._name = self._name or ""
            return made is Made.CALL
        if key in ARGUMENTS and self._name and not self.begun:
            self.begun = True
            return (yield from _arguments(tape, self._name))
        value = yield from read_json(tape, MAX_HEAD_CHARS)
        if key in NAMES and not self._name:
            self._name = _text(value)
            if self._name not in tape.tools:
                return False
        elif key in ARGUMENTS and not self.begun:
            self._held = value
        if self._name and self._held is not None and not self.begun:
            self.begun = True
            _begin(tape, self._name, self._held)
        return value is not None

    def end(self) -> Made:
        if not self.begun and self._name:
            _begin(self._tape, self._name, "{}")
            self.begun = True
        return Made.CALL if self.begun else Made.NO_CALL


def _key(tape: Tape) -> Reading[str | None]:
    yield from tape.space()
    if not (yield from tape.need()) or tape.text[tape.at] != '"':
        return None
    key = _text((yield from read_json(tape, MAX_HEAD_CHARS)))
    yield from tape.space()
    if not (yield from tape.has(":")):
        return None
    yield from tape.space()
    return key


def _arguments(tape: Tape, name: str) -> Reading[bool]:
    """Arguments as they come; some models write their JSON once more as a string, which is read whole."""
    if (yield from tape.need()) and tape.text[tape.at] in '"n':
        value = yield from read_json(tape, MAX_HEAD_CHARS * 64)
        if value is not None:
            _begin(tape, name, value)
        else:
            tape.call(name)
        return value is not None
    tape.call(name)
    return (yield from copy_json(tape, tape.argue))


def _begin(tape: Tape, name: str, arguments: str) -> None:
    """A call whose arguments are there already."""
    written = _text(arguments)
    tape.call(name)
    tape.argue("{}" if arguments == "null" or written == "" else written or arguments)


def _text(value: str | None) -> str | None:
    """What a JSON string says; None for every other value."""
    if value is None or not value.startswith('"'):
        return None
    said = json.loads(value)
    return said if isinstance(said, str) else None
