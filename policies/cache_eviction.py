"""Which answers a full cache lets go of first: those whose keeping saves least for the room they take.

GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998): an answer's rank is the cache's age when it was last served, and
what its servings save per byte on top. The age is the highest rank that ever went, so that what was worth much once but
is not asked for any more falls behind; where all answers are alike this is least recently used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ASSUMED_NANOUSD_PER_TOKEN: Final = 1_000
"""What an output token stands for where an answer's cost is unknown or nothing: one made here takes time too."""
SAVED_MAX_NANOUSD: Final = 100 * 10**9
HITS_MAX: Final = 10**9


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a cache may hold. Once it is full, an owner with more than `owner_share` of either bound makes room of its
    own; one alone may fill all of it.
    """

    entries_max: int = 100_000
    bytes_max: int = 256 << 20
    owner_share: float = 0.5

    @property
    def entry_bytes_max(self) -> int:
        """What is larger is not kept: it would push out too many others."""
        return self.bytes_max // 8

    def are_exceeded(self, entries: int, size_bytes: int) -> bool:
        """By all owners together."""
        return entries > self.entries_max or size_bytes > self.bytes_max

    def is_greedy(self, entries: int, size_bytes: int) -> bool:
        """Whether one owner's entries are more than its share."""
        return entries > self.entries_max * self.owner_share or size_bytes > self.bytes_max * self.owner_share


def saved_nanousd(cost_nanousd: int | None, output_tokens: int) -> int:
    """What each serving of an answer saves. Never nothing, nor beyond all measure: a stored entry may say anything."""
    found = cost_nanousd or output_tokens * ASSUMED_NANOUSD_PER_TOKEN
    return min(max(found, 1), SAVED_MAX_NANOUSD)


def rank(age: float, saved: int, hits: int, size_bytes: int) -> float:
    """Those of the lowest rank go first. Never less than `age`."""
    return age + saved * (min(max(hits, 0), HITS_MAX) + 1) / max(size_bytes, 1)
