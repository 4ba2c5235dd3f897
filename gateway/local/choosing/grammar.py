"""What a grammar allows next: a recogniser that is fed bytes and remembers every step that it has taken before.

It is Earley's algorithm ("An efficient context-free parsing algorithm", 1970) on automata. A *spot* is all that the
text so far may still become. Spots that mean the same are one object, so that after a few tokens nearly every step is a
look-up; checking a token takes about a microsecond, where llama.cpp's own sampler needs some thirty. And where that one
follows all readings of a text at once, whose number may double with every character, a spot is never larger than the
grammar is: `MAX_ITEMS` is a bound that honest schemas do not come near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.local.choosing.automaton import Automaton
from gateway.local.choosing.gbnf import GrammarTooLarge
from gateway.local.choosing.notation import read_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    Item = tuple[int, "Spot"]

MAX_ITEMS = 20_000
# What is remembered is forgotten at so many entries, some 10 MB: a schema costs nothing, so callers may send many. A
# spot weighs as much as ten of the steps and tokens that lead on from it.
_KEPT_ENTRIES = 100_000
_SPOT_ENTRIES = 10


class Spot:
    """A place in texts of a grammar.

    `items` are the states it is in, each with the spot where its rule began; `waiting` says, for the rules that begin
    here, where their callers go on. `can_end`: the text may end here.
    """

    __slots__ = ("can_end", "first_bytes", "items", "next", "tokens", "waiting")

    def __init__(self, items: tuple[Item, ...], waiting: dict[int, list[Item]], *, can_end: bool) -> None:
        self.items = items
        self.waiting = waiting
        self.can_end = can_end
        self.first_bytes: bytes | None = None
        self.next: dict[int, Spot | None] = {}
        self.tokens: dict[int, Spot | None] = {}


class Grammar:
    """One grammar, ready to be walked by any number of texts and threads at once.

    `effort` grows with work done, and `kept` with what is remembered of it, until that is forgotten.
    """

    def __init__(self, text: str) -> None:
        """Raises `NotationError` and `GrammarTooLarge`."""
        self.effort = 0
        self.kept = 0
        self._automaton = Automaton(read_rules(text), "root")
        self._spots: dict[tuple[frozenset[Item], bool], Spot] = {}
        self._nowhere = Spot((), {}, can_end=False)

    def start(self) -> Spot:
        """Where every text begins. Raises `GrammarTooLarge`."""
        first = (self._automaton.starts[self._automaton.root], self._nowhere)
        spot = self._settled([first])
        if spot is None:
            raise GrammarTooLarge
        return spot

    def after(self, spot: Spot, data: bytes) -> Spot | None:
        """Where the bytes lead; None where they are not allowed. Raises `GrammarTooLarge`."""
        at = spot
        for byte in data:
            following = at.next[byte] if byte in at.next else self._step(at, byte)
            if following is None:
                return None
            at = following
        return at

    def first_bytes(self, spot: Spot) -> bytes:
        """All bytes that are allowed next."""
        if spot.first_bytes is None:
            steps = self._automaton.steps
            ranges = {(low, high) for state, _ in spot.items for low, high, _ in steps[state]}
            spot.first_bytes = bytes(sorted({byte for low, high in ranges for byte in range(low, high + 1)}))
        return spot.first_bytes

    def _step(self, spot: Spot, byte: int) -> Spot | None:
        steps = self._automaton.steps
        reached = [
            (target, origin)
            for state, origin in spot.items
            for low, high, target in steps[state]
            if low <= byte <= high
        ]
        self.effort += len(spot.items)
        self.kept += 1
        found = spot.next[byte] = self._settled(reached) if reached else None
        return found

    def _settled(self, reached: Iterable[Item]) -> Spot | None:
        """The spot of these states and of all that follow from them without a byte: skips, and ends of rules."""
        automaton = self._automaton
        seen: set[Item] = set()
        active: set[Item] = set()
        todo = list(reached)
        can_end = False
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen.add(item)
            state, origin = item
            if automaton.steps[state] or automaton.calls[state]:
                active.add(item)
            todo += [(target, origin) for target in automaton.skips[state]]
            if (rule := automaton.closed.get(state)) is not None:
                can_end = can_end or origin is self._nowhere
                todo += origin.waiting.get(rule, ())
            if len(seen) > MAX_ITEMS:
                raise GrammarTooLarge
        self.effort += len(seen)
        return self._spot(frozenset(active), can_end=can_end) if active or can_end else None

    def _spot(self, active: frozenset[Item], *, can_end: bool) -> Spot:
        key = (active, can_end)
        known = self._spots.get(key)
        if known is None:
            if self.kept >= _KEPT_ENTRIES:
                self._spots, self.kept = {}, 0
            self.kept += _SPOT_ENTRIES
            known = self._spots[key] = self._begin_rules(active, can_end=can_end)
        return known

    def _begin_rules(self, active: frozenset[Item], *, can_end: bool) -> Spot:
        """A new spot, with the rules that its items call begun."""
        automaton = self._automaton
        spot = Spot((), {}, can_end=can_end)
        items: set[Item] = set()
        todo: list[Item] = list(active)
        seen: set[Item] = set()
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen.add(item)
            state, origin = item
            if automaton.steps[state]:
                items.add(item)
            for rule, after in automaton.calls[state]:
                if rule not in spot.waiting:
                    spot.waiting[rule] = []
                    todo.append((automaton.starts[rule], spot))
                spot.waiting[rule].append((after, origin))
            if origin is spot:
                todo += [(target, spot) for target in automaton.skips[state]]
            if len(seen) > MAX_ITEMS:
                raise GrammarTooLarge
        self.effort += len(seen)
        spot.items = tuple(items)
        return spot
