"""JSON values inside a generated text, passed on as they come: all that was passed on begins valid JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.dialects.tape import Reading, Tape

MAX_DEPTH: Final = 64
_MAX_SCALAR = 400
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]+')
_SCALAR: Final = re.compile(r"[-+.0-9A-Za-z]*")
_SCALAR_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false|null")
_DIGITS: Final = re.compile(r"[0-9A-Fa-f]{0,4}")
_ESCAPES: Final = frozenset('"\\/bfnrt')

_Put = "Callable[[str], None]"


def copy_json(tape: Tape, put: Callable[[str], None]) -> Reading[bool]:
    """Pass on one value; False at the first character that cannot belong to one, or where the text ends inside.

    What models get wrong and what can only have been meant one way is put right: control characters and lone
    backslashes inside of strings.
    """
    closers: list[str] = []
    expected = "value"
    while True:
        space = yield from tape.space()
        if space:
            put(space)
        if not (yield from tape.need()):
            return False
        char = tape.text[tape.at]
        if char == '"' and expected in ("value", "item", "key", "first key"):
            if not (yield from copy_string(tape, put)):
                return False
            expected = "colon" if "key" in expected else "comma"
        elif (step := _step(char, expected, closers)) is not None:
            tape.at += 1
            put(char)
            expected = step
        elif expected in ("value", "item") and (yield from _copy_scalar(tape, put)):
            expected = "comma"
        else:
            return False
        if expected == "comma" and not closers:
            return True


def _step(char: str, expected: str, closers: list[str]) -> str | None:
    """What is expected after a character of structure; None where it is none, or not in its place."""
    if char in "{[" and expected in ("value", "item") and len(closers) < MAX_DEPTH:
        closers.append("}" if char == "{" else "]")
        return "first key" if char == "{" else "item"
    if closers and char == closers[-1] and expected in ("comma", "first key" if char == "}" else "item"):
        closers.pop()
        return "comma"
    if char == "," and expected == "comma":
        return "key" if closers[-1] == "}" else "value"
    if char == ":" and expected == "colon":
        return "value"
    return None


def copy_string(tape: Tape, put: Callable[[str], None]) -> Reading[bool]:
    """Pass on a string, which begins here."""
    put('"')
    tape.at += 1
    while True:
        if found := _PLAIN.match(tape.text, tape.at):
            put(found.group())
            tape.at = found.end()
        if not (yield from tape.need()):
            return False
        char = tape.text[tape.at]
        if char == "\\":
            if not (yield from _copy_escape(tape, put)):
                return False
            continue
        if char == '"':
            tape.at += 1
            put(char)
            return True
        if char < " ":
            tape.at += 1
            put(json.dumps(char)[1:-1])


def _copy_escape(tape: Tape, put: Callable[[str], None]) -> Reading[bool]:
    if not (yield from tape.need(2)):
        return False
    escaped = tape.text[tape.at + 1]
    if escaped == "'":
        put("'")
        tape.at += 2
    elif escaped in _ESCAPES:
        put("\\" + escaped)
        tape.at += 2
    elif escaped == "u" and (digits := (yield from _four_digits(tape))):
        put("\\u" + digits)
        tape.at += 6
    else:
        put("\\\\")
        tape.at += 1
    return True


def _four_digits(tape: Tape) -> Reading[str]:
    """The digits of an escaped character, which are not passed over; nothing where there are not four."""
    while True:
        found = _DIGITS.match(tape.text, tape.at + 2)
        digits = found.group() if found else ""
        if len(digits) == 4:
            return digits
        if tape.ended or tape.at + 2 + len(digits) < len(tape.text):
            return ""
        yield


def _copy_scalar(tape: Tape, put: Callable[[str], None]) -> Reading[bool]:
    while True:
        found = _SCALAR.match(tape.text, tape.at)
        end = found.end() if found else tape.at
        if end < len(tape.text) or tape.ended or end - tape.at > _MAX_SCALAR:
            break
        yield
    text = tape.text[tape.at : end]
    if not _SCALAR_WHOLE.fullmatch(text):
        return False
    put(text)
    tape.at = end
    return True


def read_json(tape: Tape, limit: int) -> Reading[str | None]:
    """One value as text; None where there is none, or a very long one."""
    parts = _Parts()
    copying = copy_json(tape, parts.put)
    while True:
        try:
            next(copying)
        except StopIteration as stop:
            return "".join(parts.texts) if stop.value and parts.chars <= limit else None
        if parts.chars > limit:
            return None
        yield


class _Parts:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.chars = 0

    def put(self, text: str) -> None:
        self.texts.append(text)
        self.chars += len(text)
