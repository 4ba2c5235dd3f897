"""Scopes give back what was taken: process, call, attempt.

Exits are plain functions that release or enqueue and never await, so they run on every path, a cancelled handler
included, and a scope closes in well under a microsecond. A process-wide task does the slow rest.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Scope:
    """Exits that run exactly once, last taken first given back. An exit that raises is logged; the others still run."""

    __slots__ = ("_exits", "closed")

    def __init__(self) -> None:
        self._exits: list[Callable[[], object]] = []
        self.closed = False

    def defer(self, exit_: Callable[[], object]) -> None:
        """Run `exit_` when this scope closes; at once when it has closed already."""
        if self.closed:
            exit_()
        else:
            self._exits.append(exit_)

    def close(self) -> None:
        self.closed = True
        while self._exits:
            exit_ = self._exits.pop()
            try:
                exit_()
            except Exception:
                log.exception("an exit failed while a scope closed")
