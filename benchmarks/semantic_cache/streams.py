"""A stream of questions through the cache's decision: the nearest stored are looked at, and misses are stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from benchmarks.semantic_cache import data
from benchmarks.semantic_cache.vectors import vectors_of
from policies.cache_fitting import Observation
from policies.caching import CANDIDATES_MAX, Candidate, Experience, decide
from policies.questions.reading import read
from policies.questions.signs import Signs, compare_readings

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from policies.cache_curves import Curve
    from policies.caching import Verdict


class Part(Enum):
    """Of a stream's questions: all, or every second one."""

    ALL = "all"
    EVEN = "even"
    ODD = "odd"

    def holds(self, place: int) -> bool:
        return self is Part.ALL or (place % 2 == 0) == (self is Part.EVEN)


class Near(NamedTuple):
    """A stored question, by its place in the stream."""

    place: int
    candidate: Candidate


class Outcome(NamedTuple):
    """What became of so many requests."""

    requests: int
    correct: int
    wrong: int


class Decider(Protocol):
    """What is measured. `near` is in order of similarity; the place of the one whose answer is served, or None."""

    def __call__(self, near: Sequence[Near], is_right: Callable[[int], bool], /) -> int | None: ...


@dataclass(slots=True)
class Stream:
    """Questions in their order, with all that comparing any two of them takes."""

    questions: list[data.Question]
    cosines: NDArray[np.float32]
    signs: dict[tuple[int, int], Signs] = field(default_factory=dict)

    def run(self, decider: Decider, counted: Part = Part.ALL) -> Outcome:
        """One pass; questions that are not counted fill the cache as well."""
        stored = np.zeros(len(self.questions), np.int64)
        count = requests = correct = wrong = 0
        for place, question in enumerate(self.questions):
            served = decider(self.nearest(place, stored[:count]), partial(self._answers_alike, place))
            requests += counted.holds(place)
            if served is None:
                stored[count] = place
                count += 1
            elif counted.holds(place):
                is_right = self.questions[served].answer == question.answer
                correct, wrong = correct + is_right, wrong + (not is_right)
        return Outcome(requests, correct, wrong)

    def _answers_alike(self, one: int, other: int) -> bool:
        return self.questions[one].answer == self.questions[other].answer

    def nearest(self, place: int, stored: NDArray[np.int64]) -> list[Near]:
        """The nearest of what is stored, best first."""
        cosines = self.cosines[place][stored]
        count = min(CANDIDATES_MAX, len(stored))
        best = np.argpartition(-cosines, count)[:count] if count < len(stored) else range(count)
        found = sorted(((float(cosines[one]), int(stored[one])) for one in best), reverse=True)
        return [Near(other, Candidate(cosine, self._signs(place, other))) for cosine, other in found]

    def _signs(self, place: int, other: int) -> Signs:
        known = self.signs.get((place, other))
        if known is None:
            one, two = self.questions[place].text, self.questions[other].text
            known = self.signs[place, other] = Signs() if one == two else compare_readings(read(one), read(two))
        return known


def load(name: str) -> Stream:
    questions = data.stream(name)
    vectors = vectors_of([question.text for question in questions])
    return Stream(questions, vectors @ vectors.T)


@dataclass(slots=True)
class Cosine:
    """What other caches do: the nearest is served from a threshold on."""

    threshold: float

    def __call__(self, near: Sequence[Near], _: Callable[[int], bool]) -> int | None:
        return near[0].place if near and near[0].candidate.similarity >= self.threshold else None


@dataclass(slots=True)
class Budgeted:
    """Pointsman's decision, without labels. What it looked at is kept as observations."""

    curve: Curve
    false_hits_max: float
    experience: Experience = field(default_factory=Experience)
    place: int = -1
    observations: list[tuple[int, Observation]] = field(default_factory=list)

    def __call__(self, near: Sequence[Near], is_right: Callable[[int], bool]) -> int | None:
        self.place += 1
        verdict = decide([one.candidate for one in near], self.curve, self.experience, self.false_hits_max, 0.0)
        self.experience = self.experience.after(verdict)
        if verdict.best is None:
            return None
        best = near[verdict.best]
        following = max((one.candidate.similarity for one in near if one is not best), default=0.0)
        similarity, signs = best.candidate.similarity, best.candidate.signs
        seen = Observation(similarity, signs, following, wrong=not is_right(best.place))
        self.observations.append((self.place, seen))
        return best.place if verdict.serves else None


@dataclass(slots=True)
class Taught:
    """The same with shadow checks: so many of the hits ask the model all the same, and so many of the misses with a
    candidate compare the answer that they get anyway with the candidate's.
    """

    curve: Curve
    false_hits_max: float
    hit_share: float
    miss_share: float
    rng: random.Random
    experience: Experience = field(default_factory=Experience)
    records: dict[int, tuple[int, int]] = field(default_factory=dict)
    calls: int = 0
    comparisons: int = 0

    def __call__(self, near: Sequence[Near], is_right: Callable[[int], bool]) -> int | None:
        candidates = [self._with_record(one) for one in near]
        verdict = decide(candidates, self.curve, self.experience, self.false_hits_max, 0.0)
        self.experience = self.experience.after(verdict)
        if verdict.best is None:
            return None
        place = near[verdict.best].place
        if self.rng.random() < (self.hit_share if verdict.serves else self.miss_share):
            self._learn(place, verdict, is_good=is_right(place))
        return place if verdict.serves else None

    def _learn(self, place: int, verdict: Verdict, *, is_good: bool) -> None:
        self.comparisons += 1
        self.calls += verdict.serves
        good, bad = self.records.get(place, (0, 0))
        self.records[place] = (good + is_good, bad + (not is_good))
        self.experience = self.experience.labelled(verdict.log_odds, wrong=not is_good)

    def _with_record(self, near: Near) -> Candidate:
        good, bad = self.records.get(near.place, (0, 0))
        return near.candidate._replace(good=good, bad=bad)
