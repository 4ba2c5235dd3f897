"""For how long a command that follows a gateway waits before it asks again."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
MOST_S: Final = 8.0


def backoff_s(failures: int) -> float:
    """Twice as long after each failure, within bounds."""
    return min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
