"""llama.cpp's grammar notation: a book of rules, literals, and the rules for JSON's own values."""

from __future__ import annotations

import json
from typing import Any

MAX_RULES = 5000
MAX_GRAMMAR_CHARS = 500_000

_HEX = "[0-9a-fA-F]"
# Escapes of lone surrogates are left out: they are legal JSON that no JSON library likes to read.
_ESCAPE = rf'"\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] {_HEX}{{3}} | [dD] [0-7] {_HEX}{{2}}))'

JSON_RULES = {
    "ws": r'| " " | "\n" [ \t]{0,20}',
    "char": rf'[^"\\\x7F\x00-\x1F] | {_ESCAPE}',
    "string": r'"\"" char* "\""',
    "int": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": '"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": 'string ws ":" ws value',
    "object": '"{" ws (member ws ("," ws member ws)*)? "}"',
    "array": '"[" ws (value ws ("," ws value ws)*)? "]"',
    "value": "object | array | string | number | boolean | null",
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? '
    '("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])',
    "uuid": f'{_HEX}{{8}} "-" {_HEX}{{4}} "-" {_HEX}{{4}} "-" {_HEX}{{4}} "-" {_HEX}{{12}}',
}


class GrammarTooLarge(Exception):  # noqa: N818 - it states a fact about the grammar
    """More rules than any honest schema needs."""


class RuleBook:
    """The rules of one grammar, each under a name of its own."""

    def __init__(self) -> None:
        self._rules = dict(JSON_RULES)
        self._names: dict[str, str] = {}
        self._chars = 0

    def add(self, body: str) -> str:
        """The name of a rule with this body: equal ones are one, so that what they read is not read twice."""
        if (name := self._names.get(body)) is None:
            name = self._names[body] = self.reserve()
            self.define(name, body)
        return name

    def reserve(self) -> str:
        """A name for a rule that is defined later, so that it may refer to itself."""
        if len(self._rules) > MAX_RULES:
            raise GrammarTooLarge
        name = f"r{len(self._rules)}"
        self._rules[name] = ""
        return name

    def define(self, name: str, body: str) -> None:
        self._chars += len(body)
        if self._chars > MAX_GRAMMAR_CHARS:
            raise GrammarTooLarge
        self._rules[name] = body

    def text(self, root: str) -> str:
        return "\n".join(f"{name} ::= {body}" for name, body in [("root", root), *self._rules.items()])


_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(text: str) -> str:
    """Exactly this text. Raises `ValueError` for half a surrogate pair, which no text can hold."""
    text.encode()
    return '"' + "".join(_ESCAPED.get(char) or _plain(char) for char in text) + '"'


def json_literal(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Exactly this JSON value, as compactly as `json.dumps` writes it."""
    return literal(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _plain(char: str) -> str:
    return char if char >= " " and char != "\x7f" else f"\\x{ord(char):02X}"
