"""The bound in simulation: streams that were made to break it, with the learning loop on, and what happens without."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from policies.cache_curves import SHIPPED, risk_of
from policies.caching import Candidate, Experience, decide
from policies.questions.signs import Signs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CURVE = SHIPPED[0]
BUDGET = 0.01
CREDIT = 50


@dataclass
class Cache:
    """One route's decisions. `shadow` is the share of hits that are checked. An entry with a number is asked again."""

    rng: random.Random
    shadow: float = 0.0
    experience: Experience = field(default_factory=Experience)
    records: dict[int, tuple[int, int]] = field(default_factory=dict)
    hits: list[bool] = field(default_factory=list)

    def ask(self, similarity: float, *, is_wrong: bool, entry: int = -1) -> None:
        """`hits` gets one more: whether this request was served, and wrongly."""
        good, bad = self.records.get(entry, (0, 0))
        verdict = decide([Candidate(similarity, Signs(brief=0.2), good, bad)], CURVE, self.experience, BUDGET, 0.0)
        self.experience = self.experience.after(verdict)
        self.hits.append(verdict.serves and is_wrong)
        if verdict.serves and self.rng.random() < self.shadow:
            self.experience = self.experience.labelled(verdict.log_odds, wrong=is_wrong)
            if entry >= 0:
                self.records[entry] = (good + (not is_wrong), bad + is_wrong)

    def wrong(self, last: int = 10**9) -> float:
        """Wrong hits per request."""
        return sum(self.hits[-last:]) / len(self.hits[-last:])


def ordinary(rng: random.Random, count: int, factor: float = 1.0) -> Iterator[tuple[float, bool]]:
    """Traffic as the curve describes it, but for the odds of a wrong hit, which are so many times as high."""
    for _ in range(count):
        similarity = rng.uniform(0.5, 1.0)
        odds = risk_of(CURVE.log_odds(similarity, Signs(brief=0.2)))
        odds = factor * odds / (1.0 - odds)
        yield similarity, rng.random() < odds / (1.0 + odds)


def run(cache: Cache, stream: Iterable[tuple[float, bool]]) -> Cache:
    for similarity, is_wrong in stream:
        cache.ask(similarity, is_wrong=is_wrong)
    return cache


def average(measure: Callable[[int], float], runs: int = 8) -> float:
    return sum(measure(seed) for seed in range(runs)) / runs


@pytest.mark.parametrize("shadow", [0.0, 0.05])
def test_where_the_curve_is_right_the_budget_is_kept_with_and_without_labels(shadow: float) -> None:
    def wrong(seed: int) -> float:
        rng = random.Random(seed)
        return run(Cache(rng, shadow), ordinary(rng, 3000)).wrong()

    assert 0.4 * BUDGET < average(wrong) <= 1.05 * BUDGET


def test_where_hits_are_thrice_as_dangerous_labels_bring_them_back_into_the_budget() -> None:
    def wrong(seed: int, shadow: float) -> float:
        rng = random.Random(seed)
        return run(Cache(rng, shadow), ordinary(rng, 6000, factor=3.0)).wrong(last=3000)

    taught, untaught = average(lambda seed: wrong(seed, 0.1), 4), average(lambda seed: wrong(seed, 0.0), 4)
    assert untaught > 1.8 * BUDGET
    assert taught <= 1.3 * BUDGET


def test_traffic_that_turns_dangerous_is_noticed() -> None:
    def wrong(seed: int) -> float:
        rng = random.Random(seed)
        cache = run(Cache(rng, 0.1), ordinary(rng, 3000))
        return run(cache, ordinary(rng, 6000, factor=5.0)).wrong(last=2000)

    assert average(wrong, 4) <= 1.5 * BUDGET


def test_where_all_near_duplicates_are_wrong_serving_all_but_ends() -> None:
    def wrong(seed: int, shadow: float) -> float:
        rng = random.Random(seed)
        stream = ((rng.uniform(0.9, 1.0), True) for _ in range(3000))
        return run(Cache(rng, shadow), stream).wrong(last=1000)

    assert average(lambda seed: wrong(seed, 0.1), 4) <= BUDGET
    assert average(lambda seed: wrong(seed, 0.0), 1) > 0.1, "without labels nobody can know"


def test_a_burst_of_what_is_just_below_the_bar_spends_no_more_than_there_is() -> None:
    rng = random.Random(1)
    cache = run(Cache(rng), ordinary(rng, 500))
    bar = cache.experience.bar(BUDGET)
    similarity = next(one / 1000 for one in range(1000) if risk_at(one / 1000) < bar)
    before = cache.experience.spent
    run(cache, [(similarity, False)] * 1000)
    assert cache.experience.spent <= BUDGET * (1500 + CREDIT) + 1e-9
    assert cache.experience.spent > before


def risk_at(similarity: float) -> float:
    return risk_of(CURVE.log_odds(similarity, Signs(brief=0.2)))


def test_a_flood_of_one_trap_ends_with_the_labels_of_its_entry() -> None:
    rng = random.Random(2)
    cache = run(Cache(rng, 0.1), ordinary(rng, 1000))
    for _ in range(1000):
        cache.ask(0.97, is_wrong=True, entry=7)
    assert cache.wrong(last=500) == 0.0
    assert cache.wrong(last=1000) < 0.15


def test_the_bar_rises_by_itself_and_a_figure_says_so() -> None:
    rng = random.Random(3)
    cache = run(Cache(rng), ordinary(rng, 2000))
    served, bound = least_served(cache.experience), cache.experience.wrong_per_request()
    for _ in range(6):
        cache.experience = cache.experience.labelled(-4.0, wrong=True)
    assert cache.experience.wrong_per_request() > 2.0 * bound > 0.0
    assert cache.experience.wrong_per_request() > BUDGET
    assert least_served(cache.experience) > served + 0.01


def least_served(experience: Experience) -> float:
    """The similarity from which on hits are served."""
    served = (number / 1000 for number in range(1001) if serves(experience, number / 1000))
    return next(served, 1.0)


def serves(experience: Experience, similarity: float) -> bool:
    return decide([Candidate(similarity, Signs(brief=0.2))], CURVE, experience, BUDGET, 0.0).serves


def test_reports_of_callers_raise_the_bar_too_and_silence_lowers_nothing() -> None:
    rng = random.Random(4)
    cache = run(Cache(rng), ordinary(rng, 2000))
    served = least_served(cache.experience)
    for _ in range(60):
        cache.experience = cache.experience.reported()
    assert least_served(cache.experience) > served
