"""Whether a question is served with the answer to another one: the risk of it, weighed against the error budget.

Each candidate (the nearest stored questions of the same scope) has a risk: how likely its answer is wrong for this
question, by the shipped curve as experience has corrected it. The budget bounds wrong hits per request, so it is spent
on the least risky hits: the bar is the highest risk at which all hits below it, by the traffic seen so far, stay within
the budget together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.cache_signs import Signs

BINS: Final = 64
NOTHING: Final = 1.0
"""The risk where there is no candidate."""


class Candidate(NamedTuple):
    """A stored question beside the one asked. `good` and `bad` are what is known of its answer's earlier hits."""

    similarity: float
    signs: Signs
    good: int = 0
    bad: int = 0


class Verdict(NamedTuple):
    """`best` is the candidate of least risk, by index; None where there is none that no veto forbids. It `serves`, or
    is `doubtful`: above the bar, but worth a judge's question.
    """

    best: int | None
    risk: float
    bar: float
    serves: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """How likely a candidate is wrong: a logistic function of similarity, measured for one embedder."""

    embedder: str
    at_one: float
    per_similarity: float

    def risk(self, candidate: Candidate) -> float:
        """P(wrong), from 0 to 1."""
        return _logistic(self.at_one + self.per_similarity * (1.0 - candidate.similarity))


@dataclass(frozen=True, slots=True)
class Experience:
    """What a route's traffic was like: how many of its requests had a best candidate of which risk, in equal bins."""

    requests: float = 0.0
    seen: tuple[float, ...] = (0.0,) * BINS

    def after(self, risk: float) -> Experience:
        """One more request, whose best candidate had this risk."""
        number = min(int(risk * BINS), BINS - 1)
        seen = (*self.seen[:number], self.seen[number] + 1.0, *self.seen[number + 1 :])
        return replace(self, requests=self.requests + 1.0, seen=seen)

    def bar(self, false_hits_max: float) -> float:
        """The highest risk that is still within the budget."""
        allowed, wrong = false_hits_max * max(self.requests, 1.0), 0.0
        for number, count in enumerate(self.seen):
            wrong += count * (number + 1) / BINS
            if wrong > allowed:
                return number / BINS
        return 1.0


def decide(
    candidates: Sequence[Candidate], curve: Curve, experience: Experience, false_hits_max: float, doubtful_max: float
) -> Verdict:
    """The verdict on `candidates`; what is vetoed is none. `doubtful_max` 0: there is no judge."""
    bar = experience.bar(false_hits_max)
    risks = [(curve.risk(one), index) for index, one in enumerate(candidates) if one.signs.veto is None]
    if not risks:
        return Verdict(None, NOTHING, bar)
    risk, best = min(risks)
    serves = risk <= bar
    return Verdict(best, risk, bar, serves, not serves and risk <= doubtful_max)


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value > -700 else 0.0
