"""Whether a question is served with the answer to another one: the risk of it, weighed against the error budget.

Each candidate (the nearest stored questions of the same scope) has a risk: how likely its answer is wrong for this
question, by the shipped curve as labels have corrected it. The budget bounds wrong hits per request, so it is spent on
the least risky hits: the bar is the highest risk at which all hits below it, by the traffic seen so far, stay within
the budget together. Beside it stands an account (policies/cache_accounts.py), because traffic changes: each request
adds its share of the budget, each hit takes its risk, and what is not there is not spent. So in expectation no stream,
however made, gets more wrong hits than its requests pay for and a small credit; and where labels say that past hits
were worse than thought, the budget shrinks until that is made good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.cache_accounts import ALONE, CREDIT, SURPLUS_MAX, cost_of, owed
from policies.cache_curves import PRIOR, PRIOR_LEAST, PRIOR_STEP, risk_of
from policies.cache_lessons import HIGHEST, LOWEST, STEP, Lessons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.cache_curves import Curve
    from policies.questions.signs import Signs, Veto

CANDIDATES_MAX: Final = 5
"""So many of the nearest are looked at. The shipped curve was measured with as many; more of them served no more."""
BINS: Final = 96
_LEAST: Final = PRIOR_LEAST  # log odds where the bins begin: a risk of one in eight thousand
_EDGES: Final = tuple(risk_of(_LEAST + (number + 1) * STEP) for number in range(LOWEST, BINS + HIGHEST + 1))
"""The highest risk in each bin, shifted as far as lessons may."""
_RISKS: Final = tuple(risk_of(_LEAST + (number + 0.5) * STEP) for number in range(LOWEST, BINS + HIGHEST + 1))
"""The risk in the middle of each."""
NOTHING: Final = 1.0
"""The risk where there is no candidate."""
_HORIZON: Final = 4000.0  # requests, after which all that was counted counts half
_GUESSED: Final = 500.0  # requests that the guess of a route's traffic is worth
_PER_GUESS: Final = round(PRIOR_STEP / STEP)
_GUESS: Final = tuple(count * _GUESSED / 10_000 / _PER_GUESS for count in PRIOR for _ in range(_PER_GUESS))
_RECORD: Final = 10.0  # labels that an entry needs of its own to weigh as much as the curve
_COIN: Final = 0.1
_COIN_PER_BUDGET: Final = 4.0
_COIN_MAX: Final = 0.4
"""No hit is riskier than `_COIN` and so much more for the budget, however much of it is left: where few requests have a
candidate at all, it would be spent on coin flips.
"""


class Candidate(NamedTuple):
    """A stored question beside the one asked. `good` and `bad` are what is known of its answer's earlier hits."""

    similarity: float
    signs: Signs
    good: int = 0
    bad: int = 0


