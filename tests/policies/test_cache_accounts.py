"""Who pays for hits where a route has many owners: the bound holds for all of them together, whatever one does."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_accounts import CREDIT, SURPLUS_MAX, WARNED_MAX, as_part, cost_of
from policies.cache_curves import Curve, risk_of
from policies.cache_lessons import Lessons
from policies.caching import Candidate, Experience, decide
from policies.questions.signs import Signs

CURVE = Curve("test", at_one=-5.0, per_distance=20.0)
BUDGET = 0.01


@dataclass
class Route:
    """Decisions for many owners. `shadow` is the share of hits that are checked; `hits` and `requests` by owner."""

    rng: random.Random = field(default_factory=lambda: random.Random(5))
    shadow: float = 0.0
    together: Experience = field(default_factory=Experience)
    owners: dict[str, Experience] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    requests: int = 0

    def ask(self, owner: str, similarity: float | None, *, is_wrong: bool = False) -> bool:
        before = self.owners.get(owner, Experience())
        candidates = [] if similarity is None else [Candidate(similarity, Signs())]
        verdict = decide(candidates, CURVE, as_part(before, self.together), BUDGET, 0.0)
        after, self.together = before.after(verdict), self.together.after(verdict)
        self.together = self.together.lending(before, after)
        if verdict.serves and self.rng.random() < self.shadow:
            after = after.labelled(verdict.log_odds, wrong=is_wrong)
            self.together = self.together.labelled(verdict.log_odds, wrong=is_wrong)
        self.owners[owner] = after
        self.requests += 1
        if verdict.serves:
            self.spent[owner] = self.spent.get(owner, 0.0) + verdict.risk
            self.hits[owner] = self.hits.get(owner, 0) + 1
            self.wrong += is_wrong
        return verdict.serves

    def is_within(self) -> bool:
        return sum(self.spent.values()) <= BUDGET * (self.requests + CREDIT) + 1e-9


def risky(rng: random.Random) -> float:
    """The similarity of a candidate of 2 to 6 %."""
    return rng.uniform(0.89, 0.95)


def truth(similarity: float, rng: random.Random, factor: float = 1.0) -> bool:
    risk = risk_of(CURVE.log_odds(similarity, Signs()))
    return rng.random() < factor * risk / (1.0 + (factor - 1.0) * risk)


@pytest.mark.parametrize("are_forgotten", [False, True])
def test_many_small_owners_stay_within_the_budget_together(are_forgotten: bool) -> None:  # noqa: FBT001 - a parameter
    route, rng = Route(), random.Random(1)
    for number in range(300):
        for _ in range(10):
            similarity = risky(rng)
            route.ask(str(number), similarity, is_wrong=truth(similarity, rng))
        if are_forgotten:
            del route.owners[str(number)]
    assert route.is_within()
    assert sum(route.spent.values()) > 0.6 * BUDGET * route.requests
    assert route.wrong / route.requests < 1.4 * BUDGET
    assert len(route.hits) > 290, "each has his hits, not only who came first"


def test_who_is_forgotten_again_and_again_begins_with_nothing() -> None:
    route, rng = Route(), random.Random(2)
    for _ in range(3000):
        route.ask("one", risky(rng))
        del route.owners["one"]
    assert route.is_within()
    assert route.together.lent <= CREDIT


def test_a_flood_without_hits_pays_for_no_other_owners_hits() -> None:
    flooded, calm, rng = Route(), Route(), random.Random(3)
    for number in range(3000):
        similarity = risky(rng)
        for route in (flooded, calm):
            route.ask("other", similarity if number % 3 else None)
        for _ in range(5):
            flooded.ask("flood", None)
    assert flooded.is_within()
    assert flooded.hits["other"] <= calm.hits["other"] * 1.01
    assert flooded.spent["other"] <= BUDGET * (3000 + CREDIT / 2) + 1e-9


def test_harmless_requests_pay_for_few_traps() -> None:
    route, rng = Route(), random.Random(4)
    for _ in range(50_000):
        route.ask("flood", None)
    for _ in range(1000):
        route.ask("flood", risky(rng), is_wrong=True)
    assert route.spent["flood"] <= BUDGET * (SURPLUS_MAX + 1000 + CREDIT / 2) + 1e-9
    before = route.spent["flood"]
    for _ in range(1000):
        route.ask("flood", risky(rng), is_wrong=True)
    assert route.spent["flood"] - before <= BUDGET * (1000 + CREDIT) + 1e-9


def test_who_burns_what_he_has_leaves_the_others_theirs() -> None:
    attacked, calm, rng = Route(), Route(), random.Random(6)
    for number in range(4000):
        similarity = rng.uniform(0.6, 1.0)
        for route in (attacked, calm):
            route.ask(str(number % 8), similarity)
        for _ in range(10):
            attacked.ask("attacker", risky(rng))
    mine, theirs = (sum(route.hits.get(str(one), 0) for one in range(8)) for route in (attacked, calm))
    assert mine > 0.98 * theirs > 0
    assert attacked.spent["attacker"] <= BUDGET * (40_000 + CREDIT / 2) + 1e-9
    assert attacked.is_within()


def test_no_owner_takes_the_whole_credit() -> None:
    route = Route()
    owing = []
    for number in range(6):
        for _ in range(12):
            route.ask(str(number), 0.93)
        owing.append(-route.owners[str(number)].purse)
    assert owing[0] <= CREDIT / 2
    assert owing == sorted(owing, reverse=True)
    assert owing[3] > 0.0
    assert route.together.lent == pytest.approx(sum(max(0.0, one) for one in owing))


def test_labels_of_many_bring_new_owners_back_into_the_budget() -> None:
    def wrong(shadow: float) -> float:
        route, rng = Route(shadow=shadow), random.Random(8)
        for number in range(900):
            if number == 300:
                route.wrong = route.requests = 0
            for _ in range(10):
                similarity = risky(rng)
                route.ask(str(number), similarity, is_wrong=truth(similarity, rng, factor=2.5))
        return route.wrong / route.requests

    assert wrong(0.0) > 1.8 * BUDGET
    assert wrong(0.1) <= 1.3 * BUDGET


def test_a_hostile_owners_labels_cost_the_others_a_part_of_their_hits_and_no_more() -> None:
    hits = []
    for is_hostile in (False, True):
        route, rng = Route(), random.Random(9)
        if is_hostile:
            route.together = replace(route.together, lessons=Lessons(reports=1e4).settled(10.0))
        for number in range(3000):
            route.ask(str(number % 10), rng.uniform(0.6, 1.0))
        hits.append(sum(route.hits.values()))
        assert route.is_within()
    assert hits[0] > hits[1] > 0.3 * hits[0]


@given(st.integers(-16, 40), st.integers(-16, 40), st.floats(0.0, 250.0))
def test_others_labels_only_warn_and_only_so_far(own: int, others: int, labels: float) -> None:
    owner = Experience(lessons=Lessons(shift=own, labels=labels))
    shift = as_part(owner, Experience(lessons=Lessons(shift=others))).lessons.shift
    assert own <= shift <= max(own, WARNED_MAX)
    assert shift == own or others > max(own, 0)


@given(st.floats(-60.0, 100.0), st.floats(0.0, 80.0), st.floats(0.0, 50.0))
def test_what_may_be_owed_is_half_of_what_others_leave(purse: float, lent: float, credit: float) -> None:
    owing_max = as_part(Experience(purse=purse), Experience(lent=lent), credit).owing_max
    assert 0.0 <= owing_max <= credit / 2


def test_costs_are_in_requests_worth() -> None:
    assert cost_of(0.03, 0.01) == pytest.approx(3.0)
    assert (cost_of(0.0, 0.0), cost_of(0.1, 0.0)) == (0.0, math.inf)
