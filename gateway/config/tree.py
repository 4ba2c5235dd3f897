"""YAML text to plain values with line numbers, bounded against what a hostile or mangled file can do.

The scalars follow YAML 1.2: only `true` and `false` are booleans, so that `region: no` stays Norway; dates stay text.
Anchors and aliases work, tags and merge keys do not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml import events

from gateway.config.problems import Malformed, Place

if TYPE_CHECKING:
    from collections.abc import Callable

BYTES_MAX: Final = 1 << 20
NODES_MAX: Final = 100_000  # after aliases are followed
DEPTH_MAX: Final = 32

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # same answers, ten times faster, in every wheel
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+)([eE][-+]?[0-9]{1,4})?")
_WORDS: Final = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(slots=True)
class Node:
    """One value of the document: a scalar, or a list or mapping of nodes. Aliases share their node."""

    line: int
    value: Any
    repeated: list[tuple[str, int, int]] = field(default_factory=list)
    key_lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tree:
    """The document as plain values, the line of each place, and what was found out while reading it."""

    values: Any
    lines: dict[Place, int] = field(default_factory=dict)
    from_references: set[Place] = field(default_factory=set)
    findings: list[tuple[Place, int, str]] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def at(self, place: Place) -> Any:  # noqa: ANN401 - whatever the file holds
        """The value at a place that exists."""
        value = self.values
        for step in place:
            value = value[step]
        return value


def compose(text: str) -> Node:
    """The document's nodes. Raises `Malformed` for what is not one YAML document of reasonable size and depth."""
    if len(text) > BYTES_MAX:
        raise Malformed(1, f"is larger than {BYTES_MAX >> 20} MiB")
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed(mark.line + 1 if mark else 1, f"is not YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise Malformed(line, "is not YAML: a control character is not allowed here") from None
    if builder.root is None:
        raise Malformed(1, "is empty")
    return builder.root


class _Builder:
    """Puts parser events together without recursion, so that depth is ours to bound."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._keys: list[tuple[str, int] | None] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: events.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, events.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
            self._start(event, line)
        elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, events.AliasEvent):
            if event.anchor not in self._anchors:
                raise Malformed(line, "is not YAML: an alias has no anchor before it")
            self._put(self._anchors[event.anchor], line)
        elif isinstance(event, events.DocumentStartEvent) and self.root is not None:
            raise Malformed(line, "holds a second YAML document")

    def _scalar(self, event: events.ScalarEvent, line: int) -> None:
        if event.tag is not None:
            raise Malformed(line, "has a YAML tag; tags are not supported")
        node = Node(line, _plain(event.value) if event.implicit[0] and not event.style else event.value)
        self._anchor(event.anchor, node)
        if self._open and isinstance(self._open[-1].value, dict) and self._keys[-1] is None:
            self._keys[-1] = (event.value, line)
        else:
            self._put(node, line)

    def _start(self, event: events.MappingStartEvent | events.SequenceStartEvent, line: int) -> None:
        if event.tag is not None:
            raise Malformed(line, "has a YAML tag; tags are not supported")
        if len(self._open) >= DEPTH_MAX:
            raise Malformed(line, f"is nested more than {DEPTH_MAX} levels deep")
        node = Node(line, {} if isinstance(event, events.MappingStartEvent) else [])
        self._anchor(event.anchor, node)
        self._put(node, line)
        self._open.append(node)
        self._keys.append(None)

    def _anchor(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _put(self, node: Node, line: int) -> None:
        if not self._open:
            self.root = node
            return
        holder = self._open[-1]
        if isinstance(holder.value, list):
            holder.value.append(node)
            return
        if self._keys[-1] is None:
            raise Malformed(line, "has a key that is not plain text")
        key, key_line = self._keys[-1]
        self._keys[-1] = None
        if key in holder.value:
            holder.repeated.append((key, key_line, holder.key_lines[key]))
        else:
            holder.value[key] = node
            holder.key_lines[key] = key_line


def _plain(text: str) -> str | int | float | bool | None:
    """An unquoted scalar by YAML 1.2's core schema."""
    word = text.lower() if text in (text.lower(), text.upper(), text.capitalize()) else text
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def unfold(root: Node, resolve: Callable[[str], str]) -> Tree:
    """Plain values for `root`. `resolve` puts a text's references in, and raises `ValueError` saying why it cannot."""
    tree = Tree(None)
    tree.values = _Unfolding(tree, resolve).value(root, (), root.line)
    return tree


class _Unfolding:
    """One walk over the nodes: aliases are followed here, so here is where their number is bounded."""

    def __init__(self, tree: Tree, resolve: Callable[[str], str]) -> None:
        self._tree = tree
        self._resolve = resolve
        self._left = NODES_MAX

    def value(self, node: Node, place: Place, line: int) -> Any:  # noqa: ANN401 - whatever the file holds
        self._left -= 1
        if self._left < 0 or len(place) > DEPTH_MAX:
            raise Malformed(node.line, "is too large once its aliases are followed")
        self._tree.lines[place] = line
        if isinstance(node.value, dict):
            return self._mapping(node, place)
        if isinstance(node.value, list):
            return [self.value(item, (*place, index), item.line) for index, item in enumerate(node.value)]
        return self._text(node.value, place, line) if isinstance(node.value, str) else node.value

    def _mapping(self, node: Node, place: Place) -> dict[str, Any]:
        for key, line, first_line in node.repeated:
            self._tree.findings.append(((*place, key), line, f"is set twice, first on line {first_line}"))
        return {key: self.value(item, (*place, key), node.key_lines[key]) for key, item in node.value.items()}

    def _text(self, text: str, place: Place, line: int) -> str:
        if "${" not in text:
            return text
        self._tree.from_references.add(place)
        try:
            return self._resolve(text)
        except ValueError as problem:
            self._tree.findings.append((place, line, str(problem)))
            return ""
