"""Calls written in notations that are nearly JSON, or nearly Python, and are turned into JSON as they come."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.dialects.json_calls import read_json_calls
from adapters.dialects.json_text import MAX_DEPTH
from adapters.dialects.tagged_calls import as_json
from adapters.dialects.tape import Marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.dialects.tape import Reading, Tape

_OPENERS: Final = "{["
_BARE: Final = re.compile(r"[^\s,:={}\[\]()\"'<]*")
_MAX_BARE = 400
_PARENTHESIS: Final = Marks("(", "\n", '"', "{")
_BRACE: Final = Marks("{")


@dataclass(frozen=True)
class Notation:
    """How strings are quoted: with backslashes inside, or without, or without."""

    quotes: tuple[str, ...]
    escapes: bool


GEMMA: Final = Notation(('<|"|>',), escapes=False)
FUNCTION_GEMMA: Final = Notation(("<escape>",), escapes=False)
PYTHON: Final = Notation(("'", '"'), escapes=True)


def read_gemma(tape: Tape, notation: Notation, close: str) -> Reading[bool]:
    """After the mark: `call:name{key:value,...}` and the closing mark."""
    head = (yield from tape.upto(_BRACE)) if (yield from tape.has("call:")) else None
    name = head[0].strip() if head is not None else ""
    if name not in tape.tools:
        return False
    tape.call(name)
    if (yield from copy_loose(tape, tape.argue, notation, "}")):
        yield from tape.space()
        yield from tape.has(close)
    return True


def read_python_calls(tape: Tape, close: str = "") -> Reading[bool]:
    """`[name(key=value, ...), ...]`; some models write JSON between the same marks."""
    yield from tape.space()
    start = tape.anchor()
    is_list = yield from tape.has("[")
    yield from tape.space()
    if (yield from tape.need()) and tape.text[tape.at] == "{":
        tape.at = start
        return (yield from read_json_calls(tape, (close,) if close else ()))
    made = False
    while True:
        yield from tape.space()
        start = tape.anchor()
        head = yield from tape.upto(_PARENTHESIS)
        name = head[0].strip().removesuffix(".call") if head is not None and head[1] == "(" else ""
        if name not in tape.tools:
            tape.at = start
            break
        made = True
        tape.call(name)
        if not (yield from copy_loose(tape, tape.argue, PYTHON, ")")):
            return True
        yield from tape.space()
        if not (is_list and (yield from tape.has(","))):
            break
    if made:
        for end in ("]" if is_list else "", close):
            yield from tape.space()
            if end:
                yield from tape.has(end)
    return made


def copy_loose(tape: Tape, put: Callable[[str], None], notation: Notation, closer: str) -> Reading[bool]:
    """Pass on an object whose opening has been read, as JSON; False where it cannot go on."""
    put("{")
    closers = [closer]
    expected = "key"
    while closers:
        yield from tape.space()
        if not (yield from tape.need()):
            return False
        char = tape.text[tape.at]
        if char == closers[-1] and expected != "value":
            tape.at += 1
            put("]" if closers.pop() == "]" else "}")
            expected = "comma"
        elif char == "," and expected == "comma":
            yield from _comma(tape, put, closers[-1])
            expected = "item" if closers[-1] == "]" else "key"
        elif expected == "comma":
            return False
        elif expected == "key":
            if not (yield from _key(tape, put, notation, "=" if closers[-1] == ")" else ":")):
                return False
            expected = "value"
        elif char in _OPENERS and len(closers) < MAX_DEPTH:
            tape.at += 1
            put("{" if char == "{" else "[")
            closers.append("}" if char == "{" else "]")
            expected = "key" if char == "{" else "item"
        elif (yield from _scalar(tape, put, notation)):
            expected = "comma"
        else:
            return False
    return True


def _comma(tape: Tape, put: Callable[[str], None], closer: str) -> Reading[None]:
    """A comma, which Python allows after the last one too."""
    tape.at += 1
    yield from tape.space()
    if (yield from tape.need()) and tape.text[tape.at] != closer:
        put(", ")


def _key(tape: Tape, put: Callable[[str], None], notation: Notation, assigns: str) -> Reading[bool]:
    if not (yield from _quoted(tape, put, notation)):
        bare = yield from _bare(tape)
        if not bare:
            return False
        put(json.dumps(bare, ensure_ascii=False))
    yield from tape.space()
    put(": ")
    return (yield from tape.has(assigns))


def _scalar(tape: Tape, put: Callable[[str], None], notation: Notation) -> Reading[bool]:
    if (yield from _quoted(tape, put, notation)):
        return True
    bare = yield from _bare(tape)
    if bare:
        put(as_json(bare))
    return bool(bare)


def _bare(tape: Tape) -> Reading[str]:
    while True:
        found = _BARE.match(tape.text, tape.at)
        end = found.end() if found else tape.at
        if end < len(tape.text) or tape.ended or end - tape.at > _MAX_BARE:
            break
        yield
    bare = tape.text[tape.at : end]
    tape.at = end
    return "" if tape.ended and end == len(tape.text) else bare


def _quoted(tape: Tape, put: Callable[[str], None], notation: Notation) -> Reading[bool]:
    """A string, passed on as it comes. False where none begins here."""
    for quote in notation.quotes:
        if (yield from tape.has(quote)):
            put('"')
            inside = Marks(quote, "\\") if notation.escapes else Marks(quote)
            while True:
                mark = yield from tape.pass_until(inside, lambda text: put(_escaped(text)))
                if mark == "\\" and (yield from tape.need()):
                    escaped = tape.text[tape.at]
                    tape.at += 1
                    put(_escaped(_PYTHON_ESCAPES.get(escaped, escaped)))
                    continue
                break
            if mark == quote:
                put('"')
            return True
    return False


_PYTHON_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
