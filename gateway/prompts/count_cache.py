"""What was counted before, by the hash of what was counted: bounded, and safe to use from several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

ENTRIES_KEPT: Final = 32_768
"""At most about 10 MB: an entry is a hash of 16 bytes, a short name and two small values, whatever was counted."""


class Counted(NamedTuple):
    """A piece of a prompt in tokens. `elsewhere`: it also names something that is not in the body."""

    tokens: int
    elsewhere: bool = False


class CountKey(NamedTuple):
    """`profile` is the way of counting, `digest` the hash of the bytes."""

    profile: str
    digest: bytes


class CountCache:
    """Forgets what was not asked for the longest."""

    def __init__(self, entries_kept: int = ENTRIES_KEPT) -> None:
        self._entries_kept = entries_kept
        self._counts: OrderedDict[CountKey, Counted] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._counts)

    def get(self, key: CountKey) -> Counted | None:
        with self._lock:
            counted = self._counts.get(key)
            if counted is not None:
                self._counts.move_to_end(key)
            return counted

    def put(self, key: CountKey, counted: Counted) -> None:
        with self._lock:
            self._counts[key] = counted
            if len(self._counts) > self._entries_kept:
                self._counts.popitem(last=False)
