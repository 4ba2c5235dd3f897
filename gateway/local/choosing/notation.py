"""Grammars in llama.cpp's notation, read into trees: what an automaton is made of.

    root ::= "{" ws (member ("," member)*)? "}"    one rule a line; a line that is indented goes on

Understood are literals, classes of ASCII characters, groups, alternatives, `?`, `*`, `+`, `{2}`, `{2,}`, `{2,5}` and
names of rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_NESTING = 100

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<literal>"(?:[^"\\]|\\.)*")
      | (?P<class>\[(?:[^\]\\]|\\.)*\])
      | (?P<repeat>\{\d{1,6}(?:,\d{0,6})?\}|[?*+])
      | (?P<name>[A-Za-z0-9-]+)
      | (?P<mark>[()|])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_RULE = re.compile(r"^([A-Za-z0-9-]+)[ \t]*::=", re.MULTILINE)


class NotationError(ValueError):
    """The text is no grammar."""


class Literal(NamedTuple):
    data: bytes


class Class(NamedTuple):
    """One character: of these ranges of ASCII, or with `negated` any other character at all."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool


class Reference(NamedTuple):
    rule: str


class Sequence(NamedTuple):
    parts: tuple[Node, ...]


class Alternatives(NamedTuple):
    branches: tuple[Node, ...]


class Repetition(NamedTuple):
    """`most` None: without end."""

    node: Node
    least: int
    most: int | None


Node = Literal | Class | Reference | Sequence | Alternatives | Repetition


def read_rules(text: str) -> dict[str, Node]:
    """The rules by name. Raises `NotationError`."""
    heads = list(_RULE.finditer(text))
    if not heads or text[: heads[0].start()].strip():
        raise NotationError("it does not begin with a rule")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {head[1]: _Reader(text[head.end() : end]).all() for head, end in zip(heads, ends, strict=True)}


class _Reader:
    """One rule's body, read from left to right."""

    def __init__(self, body: str) -> None:
        self._tokens = _tokens(body)
        self._at = 0
        self._depth = 0

    def all(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._tokens):
            raise NotationError("it closes a group that was not opened")
        return node

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _alternatives(self) -> Node:
        branches = [self._sequence()]
        while self._peek() == ("mark", "|"):
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (token := self._peek())[0] and token not in (("mark", "|"), ("mark", ")")):
            self._at += 1
            if token[0] != "repeat":
                parts.append(self._item(*token))
            elif parts:
                parts.append(_repetition(parts.pop(), token[1]))
            else:
                raise NotationError("it repeats nothing")
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _item(self, kind: str, text: str) -> Node:
        if kind == "literal":
            return Literal(_unescaped(text[1:-1]).encode())
        if kind == "class":
            return _class(text[1:-1])
        if kind == "name":
            return Reference(text)
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise NotationError(f"its groups are nested more than {MAX_NESTING} deep")
        node = self._alternatives()
        if self._peek() != ("mark", ")"):
            raise NotationError("a group is not closed")
        self._at += 1
        self._depth -= 1
        return node


def _tokens(body: str) -> list[tuple[str, str]]:
    tokens, at, end = [], 0, len(body.rstrip())
    while at < end:
        found = _TOKEN.match(body, at)
        if found is None:
            raise NotationError(f"it makes no sense at {body[at : at + 20]!r}")
        kind = found.lastgroup or ""
        tokens.append((kind, found[kind]))
        at = found.end()
    return tokens


def _repetition(node: Node, sign: str) -> Repetition:
    if sign in "?*+":
        return Repetition(node, int(sign == "+"), 1 if sign == "?" else None)
    least, comma, most = sign[1:-1].partition(",")
    if not comma:
        return Repetition(node, int(least), int(least))
    if most and int(most) < int(least):
        raise NotationError("a repetition ends before it begins")
    return Repetition(node, int(least), int(most) if most else None)


def _class(body: str) -> Class:
    negated = body.startswith("^")
    chars = [(_unescaped(item), item) for item in re.findall(r"\\x[0-9A-Fa-f]{2}|\\.|.", body[negated:], re.DOTALL)]
    if any(not char.isascii() or len(char) != 1 for char, _ in chars):
        raise NotationError("a class holds something other than ASCII characters")
    ranges: list[tuple[int, int]] = []
    at = 0
    while at < len(chars):
        low = high = ord(chars[at][0])
        # A dash between two characters makes a range of them; first or last it stands for itself.
        if at + 2 < len(chars) and chars[at + 1][1] == "-":
            high = ord(chars[at + 2][0])
            at += 2
        ranges.append((low, high))
        at += 1
    return Class(tuple(ranges), negated)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]), text)
