"""How far a share of so many may be from the truth."""

from __future__ import annotations

import math
from typing import Final

_Z: Final = 1.959964


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson, 1927)."""
    if not total:
        return 0.0, 1.0
    share, z2 = count / total, _Z * _Z
    middle = share + z2 / (2 * total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low, high = (middle - half) / (1 + z2 / total), (middle + half) / (1 + z2 / total)
    return max(low, 0.0), min(high, 1.0)


def shown(count: int, total: int) -> str:
    """In per cent, with the interval."""
    low, high = wilson(count, total)
    share = count / total if total else 0.0
    return f"{100 * share:.2f} ({100 * low:.2f} to {100 * high:.2f})"
