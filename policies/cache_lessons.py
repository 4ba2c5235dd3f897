"""What labels teach of a route's hits: by how much the odds of a wrong one differ from the shipped curve's.

The belief is a distribution over that factor, held as log weights on a grid and corrected by Bayes' rule; it begins
around the shipped curve. Danger is believed as soon as it is likelier than not, safety only when nine tenths of the
belief are on its side: a wrong hit or two raise the factor at once, and it takes many good ones to lower it.

Two kinds of labels are not alike. Shadow checks are drawn by chance among requests, so each is worth what it says, good
or bad. Feedback comes from who was annoyed: the bad reports are a lower bound of the wrong hits, and the good ones say
nothing of those who kept silent. So reports can only raise the factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

STEP: Final = 0.125
"""Between two log factors of the grid; the bins of risk are as wide, so that a factor moves risks by whole bins."""
LOWEST: Final = -16
HIGHEST: Final = 40
_FACTORS: Final = tuple(range(LOWEST, HIGHEST + 1))
_SAFER: Final = 0.9
_SPREAD_SAFE: Final = 0.6  # a guess, on the wide side: the two sets of the shipped curve differ by less
_SPREAD_DANGEROUS: Final = 1.5  # traffic may be made to deceive, but none is made to be safe
_HIT_LOG_ODDS: Final = -1.5
"""Labels of candidates beyond are left out: a curve may be wrong in another way where no hits are."""
_MEMORY: Final = 1.0 - 1.0 / 250  # per label: what a route's traffic was like once says little of today


def _belief(step: int) -> float:
    """As much on either side of no factor at all."""
    spread = _SPREAD_SAFE if step < 0 else _SPREAD_DANGEROUS
    return -0.5 * (step * STEP / spread) ** 2 - math.log(spread)


_UNTAUGHT: Final = tuple(map(_belief, _FACTORS))


@dataclass(frozen=True, slots=True)
class Lessons:
    """`learnt`: log likelihoods of the grid's factors by random labels. `reports`: hits that callers called bad, of
    which `expected` would have been wrong by the shipped curve. `shift`: the factor decided with, in steps.
    """

    learnt: tuple[float, ...] = (0.0,) * len(_FACTORS)
    labels: float = 0.0
    wrong: float = 0.0
    reports: float = 0.0
    shift: int = 0

    def labelled(self, log_odds: float, *, wrong: bool) -> Lessons:
        """One random label of a candidate whose odds the shipped curve gives."""
        if log_odds > _HIT_LOG_ODDS:
            return self
        likelihoods = (_log_likelihood(log_odds + step * STEP, wrong=wrong) for step in _FACTORS)
        learnt = tuple(old * _MEMORY + new for old, new in zip(self.learnt, likelihoods, strict=True))
        labels, wrongs = self.labels * _MEMORY + 1.0, self.wrong * _MEMORY + wrong
        return replace(self, learnt=learnt, labels=labels, wrong=wrongs)

    def reported(self) -> Lessons:
        """One hit that a caller called bad."""
        return replace(self, reports=self.reports + 1.0)

    def settled(self, expected: float) -> Lessons:
        """With the factor to be decided with; `expected`: wrong hits so far by the shipped curve."""
        middle, upper = self.quantile(0.5, expected), self.quantile(_SAFER, expected)
        return replace(self, shift=max(middle, min(upper, 0)))

    def faded(self) -> Lessons:
        """Reports count half, with the traffic that they are held against."""
        return replace(self, reports=self.reports / 2)

    def quantile(self, share: float, expected: float) -> int:
        """The step of the grid below which the factor lies with a probability of `share`."""
        logs = [
            prior + learnt + _at_least(self.reports, expected * math.exp(step * STEP))
            for step, prior, learnt in zip(_FACTORS, _UNTAUGHT, self.learnt, strict=True)
        ]
        highest = max(logs)
        weights = [math.exp(value - highest) for value in logs]
        wanted, total = share * sum(weights), 0.0
        for step, weight in zip(_FACTORS, weights, strict=True):
            total += weight
            if total >= wanted - 1e-9:
                return step
        return HIGHEST


def _log_likelihood(log_odds: float, *, wrong: bool) -> float:
    signed = -log_odds if wrong else log_odds
    return -math.log1p(math.exp(signed)) if signed < 30 else -signed


def _at_least(count: float, expected: float) -> float:
    """The log of a bound of the probability of `count` events or more where `expected` are (Chernoff's for Poisson)."""
    if count <= expected or count <= 0.0:
        return 0.0
    expected = max(expected, 1e-9)
    return count - expected - count * math.log(count / expected)
