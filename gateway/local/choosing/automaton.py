"""Grammars as automata over bytes: states, steps by byte, and calls of other rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.local.choosing.gbnf import GrammarTooLarge
from gateway.local.choosing.notation import Alternatives, Class, Literal, NotationError, Reference, Repetition, Sequence

if TYPE_CHECKING:
    from gateway.local.choosing.notation import Node

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
        """Raises `NotationError` for a name without a rule and for texts that never end, and `GrammarTooLarge`."""
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
        self._leave_out_what_never_ends()

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
        hoping: dict[int, list[int]] = {}
        seen: set[int] = set()
        todo = list(self.starts)
        while todo:
            state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            todo += self.skips[state]
            for rule, after in self.calls[state]:
                todo += [after] if rule in empty else []
                hoping.setdefault(rule, []).append(after)
            if (ended := self.closed.get(state)) is not None:
                empty.add(ended)
                todo += hoping.get(ended, [])
        for calls, skips in zip(self.calls, self.skips, strict=True):
            skips += [after for rule, after in calls if rule in empty]

    def _leave_out_what_never_ends(self) -> None:
        """Ways from which no end can be reached, as of a rule that cannot but call itself, are taken out."""
        ending = self._ending()
        if self.starts[self.root] not in ending:
            raise NotationError("it allows no text that ever ends")
        for state in range(len(self.steps)):
            self.steps[state] = [step for step in self.steps[state] if step[2] in ending]
            self.skips[state] = [after for after in self.skips[state] if after in ending]
            self.calls[state] = [
                (rule, after) for rule, after in self.calls[state] if after in ending and self.starts[rule] in ending
            ]

    def _ending(self) -> set[int]:
        """All states from which the end of their rule can be reached."""
        before: list[list[int]] = [[] for _ in self.steps]
        callers: list[list[tuple[int, int]]] = [[] for _ in self.starts]
        calls_to: list[list[tuple[int, int]]] = [[] for _ in self.steps]
        for state in range(len(self.steps)):
            for after in [step[2] for step in self.steps[state]] + self.skips[state]:
                before[after].append(state)
            for rule, after in self.calls[state]:
                callers[rule].append((state, after))
                calls_to[after].append((rule, state))
        rules = {start: rule for rule, start in enumerate(self.starts)}
        ending: set[int] = set()
        todo = list(self.closed)
        while todo:
            state = todo.pop()
            if state in ending:
                continue
            ending.add(state)
            todo += before[state]
            todo += [caller for rule, caller in calls_to[state] if self.starts[rule] in ending]
            if (called := rules.get(state)) is not None:
                todo += [caller for caller, after in callers[called] if after in ending]
        return ending
