"""One answer's way through its grammar, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.local.choosing.gbnf import GrammarTooLarge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.local.choosing.grammar import Grammar, Spot
    from gateway.local.choosing.vocabulary import Vocabulary

# A token that takes more steps of the recogniser than this, a third of a second, is none that others should wait for.
MAX_EFFORT: Final = 200_000
_ENOUGH = 64
_FIRST_LOOK = 64
_MAX_LOOKS = 50_000
_TOKENS_KEPT = 1024


class DeadEnd(Exception):  # noqa: N818 - it says where the grammar led
    """The grammar allows no token at all, or finding out which would take too long."""


class Constraint:
    """Where one answer stands in its grammar. The grammar and the vocabulary are shared by many."""

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary) -> None:
        """Raises `GrammarTooLarge`."""
        self._grammar = grammar
        self._vocabulary = vocabulary
        self._spot = grammar.start()
        self._began = grammar.effort

    def allows(self, token: int) -> bool:
        """Raises `DeadEnd` when it takes too long to tell."""
        known = self._spot.tokens.get(token, False)
        if known is not False:
            return known is not None
        return self._look(token) is not None

    def accept(self, token: int) -> None:
        """The text goes on with a token that is allowed."""
        if (after := self._look(token)) is not None:
            self._spot = after
        self._began = self._grammar.effort

    def possible(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the tokens begin with an allowed byte: a cheap first look at many."""
        spot = self._spot
        return self._vocabulary.possible(tokens, self._grammar.first_bytes(spot), can_end=spot.can_end)

    def likeliest(self, row: NDArray[np.float32], best: int) -> int:
        """The likeliest token that is allowed, `best` being the likeliest of all. Raises `DeadEnd`."""
        if self.allows(best):
            return best
        count = min(_FIRST_LOOK, len(row))
        some = np.argpartition(row, len(row) - count)[len(row) - count :]
        found = self._allowed(row, some[self.possible(some)], 1) or self._allowed(row, self._all_possible(), 1)
        if not found:
            raise DeadEnd
        return found[0]

    def likeliest_few(self, row: NDArray[np.float32]) -> list[int]:
        """The likeliest tokens that are allowed, best first; none at a dead end."""
        return self._allowed(row, self._all_possible(), _ENOUGH)

    def _all_possible(self) -> NDArray[np.int64]:
        spot, grammar = self._spot, self._grammar
        try:
            nexts = {byte: grammar.after(spot, bytes((byte,))) for byte in grammar.first_bytes(spot)}
        except GrammarTooLarge:
            raise DeadEnd from None
        seconds = {byte: grammar.first_bytes(after) for byte, after in nexts.items() if after is not None}
        return self._vocabulary.all_possible(seconds, can_end=spot.can_end)

    def _allowed(self, row: NDArray[np.float32], tokens: NDArray[np.int64], enough: int) -> list[int]:
        logits = row[tokens]
        order = np.argsort(-logits, kind="stable")[: min(_MAX_LOOKS, int(np.isfinite(logits).sum()))]
        found: list[int] = []
        for token in tokens[order].tolist():
            if self.allows(token):
                found.append(token)
                if len(found) == enough:
                    break
        return found

    def _look(self, token: int) -> Spot | None:
        spot = self._spot
        if token in self._vocabulary.ends:
            return spot if spot.can_end else None
        piece = self._vocabulary.pieces[token]
        try:
            after = self._grammar.after(spot, piece) if piece else None
        except GrammarTooLarge:
            raise DeadEnd from None
        if self._grammar.effort - self._began > MAX_EFFORT:
            raise DeadEnd
        if len(spot.tokens) < _TOKENS_KEPT:
            spot.tokens[token] = after
            self._grammar.kept += 1
        return after
