"""The vocabulary as grammars need it: what each token writes, how it begins, and which tokens end a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_END: Final = 256
_NOTHING: Final = 257
_SECONDS: Final = 257


class Pieces(Protocol):
    """What of a model is asked for here."""

    vocab_size: int

    def piece(self, token: int) -> bytes: ...

    def ends_text(self, token: int) -> bool: ...


class Vocabulary:
    """All tokens of a model. `pieces` are empty for those that write nothing: control tokens, and those that end it."""

    def __init__(self, model: Pieces) -> None:
        tokens = range(model.vocab_size)
        self.ends = frozenset(token for token in tokens if model.ends_text(token))
        self.pieces = [b"" if token in self.ends else model.piece(token) for token in tokens]
        firsts = [piece[0] if piece else _NOTHING for piece in self.pieces]
        kinds = (_END if token in self.ends else first for token, first in enumerate(firsts))
        self._kinds = np.fromiter(kinds, np.int32, model.vocab_size)
        # A token of one byte has a second one that is always allowed.
        seconds = np.array([piece[1] if len(piece) > 1 else _SECONDS - 1 for piece in self.pieces], np.int32)
        self._pairs = self._kinds * _SECONDS + seconds

    def possible(self, tokens: NDArray[np.int64], first_bytes: bytes, *, can_end: bool) -> NDArray[np.bool_]:
        """Which of the tokens begin with one of the bytes, or end the text where it can end."""
        return self._table(first_bytes, can_end=can_end)[self._kinds[tokens]]

    def all_possible(self, second_bytes: dict[int, bytes], *, can_end: bool) -> NDArray[np.int64]:
        """All tokens that do, and go on with one of the bytes that may come second after that first one."""
        table = np.zeros((_NOTHING + 1, _SECONDS), np.bool_)
        for first, seconds in second_bytes.items():
            table[first, np.frombuffer(seconds, np.uint8)] = True
            table[first, -1] = True
        table[_END] = can_end
        return np.flatnonzero(table.ravel()[self._pairs])

    def _table(self, first_bytes: bytes, *, can_end: bool) -> NDArray[np.bool_]:
        table = np.zeros(_NOTHING + 1, np.bool_)
        table[np.frombuffer(first_bytes, np.uint8)] = True
        table[_END] = can_end
        return table
