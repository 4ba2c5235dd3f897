"""What was dropped a short while ago: an answer that was under way meanwhile is of before, and is not kept after it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.state.answers.shelves import is_meant

if TYPE_CHECKING:
    from gateway.state.answers.store import Entry, Which

REMEMBERED_S: Final = 3600.0
"""Longer than calls take."""
REMEMBERED_MAX: Final = 200


class Drops:
    """Of one process. Times are Unix seconds, those of entries the beginning of the call that they were made for."""

    def __init__(self) -> None:
        self._dropped: deque[tuple[float, Which]] = deque()
        self._all_until_s = 0.0

    def note(self, which: Which, now_s: float) -> None:
        """One entry by its id is no matter: no other will have it."""
        if which.id is not None:
            return
        dropped = self._dropped
        while dropped and dropped[0][0] < now_s - REMEMBERED_S:
            dropped.popleft()
        if len(dropped) >= REMEMBERED_MAX:  # what is under way costs a hit then, whatever it is
            self._all_until_s = dropped.popleft()[0]
        dropped.append((now_s, which))

    def hold(self, entry: Entry) -> bool:
        """Whether such an entry was dropped after its call had begun."""
        if entry.stored_at_s < self._all_until_s:
            return True
        return any(entry.stored_at_s < at_s and is_meant(entry, which) for at_s, which in self._dropped)
