"""How likely the answer to one question is wrong for another: curves over similarity and signs, one per embedder.

A cosine means something else to every embedder, so a curve belongs to one. The numbers are measured by
scripts/measure_cache_curve.py on the candidates that a cache really meets: the nearest stored questions while a stream
of questions runs and misses are stored. Pairs that were picked to be hard tell little about those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from policies.questions.signs import Signs


FAR: Final = 0.6
"""The distance from which on a question counts as alone."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The log odds of a wrong hit: `at_one` for the same vector without a sign, so much more per unit of distance
    (1 - similarity), of the distance to the next stored question, and per unit of each sign by its name.
    """

    embedder: str
    at_one: float
    per_distance: float
    per_next: float = 0.0
    per_sign: tuple[tuple[str, float], ...] = ()

    def log_odds(self, similarity: float, signs: Signs, next_similarity: float = 0.0) -> float:
        """Of the answer being wrong; `next_similarity` is that of the nearest other question. Never less than at
        similarity one, whatever rounding makes of a cosine.
        """
        total = self.at_one + self.per_distance * max(1.0 - similarity, 0.0)
        total += self.per_next * min(max(1.0 - next_similarity, 0.0), FAR)
        for name, weight in self.per_sign:
            total += weight * getattr(signs, name)
        return total


def risk_of(log_odds: float) -> float:
    """The probability of those odds."""
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds > -700.0 else 0.0


CAUTIOUS: Final = Curve("", at_one=-4.0, per_distance=200.0)
"""Where no curve was measured: some models put unrelated sentences at .8, so only what is all but equal is served."""
SHIPPED: Final = (
    Curve(
        "minilm-l6-v2/7bit-1",
        at_one=-5.89,
        per_distance=17.3,
        per_next=1.99,
        per_sign=(("renamed", 0.53), ("brief", 2.17)),
    ),
)

PRIOR_LEAST: Final = -9.0
PRIOR_STEP: Final = 0.5
PRIOR: Final = (0, 0, 0, 0, 0, 0, 0, 8, 103, 441, 804, 968, 901, 778, 723, 597, 535, 448, 381, 295, 272, 203, 202, 187)
"""What traffic is taken to be like before there is any: of 10,000 requests, how many have a best candidate of which
log odds. The mean of the two streams.
"""
PER_PRIOR: Final = len(PRIOR)


def curve_of(embedder: str) -> Curve:
    """The shipped one of an embedder's id, else the cautious one."""
    return next((curve for curve in SHIPPED if curve.embedder == embedder), CAUTIOUS)
