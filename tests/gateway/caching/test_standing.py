from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.caching.standing import standings
from gateway.signals.cache_metrics import RouteStanding
from policies.cache_lessons import Lessons
from policies.cache_rules import CacheRules, SemanticRules
from policies.caching import Experience, Verdict
from tests.gateway.calls import ROUTE

SEMANTIC = replace(ROUTE, name="faq", cache=CacheRules(semantic=SemanticRules(0.02)))
EXACT = replace(ROUTE, name="exact", cache=CacheRules())


def taught(requests: int, hits: int, risk: float = 0.01) -> Experience:
    experience = Experience()
    for number in range(requests):
        experience = experience.after(Verdict(0, risk, 0.1, serves=number < hits, log_odds=-4.6))
    return experience


def test_a_route_that_nobody_has_called_stands_at_nothing() -> None:
    bar = Experience().bar(0.02)
    assert 0.02 < bar < 0.2
    (found,) = standings([SEMANTIC, EXACT, ROUTE], [])
    assert found.bar == pytest.approx(bar)
    assert found == RouteStanding("faq", 0.02, found.bar)


def test_a_route_stands_as_all_its_owners_taught_and_not_as_another() -> None:
    together = taught(400, 200)
    (found,) = standings([SEMANTIC], [("faq", together), ("other", taught(50, 50))])
    assert (found.requests, found.hits) == (400, 200)
    assert found.expected == pytest.approx(200 * 0.01 / 400)
    assert found.bar == pytest.approx(together.bar(0.02))
    assert (found.observed_max, found.is_over_budget) == (None, False)


@pytest.mark.parametrize("requests", [3, 30, 3000])
def test_what_is_expected_and_what_was_observed_count_the_same_requests(requests: int) -> None:
    experience = replace(taught(requests, 1), lessons=Lessons(labels=1.0))  # one that changed nothing
    (found,) = standings([SEMANTIC], [("faq", experience)])
    assert found.expected == pytest.approx(0.01 / requests)
    assert found.observed_max == pytest.approx(found.expected, rel=0.07)  # as wide as half a bin


def test_labels_bring_an_upper_bound_of_what_was_observed() -> None:
    experience = taught(300, 150)
    for number in range(40):
        experience = experience.labelled(-4.6, wrong=number % 4 == 0)
    experience = experience.reported()
    (found,) = standings([SEMANTIC], [("faq", experience)])
    assert found.observed_max == pytest.approx(experience.wrong_per_request())
    assert [found.labels_bad, found.labels_good] == pytest.approx([11, 30], abs=2)  # old labels count a little less
    assert found.is_over_budget
