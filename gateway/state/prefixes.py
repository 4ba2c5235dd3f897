"""Which conversations' beginnings a deployment was sent lately, and so may hold in its cache of prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

KEPT_S: Final = 300.0
"""Providers keep a prompt that is not asked for again for five minutes or more."""
KEPT_MAX: Final = 4096


class Prefixes(Collection[str]):
    """What was sent stays known for `KEPT_S` to twice that, or until there are too many; two sets take turns."""

    __slots__ = ("_newer", "_older", "_since_s")

    def __init__(self) -> None:
        self._newer: set[str] = set()
        self._older: set[str] = set()
        self._since_s = 0.0

    def add(self, prefix: str, now: float) -> None:
        if now - self._since_s >= KEPT_S or len(self._newer) >= KEPT_MAX:
            # After a long silence the newer ones are old as well.
            self._older = self._newer if now - self._since_s < 2 * KEPT_S else set()
            self._newer, self._since_s = set(), now
        self._newer.add(prefix)

    def __contains__(self, prefix: object) -> bool:
        return prefix in self._newer or prefix in self._older

    def __iter__(self) -> Iterator[str]:
        yield from self._newer | self._older

    def __len__(self) -> int:
        return len(self._newer | self._older)
