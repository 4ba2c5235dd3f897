"""CEL's grammar: an expression as a tree in which every part knows where in the text it stands.

Evaluating is left to the library, which knows neither types nor names before it evaluates; this tree is what they are
checked on. Messages of protocol buffers and optional members (`a.?b`) are not in the language here.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

DEPTH_MAX: Final = 40
CHARS_MAX: Final = 2000
TOKENS_MAX: Final = 400

MACROS: Final = ("all", "exists", "exists_one", "filter", "map")
RESERVED: Final = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
# From loosest to tightest; each level's operators associate to the left.
LEVELS: Final = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
_OTHER_LANGUAGES: Final = {"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||"}

_TOKEN: Final = re.compile(
    r"""
    (?P<space>(?:\s|//[^\n]*)+)
  | (?P<string>(?:[bB][rR]?|[rR])?(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<double>[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)
  | (?P<int>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)


class CelError(ValueError):
    """What is wrong with an expression, in words for its author."""


class Kind(Enum):
    LITERAL = auto()  # `name` is its type
    NAME = auto()
    MEMBER = auto()  # of the one part, called `name`
    HAS = auto()  # the one part is a MEMBER
    INDEX = auto()
    CALL = auto()  # of the function `name`
    METHOD = auto()  # the same, of the first part
    MACRO = auto()  # over the first part; `variable` is what each is called
    LIST = auto()
    MAP = auto()  # keys and values in turn
    UNARY = auto()
    BINARY = auto()
    CHOICE = auto()  # ?:


class Node(NamedTuple):
    """A part of an expression, from `start` to before `end` in its text."""

    kind: Kind
    start: int
    end: int
    name: str = ""
    parts: tuple[Node, ...] = ()
    variable: str = ""


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> Node:
    """The tree of an expression. Raises `CelError`."""
    if len(text) > CHARS_MAX:
        raise CelError(f"is longer than {CHARS_MAX} characters")
    tokens = _tokens(text)
    if len(tokens) > TOKENS_MAX:
        raise CelError(f"has more than {TOKENS_MAX} words and signs")
    parser = _Parser(tokens)
    node = parser.expression()
    parser.expect_end()
    return node


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            hint = _OTHER_LANGUAGES.get(text[at])
            said = f"; write {hint}" if hint else " (a text that is not closed?)" if text[at] in "'\"" else ""
            raise CelError(f"cannot be read at column {at + 1}{said}")
        if token.lastgroup != "space":
            found.append(Token(token.lastgroup or "", token[0], at, token.end()))
        at = token.end()
    found.append(Token("end", "", len(text), len(text)))
    return found


class _Parser:
    """Recursive descent, which bounds its own depth."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _takes(self, *signs: str) -> Token | None:
        token = self._next
        return self._take() if token.kind in ("sign", "name") and token.text in signs else None

    def _expect(self, sign: str) -> Token:
        token = self._takes(sign)
        if token is None:
            raise self._problem(f"'{sign}' is missing")
        return token

    def _problem(self, what: str) -> CelError:
        token = self._next
        hint = _OTHER_LANGUAGES.get(token.text)
        where = "at its end" if token.kind == "end" else f"at column {token.start + 1}"
        return CelError(f"{what} {where}{f'; write {hint}' if hint else ''}")

    def expect_end(self) -> None:
        if self._next.kind != "end":
            raise self._problem("has something unexpected")

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise CelError(f"is nested more than {DEPTH_MAX} levels deep")
        node = self._binary(0)
        if self._takes("?"):
            yes = self._binary(0)
            self._expect(":")
            no = self.expression()
            node = Node(Kind.CHOICE, node.start, no.end, "?:", (node, yes, no))
        self._depth -= 1
        return node

    def _binary(self, level: int) -> Node:
        if level == len(LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        while sign := self._takes(*LEVELS[level]):
            right = self._binary(level + 1)
            node = Node(Kind.BINARY, node.start, right.end, sign.text, (node, right))
        return node

    def _unary(self) -> Node:
        signs: list[Token] = []
        while sign := self._takes("!", "-"):
            signs.append(sign)
        node = self._suffixed(self._primary())
        for sign in reversed(signs):
            node = Node(Kind.UNARY, sign.start, node.end, sign.text, (node,))
        return node

    def _suffixed(self, node: Node) -> Node:
        while True:
            if self._takes("."):
                name = self._name()
                if self._takes("("):
                    node = self._called(node, name)
                else:
                    node = Node(Kind.MEMBER, node.start, name.end, name.text, (node,))
            elif self._takes("["):
                index = self.expression()
                node = Node(Kind.INDEX, node.start, self._expect("]").end, "", (node, index))
            else:
                return node

    def _name(self) -> Token:
        if self._next.kind != "name" or self._next.text in RESERVED:
            raise self._problem("a name is missing")
        return self._take()

    def _called(self, target: Node, name: Token) -> Node:
        arguments, end = self._listed(")")
        if name.text not in MACROS:
            return Node(Kind.METHOD, target.start, end, name.text, (target, *arguments))
        counts = (2, 3) if name.text == "map" else (2,)
        if len(arguments) not in counts or arguments[0].kind is not Kind.NAME:
            raise CelError(f"{name.text}() takes a name and a condition, such as {name.text}(x, x > 1)")
        return Node(Kind.MACRO, target.start, end, name.text, (target, *arguments[1:]), arguments[0].name)

    def _listed(self, close: str) -> tuple[tuple[Node, ...], int]:
        items: list[Node] = []
        while not (end := self._takes(close)):
            items.append(self.expression())
            if close == "}":
                self._expect(":")
                items.append(self.expression())
            if not self._takes(","):
                end = self._expect(close)
                break
        return tuple(items), end.end

    def _primary(self) -> Node:
        token = self._next
        if token.kind in ("string", "double", "int"):
            self._take()
            return Node(Kind.LITERAL, token.start, token.end, _literal_type(token))
        if token.text in ("true", "false", "null"):
            self._take()
            return Node(Kind.LITERAL, token.start, token.end, "null" if token.text == "null" else "bool")
        if token.kind == "name":
            return self._named()
        if self._takes("("):
            inner = self.expression()
            return inner._replace(start=token.start, end=self._expect(")").end)
        for sign, close, kind in (("[", "]", Kind.LIST), ("{", "}", Kind.MAP)):
            if self._takes(sign):
                items, end = self._listed(close)
                return Node(kind, token.start, end, "", items)
        raise self._problem("a value is missing")

    def _named(self) -> Node:
        name = self._name()
        if not self._takes("("):
            return Node(Kind.NAME, name.start, name.end, name.text)
        arguments, end = self._listed(")")
        if name.text != "has":
            return Node(Kind.CALL, name.start, end, name.text, arguments)
        if len(arguments) != 1 or arguments[0].kind is not Kind.MEMBER:
            raise CelError("has() takes a member, such as has(request.tools)")
        return Node(Kind.HAS, name.start, end, "has", arguments)


def _literal_type(token: Token) -> str:
    if token.kind == "string":
        return "bytes" if token.text[0] in "bB" else "string"
    return "uint" if token.text[-1] in "uU" and token.kind == "int" else token.kind
