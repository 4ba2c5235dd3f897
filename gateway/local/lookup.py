"""Guesses of what comes next, from what a text said before."""

from __future__ import annotations

# Two tokens are shared by chance; three seldom are.
_GRAM_TOKENS = 3


class Lookup:
    """The tokens of one run, and where each three of them in a row were last seen."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self._match: int | None = None
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """One more token of the text."""
        self._tokens.append(token)
        if len(self._tokens) >= _GRAM_TOKENS:
            gram = tuple(self._tokens[-_GRAM_TOKENS:])
            self._match = self._after.get(gram)
            self._after[gram] = len(self._tokens)

    def guess(self, most: int) -> list[int]:
        """What followed when the last three tokens were there before; nothing where they were not.

        Where that runs into the end of the text, the text is going in circles, and goes on doing so.
        """
        if self._match is None:
            return []
        circle = self._tokens[self._match : self._match + most]
        while len(circle) < most:
            circle += circle[: most - len(circle)]
        return circle
