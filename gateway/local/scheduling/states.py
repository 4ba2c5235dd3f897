"""What slots knew: copies of their cells in memory, found by the tokens that they were computed from."""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from policies.placement import common_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

# Texts are looked up by how they begin, and then compared. What has less in common is not worth a copy.
HEAD_TOKENS: Final = 32
_TOKEN_BYTES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A copy of `cells` cells, of which `tokens` may be used, by prompts of this scope."""

    scope: str
    tokens: array[int]
    cells: int
    state: NDArray[np.uint8]

    @property
    def size_bytes(self) -> int:
        return self.state.nbytes + _TOKEN_BYTES * len(self.tokens)


class Folder(Protocol):
    """Where copies outlive the process."""

    def write(self, kept: Kept) -> None: ...

    def use(self, kept: Kept) -> None: ...

    def drop(self, kept: Kept) -> None: ...


class StateStore:
    """Copies up to `max_bytes` together; those that were of no use for longest leave. Any thread may call."""

    def __init__(self, max_bytes: int, folder: Folder | None = None) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # In the order of use.
        self._kept: dict[Kept, None] = {}
        self._by_head: dict[tuple[str, bytes], list[Kept]] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, scope: str, tokens: Sequence[int]) -> tuple[Kept, int] | None:
        """The copy that has most in common with a text, and how many tokens."""
        text = _packed(tokens)
        with self._lock:
            same = list(self._by_head.get(_head(scope, text), ()))
        shared = [common_tokens(kept.tokens, text) for kept in same]
        return max(zip(same, shared, strict=True), key=lambda pair: pair[1], default=None)

    def holds(self, scope: str, tokens: Sequence[int]) -> bool:
        """Whether all of the text is in one of the copies."""
        found = self.find(scope, tokens)
        return found is not None and found[1] == len(tokens)

    def use(self, kept: Kept) -> None:
        """It was of use: others leave before it."""
        with self._lock:
            if kept in self._kept:
                del self._kept[kept]
                self._kept[kept] = None
        if self.folder is not None:
            self.folder.use(kept)

    def add(self, kept: Kept) -> bool:
        """Keep it, and let go of others for it, above all of those that it goes on from. False: it is too large."""
        if kept.size_bytes > self._max_bytes or len(kept.tokens) < HEAD_TOKENS:
            return False
        with self._lock:
            same = self._by_head.get(_head(kept.scope, kept.tokens), ())
            gone = [one for one in same if common_tokens(one.tokens, kept.tokens) == len(one.tokens)]
            for one in gone:
                self._remove(one)
            while self.size_bytes + kept.size_bytes > self._max_bytes:
                gone.append(next(iter(self._kept)))
                self._remove(gone[-1])
            self._kept[kept] = None
            self._by_head.setdefault(_head(kept.scope, kept.tokens), []).append(kept)
            self.size_bytes += kept.size_bytes
        if self.folder is not None:
            for one in gone:
                self.folder.drop(one)
        return True

    def _remove(self, kept: Kept) -> None:
        del self._kept[kept]
        head = _head(kept.scope, kept.tokens)
        same = self._by_head[head]
        same.remove(kept)
        if not same:
            del self._by_head[head]
        self.size_bytes -= kept.size_bytes


def _packed(tokens: Sequence[int]) -> array[int]:
    return tokens if isinstance(tokens, array) else array("i", tokens)


def _head(scope: str, tokens: array[int]) -> tuple[str, bytes]:
    return scope, tokens[:HEAD_TOKENS].tobytes()
