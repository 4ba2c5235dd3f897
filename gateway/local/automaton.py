"""Grammars as automata over bytes: states, steps by byte, and calls of other rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.local.gbnf import GrammarTooLarge
from gateway.local.notation import Alternatives, Class, Literal, NotationError, Reference, Repetition, Sequence

if TYPE_CHECKING:
    from gateway.local.notation import Node

MAX_STATES = 60_000

# All well-formed UTF-8 of two to four bytes, as RFC 3629 spells it: every row is one way, byte range after byte range.
_TAIL = (0x80, 0xBF)
_BEYOND_ASCII = (
    ((0xC2, 0xDF), _TAIL),
    ((0xE0, 0xE0), (0xA0, 0xBF), _TAIL),
    ((0xE1, 0xEC), _TAIL, _TAIL),
    ((0xED, 0xED), (0x80, 0x9F), _TAIL),
    ((0xEE, 0xEF), _TAIL, _TAIL),
    ((0xF0, 0xF0), (0x90, 0xBF), _TAIL, _TAIL),
    ((0xF1, 0xF3), _TAIL, _TAIL, _TAIL),
    ((0xF4, 0xF4), (0x80, 0x8F), _TAIL, _TAIL),
)


class Automaton:
    """The states of all rules. Rules go by number; `starts` are their first states, `closed` tells whose end one is.

    `steps[state]` are (lowest byte, highest byte, next state), `calls[state]` are (rule, state after it), and
    `skips[state]` are states that are reached without a byte.
    """

    def __init__(self, rules: dict[str, Node], root: str) -> None:
        """Raises `NotationError` for a name without a rule and `GrammarTooLarge`."""
        self.steps: list[list[tuple[int, int, int]]] = []
        self.calls: list[list[tuple[int, int]]] = []
        self.skips: list[list[int]] = []
        self.closed: dict[int, int] = {}
        self._numbers = {name: number for number, name in enumerate(rules)}
        self.starts = [self._state() for _ in rules]
        if root not in rules:
            raise NotationError(f"there is no rule {root}")
        self.root = self._numbers[root]
        for number, node in enumerate(rules.values()):
            end = self._state()
            self.closed[end] = number
            self._build(node, self.starts[number], end)
        self._skip_what_may_be_empty()

    def _state(self) -> int:
        if len(self.steps) >= MAX_STATES:
            raise GrammarTooLarge
        self.steps.append([])
        self.calls.append([])
        self.skips.append([])
        return len(self.steps) - 1

    def _build(self, node: Node, start: int, end: int) -> None:
        """States between `start` and `end` that read what the node allows."""
        match node:
            case Literal():
                self._chain([(byte, byte) for byte in node.data], start, end)
            case Class():
                self._class(node, start, end)
            case Reference():
                if node.rule not in self._numbers:
                    raise NotationError(f"there is no rule {node.rule}")
                self.calls[start].append((self._numbers[node.rule], end))
            case Sequence():
                for part in node.parts:
                    self._build(part, start, start := self._state())
                self.skips[start].append(end)
            case Alternatives():
                for branch in node.branches:
                    self._build(branch, start, end)
            case Repetition():
                self._repeat(node, start, end)

    def _chain(self, ranges: list[tuple[int, int]], start: int, end: int) -> None:
        for low, high in ranges[:-1]:
            self.steps[start].append((low, high, start := self._state()))
        if ranges:
            self.steps[start].append((*ranges[-1], end))
        else:
            self.skips[start].append(end)

    def _class(self, node: Class, start: int, end: int) -> None:
        if not node.negated:
            self.steps[start] += [(low, high, end) for low, high in node.ranges]
            return
        low = 0
        for banned, last in sorted(node.ranges):
            if banned > low:
                self.steps[start].append((low, banned - 1, end))
            low = max(low, last + 1)
        if low < 0x80:
            self.steps[start].append((low, 0x7F, end))
        for way in _BEYOND_ASCII:
            self._chain(list(way), start, end)

    def _repeat(self, node: Repetition, start: int, end: int) -> None:
        # A state of its own to come back to: steps that already leave `start` must not become part of the loop.
        self.skips[start].append(at := self._state())
        for _ in range(node.least):
            self._build(node.node, at, at := self._state())
        if node.most is None:
            self.skips[at].append(loop := self._state())
            self._build(node.node, loop, back := self._state())
            self.skips[back].append(loop)
            self.skips[loop].append(end)
            return
        self.skips[at].append(end)
        for _ in range(node.most - node.least):
            self._build(node.node, at, at := self._state())
            self.skips[at].append(end)

    def _skip_what_may_be_empty(self) -> None:
        """A call of a rule that may be empty is also a skip."""
        empty: set[int] = set()
        while found := {number for number in range(len(self.starts)) if number not in empty and self._is_empty(number)}:
            empty |= found
            for calls, skips in zip(self.calls, self.skips, strict=True):
                skips += [after for rule, after in calls if rule in found]

    def _is_empty(self, number: int) -> bool:
        seen: set[int] = set()
        todo = [self.starts[number]]
        while todo:
            state = todo.pop()
            if self.closed.get(state) == number:
                return True
            if state not in seen:
                seen.add(state)
                todo += self.skips[state]
        return False