class Verdict(NamedTuple):
    """`best` is the candidate of least risk, by index; None where there is none that no veto forbids, and then `veto`
    is the first that did. It `serves`, or is `doubtful`: above the bar, but worth a judge's question. `log_odds` are
    what the curve and the entry's record say, before lessons: labels are held against them. `cost` is what a hit takes
    from the account, in requests' worth.
    """

    best: int | None
    risk: float
    bar: float
    serves: bool = False
    doubtful: bool = False
    log_odds: float = math.inf
    veto: Veto | None = None
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Experience:
    """What traffic was like, an owner's or all of a route's, and what its hits turned out to be.

    `seen` and `served` count best candidates and hits in bins of log odds. `weight` is the number of requests that
    `seen` stands for, those of the shipped guess included; `requests` are real ones. `spent` is the risk of all hits
    as it was thought to be when they were served. `purse` is what the account holds, in requests' worth, and may be
    below zero by `owing_max`; `lent` is what the owners of a route owe together.
    """

    requests: float = 0.0
    weight: float = _GUESSED
    spent: float = 0.0
    seen: tuple[float, ...] = _GUESS
    served: tuple[float, ...] = (0.0,) * BINS
    lessons: Lessons = field(default_factory=Lessons)
    purse: float = 0.0
    owing_max: float = ALONE
    lent: float = 0.0

    def after(self, verdict: Verdict) -> Experience:
        """One more request that got as far as this verdict."""
        number, served = _bin(verdict.log_odds), self.served
        seen = self.seen if number is None else _raised(self.seen, number)
        spent, cost = self.spent, 0.0
        if verdict.serves and number is not None:
            served, spent, cost = _raised(served, number), spent + verdict.risk, verdict.cost
        after = replace(self.passed(1.0, cost), spent=spent, seen=seen, served=served)
        return after if after.weight < _HORIZON else after.halved()

    def passed(self, count: float, cost: float = 0.0) -> Experience:
        """So many more requests, which bring their share of the budget."""
        purse = min(self.purse + count - cost, SURPLUS_MAX)
        return replace(self, requests=self.requests + count, weight=self.weight + count, purse=purse)

    def lending(self, before: Experience, after: Experience) -> Experience:
        """A route's, one of whose owners was `before` and is `after`."""
        return replace(self, lent=max(0.0, self.lent + owed(after) - owed(before)))

    def labelled(self, verdict_log_odds: float, *, wrong: bool) -> Experience:
        """What a random check found: of a hit, or of a candidate that was not served."""
        return self._taught(self.lessons.labelled(verdict_log_odds, wrong=wrong))

    def reported(self) -> Experience:
        """A caller called a hit bad."""
        return self._taught(self.lessons.reported())

    def bar(self, false_hits_max: float) -> float:
        """The highest risk that is still within the budget."""
        allowed, wrong = self._left(false_hits_max) * self.weight, 0.0
        start, bar = self.lessons.shift - LOWEST, 0.0
        highest = min(_COIN + _COIN_PER_BUDGET * false_hits_max, _COIN_MAX)
        for number, count in enumerate(self.seen, start):
            wrong += count * _RISKS[number]
            if wrong > allowed:
                return bar
            bar = _EDGES[number]
            if bar > highest:
                return highest
        return bar

    def bar_by_curve(self, false_hits_max: float) -> float:
        """The bar as the curve alone counts risk. Labels that tell of danger make all risks larger, and the bar may be
        a larger number for it; this one falls, by as much as hits have to be safer than before.
        """
        bar = self.bar(false_hits_max)
        return risk_of(math.log(bar / (1.0 - bar)) - self.lessons.shift * STEP) if bar > 0.0 else 0.0

    def can_spend(self, risk: float, false_hits_max: float) -> bool:
        """Whether the account still holds so much."""
        return cost_of(risk, false_hits_max) <= self.purse + 1.0 + self.owing_max  # this request brings its own share

    def wrong_per_request(self) -> float:
        """Wrong hits per request so far, by all that is known now: an upper bound, as the lessons' factor is one."""
        return self._wrong(self.lessons.shift) / max(self.requests, 1.0)

    def expected_per_request(self) -> float:
        """The same as it was reckoned when the hits were served."""
        return self.spent / max(self.requests, 1.0)

    def _left(self, false_hits_max: float) -> float:
        """The budget, less where past hits turned out to be worse than thought."""
        allowed, wrong = false_hits_max * (self.requests + CREDIT), self._wrong(self.lessons.shift)
        return false_hits_max if wrong <= allowed else false_hits_max * allowed / wrong

    def _wrong(self, shift: int) -> float:
        risks = _RISKS[shift - LOWEST : shift - LOWEST + BINS]
        return sum(count * risk for count, risk in zip(self.served, risks, strict=True))

    def _taught(self, lessons: Lessons) -> Experience:
        return replace(self, lessons=lessons.settled(self._wrong(0)))

    def halved(self) -> Experience:
        lessons = self.lessons.faded().settled(self._wrong(0) / 2)
        seen, served = tuple(count / 2 for count in self.seen), tuple(count / 2 for count in self.served)
        requests, weight, spent = self.requests / 2, self.weight / 2, self.spent / 2
        return replace(self, requests=requests, weight=weight, spent=spent, seen=seen, served=served, lessons=lessons)


def decide(
    candidates: Sequence[Candidate], curve: Curve, experience: Experience, false_hits_max: float, doubtful_max: float
) -> Verdict:
    """The verdict on `candidates`; what is vetoed is none. `doubtful_max` 0: there is no judge."""
    bar = experience.bar(false_hits_max)
    first, second = _two_nearest(candidates)
    odds = [
        (_own(one, curve, second if one.similarity == first else first), index)
        for index, one in enumerate(candidates)
        if one.signs.veto is None
    ]
    if not odds:
        veto = next((one.signs.veto for one in candidates), None)
        return Verdict(None, NOTHING, bar, veto=veto)
    log_odds, best = min(odds)
    risk = risk_of(log_odds + experience.lessons.shift * STEP)
    serves = risk <= bar and experience.can_spend(risk, false_hits_max)
    is_doubtful = not serves and risk <= doubtful_max
    return Verdict(best, risk, bar, serves, is_doubtful, log_odds, cost=cost_of(risk, false_hits_max))


def _two_nearest(candidates: Sequence[Candidate]) -> tuple[float, float]:
    first = second = 0.0
    for one in candidates:
        if one.similarity > first:
            first, second = one.similarity, first
        elif one.similarity > second:
            second = one.similarity
    return first, second


def _own(candidate: Candidate, curve: Curve, next_similarity: float) -> float:
    """The log odds of a candidate, by the curve and by what became of its entry's earlier hits."""
    log_odds = curve.log_odds(candidate.similarity, candidate.signs, next_similarity)
    if not candidate.good and not candidate.bad:
        return log_odds
    risk = risk_of(log_odds)
    known = (_RECORD * risk + candidate.bad) / (_RECORD + candidate.good + candidate.bad)
    known = min(max(known, risk / 3.0), 1.0 - 1e-9)
    return math.log(known / (1.0 - known))


def _bin(log_odds: float) -> int | None:
    """None above the last: such a candidate is never served."""
    if log_odds >= _LEAST + BINS * STEP:
        return None
    return max(int((log_odds - _LEAST) / STEP), 0)


def _raised(counts: tuple[float, ...], number: int) -> tuple[float, ...]:
    return (*counts[:number], counts[number] + 1.0, *counts[number + 1 :])
