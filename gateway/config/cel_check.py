"""What a `when` means: its names and types are checked, and what it reads of the call is found.

An expression has three names, `request` and `principal`, of which it reads members, and `now`. What is read becomes a
variable of its own, so that evaluating makes no more of the call than what is asked for, and `has(request.tools)` and
`size(request.tools)` become variables too: whether a member is there and how long it is can be told without its values.
So do `now.getHours("Europe/Berlin")`, since the library knows no time zones, and `request.headers["x-tier"]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.config.cel_names import HEADER, HEADERS, NAMES, NOW, PREFIX, ROOTS, Reading
from gateway.config.cel_syntax import CelError, Kind, Node, parse
from gateway.config.cel_types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    PARTS_OF_TIME,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    called,
    compared,
    contained,
    joined,
    reckoned,
)
from gateway.config.owners import time_zone
from gateway.config.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LITERALS: Final = {"bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES}

Span = tuple[int, int]


class Checked(NamedTuple):
    """An expression whose readings have become variables, and what might be a mistake in it, or nothing.

    `source` and `tree` are what was written. Of its parts, by where they stand, `types` says the type and `places`
    which of them are readings.
    """

    source: str
    text: str
    readings: tuple[Reading, ...]
    doubt: str
    patterns: tuple[str, ...]
    tree: Node
    types: Mapping[Span, Type]
    places: Mapping[Span, Reading]


def check(text: str, headers: Collection[str] | None = ()) -> Checked:
    """Raises `CelError` for what is no condition over a call. `headers` are those that may be read, in lower case;
    None: any.
    """
    checker = _Checker(text, headers)
    tree = parse(text)
    given = checker.type_of(tree)
    if given not in (BOOL, DYN):
        raise CelError(f"must say yes or no, but gives {given}")
    return checker.result(tree)


class _Checker:
    """One walk over the tree. `scope` has the types of the names that macros make."""

    def __init__(self, text: str, headers: Collection[str] | None) -> None:
        self._text = text
        self._headers = headers
        self._types: dict[Span, Type] = {}
        self._readings: list[tuple[int, int, Reading]] = []
        self._patterns: list[str] = []
        self._doubt = ""
        self._scope: dict[str, Type] = {}

    def result(self, tree: Node) -> Checked:
        text, end = "", 0
        for start, after, reading in sorted(self._readings):
            text += self._text[end:start] + reading.variable
            end = after
        readings = tuple(dict.fromkeys(reading for *_, reading in self._readings))
        places = {(start, after): reading for start, after, reading in self._readings}
        patterns = tuple(self._patterns)
        return Checked(self._text, text + self._text[end:], readings, self._doubt, patterns, tree, self._types, places)

    def type_of(self, node: Node) -> Type:
        given = self._types[node.start, node.end] = _BY_KIND[node.kind](self, node)
        return given

    def visit_literal(self, node: Node) -> Type:
        return _LITERALS.get(node.name, NULL)

    def visit_list(self, node: Node) -> Type:
        return Type("list", joined([self.type_of(part) for part in node.parts]))

    def visit_map(self, node: Node) -> Type:
        return Type("map", joined([self.type_of(part) for part in node.parts][1::2]))

    def visit_name(self, node: Node) -> Type:
        if node.name in self._scope:
            return self._scope[node.name]
        if node.name == NOW:
            return self._note(node, Reading(NOW, "", "value", TIMESTAMP))
        if node.name in ROOTS:
            raise CelError(f"{node.name} is no value by itself: write {node.name}.NAME")
        near = " or ".join(f"'{root}.{node.name}'" for root, members in ROOTS.items() if node.name in members)
        raise CelError(
            f"there is no '{node.name}'{f' (did you mean {near}?)' if near else ': only request, principal and now'}"
        )

    def _note(self, node: Node, reading: Reading) -> Type:
        self._readings.append((node.start, node.end, reading))
        return {"has": BOOL, "size": INT}.get(reading.what, reading.type)

    def _read(self, node: Node, what: str = "value") -> Type | None:
        """The type of `request.NAME` or `request["NAME"]`, or of a header; None where the node is neither."""
        if node.kind not in (Kind.MEMBER, Kind.INDEX):
            return None
        if self._is_headers(node.parts[0]):
            return self._read_header(node, node.name or self._text_of(node.parts[1]), what)
        root = node.parts[0].name
        if node.parts[0].kind is not Kind.NAME or root not in ROOTS:
            return None
        name = node.name or self._quoted(node.parts[1])
        if (root, name) == ("request", HEADERS):
            raise CelError("request.headers is read by name, such as request.headers['x-tier']")
        known = ROOTS[root]
        if name not in known:
            near = did_you_mean(name, known)
            if root == "principal":
                raise CelError(f"principal has no '{name}'{near or ': it has ' + ', '.join(known)}")
            self._doubt = self._doubt or (f"request.{name} is in no endpoint's body{near}" if near else "")
        return self._note(node, Reading(root, name, what, known.get(name, DYN)))

    def _is_headers(self, node: Node) -> bool:
        """Whether it is `request.headers`, however that is written."""
        if node.kind not in (Kind.MEMBER, Kind.INDEX) or node.parts[0].kind is not Kind.NAME:
            return False
        return node.parts[0].name == "request" and HEADERS in (
            node.name,
            "" if node.name else self._text_of(node.parts[1]),
        )

    def _read_header(self, node: Node, name: str | None, what: str) -> Type:
        if not name:
            raise CelError("a header is named in the policy, such as request.headers['x-tier']")
        lower = name.lower()
        if self._headers is not None and lower not in self._headers:
            near = did_you_mean(lower, list(self._headers))
            raise CelError(f"the header '{lower}' is not among server.when_headers, which conditions may read{near}")
        return self._note(node, Reading(HEADER, lower, "has" if what == "has" else "value", STRING))

    def _text_of(self, node: Node) -> str | None:
        """What a plain text in quotes says; None for anything else."""
        text = self._text[node.start : node.end]
        if node.kind is not Kind.LITERAL or node.name != "string" or "\\" in text or text[0] not in "'\"":
            return None
        return text.strip(text[0])

    def _quoted(self, node: Node) -> str:
        text = self._text[node.start : node.end]
        name = text[1:-1]
        if node.kind is not Kind.LITERAL or node.name != "string" or not name.isidentifier() or not name.isascii():
            raise CelError("a member of request or principal is named in the policy, such as request.user")
        return name

    def visit_member(self, node: Node) -> Type:
        inner = node.parts[0] if node.kind is Kind.HAS else node
        if (read := self._read(inner, "has" if node.kind is Kind.HAS else "value")) is not None:
            if node.kind is Kind.HAS:
                *_, reading = self._readings.pop()
                self._note(node, reading)
            return read
        holder = self.type_of(inner.parts[0])
        if holder != DYN and holder.name != "map":
            raise CelError(f"asks {holder} for its member '{inner.name}', but only maps have members")
        return BOOL if node.kind is Kind.HAS else holder.items

    def visit_index(self, node: Node) -> Type:
        if (read := self._read(node)) is not None:
            return read
        holder, index = (self.type_of(part) for part in node.parts)
        if holder.name == "list" and index.name not in ("int", "uint", "dyn"):
            raise CelError(f"counts the items of a list by {index}")
        if holder.name not in ("list", "map", "dyn"):
            raise CelError(f"looks with [ ] into {holder}; only lists and maps have items")
        return holder.items

    def visit_macro(self, node: Node) -> Type:
        name, variable = node.name, node.variable
        known = len(self._readings)
        over = self.type_of(node.parts[0])
        if self._scope and len(self._readings) > known:
            # Once per item of the outer one, over a list that the caller makes as long as it likes.
            raise CelError(f"{name}() inside another may go over that one's items only, not over the request again")
        if over.name not in ("list", "map", "dyn"):
            raise CelError(f"{name}() goes over a list or a map, not over {over}")
        if variable in NAMES or variable.startswith(PREFIX):
            raise CelError(f"{name}() must call its items something other than '{variable}'")
        outer = dict(self._scope)
        self._scope[variable] = over.items if over.name == "list" else STRING if over.name == "map" else DYN
        *conditions, last = [self.type_of(part) for part in node.parts[1:]]
        self._scope = outer
        if name != "map":
            conditions, last = [last], BOOL
        if any(condition not in (BOOL, DYN) for condition in conditions):
            raise CelError(f"the condition of {name}() must say yes or no, but gives {conditions[0]}")
        return Type("list", last) if name == "map" else over if name == "filter" else BOOL

    def visit_call(self, node: Node) -> Type:
        if node.name == "size" and len(node.parts) == 1:
            at = len(self._readings)
            read = self._read(node.parts[0], "size")
            if read is not None and self._readings[at][2].type.name in ("list", "map"):
                self._readings[at] = (node.start, node.end, self._readings[at][2])
                return read
            del self._readings[at:]
        if node.kind is Kind.METHOD and node.name == "matches":
            self._pattern(node)
        if node.kind is Kind.METHOD and node.name in PARTS_OF_TIME and self._is_now(node.parts[0]):
            return self._part_of_now(node)
        types = tuple(self.type_of(part) for part in node.parts)
        return called(node.name, types, is_method=node.kind is Kind.METHOD)

    def _is_now(self, node: Node) -> bool:
        return node.kind is Kind.NAME and node.name == NOW

    def _part_of_now(self, node: Node) -> Type:
        zone = "UTC" if len(node.parts) == 1 else self._text_of(node.parts[1])
        if zone is None or len(node.parts) > 2:
            raise CelError(f"{node.name}() takes a time zone in quotes, such as now.{node.name}('Europe/Berlin')")
        try:
            time_zone(zone)
        except ValueError:
            raise CelError(f"there is no time zone '{zone}' on this machine; write it as Europe/Berlin") from None
        return self._note(node, Reading(NOW, f"{node.name} {zone}", "value", INT))

    def _pattern(self, node: Node) -> None:
        """A pattern stands in the policy: one from a caller would be compiled for each call, at whatever cost."""
        if len(node.parts) == 2:
            pattern = node.parts[1]
            if pattern.kind is not Kind.LITERAL:
                raise CelError("matches() takes a pattern that stands here, in quotes")
            self._patterns.append(self._text[pattern.start : pattern.end])

    def visit_operator(self, node: Node) -> Type:
        if node.name == "in" and self._is_headers(node.parts[1]):
            return self._read_header(node, self._text_of(node.parts[0]), "has")
        types = [self.type_of(part) for part in node.parts]
        if node.kind is Kind.CHOICE:
            self._wants_bool(types[:1], "?")
            if types[1] != types[2] and DYN not in types[1:]:
                raise CelError(f"gives {types[1]} or {types[2]} after ?, which should be of one type")
            return joined(types[1:])
        if node.name in ("&&", "||") or (node.name == "!" and node.kind is Kind.UNARY):
            self._wants_bool(types, node.name)
            return BOOL
        if node.kind is Kind.UNARY:
            if types[0] not in (INT, DOUBLE, DYN):
                raise CelError(f"-{types[0]} means nothing")
            return types[0]
        if node.name == "in":
            return contained(types[0], types[1])
        return (reckoned if node.name in "+-*/%" else compared)(node.name, types[0], types[1])

    def _wants_bool(self, types: list[Type], sign: str) -> None:
        for given in types:
            if given not in (BOOL, DYN):
                raise CelError(f"'{sign}' takes conditions, but one side gives {given}")


_BY_KIND: Final = {
    Kind.LITERAL: _Checker.visit_literal,
    Kind.NAME: _Checker.visit_name,
    Kind.MEMBER: _Checker.visit_member,
    Kind.HAS: _Checker.visit_member,
    Kind.INDEX: _Checker.visit_index,
    Kind.MACRO: _Checker.visit_macro,
    Kind.CALL: _Checker.visit_call,
    Kind.METHOD: _Checker.visit_call,
    Kind.LIST: _Checker.visit_list,
    Kind.MAP: _Checker.visit_map,
    Kind.UNARY: _Checker.visit_operator,
    Kind.BINARY: _Checker.visit_operator,
    Kind.CHOICE: _Checker.visit_operator,
}
