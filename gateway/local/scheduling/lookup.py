"""Guesses of what comes next, from what a text said before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Two tokens are shared by chance; three seldom are.
_GRAM_TOKENS = 3
# Three tokens as one number: less to make and to keep than a tuple. No vocabulary has a million of them.
_TOKEN_BITS = 20
_OLDER_MASK = (1 << (_GRAM_TOKENS - 1) * _TOKEN_BITS) - 1
# Of a longer prompt the end alone is looked into: a hundred bytes for each token are enough for that.
MOST_INDEXED_TOKENS: Final = 1 << 14


class Lookup:
    """The tokens of one run, and where each three of them in a row were last seen.

    It knows nothing before `catch_up` has gone through the text that it began with.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens[-MOST_INDEXED_TOKENS:])
        self._after: dict[int, int] = {}
        self._gram = 0
        self._done = 0
        self._match: int | None = None

    def catch_up(self, most: int) -> int:
        """Look at up to `most` more tokens of the text; how many those were."""
        start = self._done
        end = min(len(self._tokens), start + most)
        for at in range(start, end):
            self._see(at)
        self._done = end
        return end - start

    def add(self, token: int) -> None:
        """One more token of the text."""
        self._tokens.append(token)
        if self._done == len(self._tokens) - 1:
            self._see(self._done)
            self._done += 1

    @property
    def next(self) -> int | None:
        """What followed when the last three tokens were there before; None where they were not."""
        return None if self._match is None or self._done < len(self._tokens) else self._tokens[self._match]

    def guess(self, most: int) -> list[int]:
        """The next token and those after it.

        Where that runs into the end of the text, the text is going in circles, and goes on doing so.
        """
        if self.next is None or self._match is None:
            return []
        circle = self._tokens[self._match : self._match + most]
        while len(circle) < most:
            circle += circle[: most - len(circle)]
        return circle

    def _see(self, at: int) -> None:
        self._gram = gram = ((self._gram & _OLDER_MASK) << _TOKEN_BITS) | self._tokens[at]
        if at + 1 >= _GRAM_TOKENS:
            self._match = self._after.get(gram)
            self._after[gram] = at + 1
