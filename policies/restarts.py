"""When a worker that died is started again: at once after a long life, later and later while it keeps dying."""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST_DELAY_S: Final = 0.1
LAST_DELAY_S: Final = 10.0
STABLE_AFTER_S: Final = 30.0


class Lives(NamedTuple):
    """How often in a row a worker died young."""

    short_ones: int = 0


def died(lives: Lives, lived_s: float) -> tuple[Lives, float]:
    """The record after one more death, and how long to wait before the next start."""
    short_ones = 1 if lived_s >= STABLE_AFTER_S else lives.short_ones + 1
    return Lives(short_ones), min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(short_ones - 1, 16))
