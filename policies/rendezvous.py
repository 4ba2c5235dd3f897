"""Highest random weight: each key has its own order of the targets, which changes only where the targets do.

Take a target away and only its keys move, each to the next in its own order; add one, or raise a weight, and only keys
move that go to it. A target's share of all keys is its share of the weights.
Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); Schindelhauer and Schomaker,
"Weighted distributed hash tables" (2005) for the logarithm; Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing
with bounded loads" (2018).
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil, inf, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_HASHES: Final = 2.0**64


def distances(key: str, targets: Sequence[bytes], weights: Sequence[int]) -> list[float]:
    """How far each target is from `key`: the nearest takes it. A weight of zero is infinitely far."""
    seed = key.encode(errors="surrogatepass")
    # Keyed, so that no key and target together read like another pair.
    keyed = blake2b(digest_size=8, key=blake2b(seed, digest_size=32).digest())
    found = []
    for target, weight in zip(targets, weights, strict=True):
        hashed = keyed.copy()
        hashed.update(target)
        uniform = (int.from_bytes(hashed.digest(), "big") + 0.5) / _HASHES
        found.append(-log(uniform) / weight if weight > 0 else inf)
    return found


def room(loads: Sequence[float], weights: Sequence[int], load_max: float) -> list[bool]:
    """Which targets may take one more call: those below `load_max` times their share of all calls, this one included.

    With `load_max` of at least 1 there is always one.
    """
    total = sum(weights)
    if not total:
        return [True] * len(loads)
    allowed = load_max * (sum(loads) + 1.0) / total
    return [load + 1.0 <= ceil(allowed * weight) for load, weight in zip(loads, weights, strict=True)]
