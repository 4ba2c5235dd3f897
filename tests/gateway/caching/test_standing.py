from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.caching.learning import Where
from gateway.caching.standing import standings
from gateway.signals.cache_metrics import RouteStanding
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


def test_what_owners_have_taught_adds_up_by_route() -> None:
    many, few = taught(300, 100), taught(100, 100)
    others = (Where("other", "all", "e"), taught(50, 50))
    learnt = [(Where("faq", "team:a/b", "e"), many), (Where("faq", "team:a/c", "e"), few), others]
    (found,) = standings([SEMANTIC], learnt)
    assert (found.requests, found.hits) == (400, 200)
    assert found.expected == pytest.approx(200 * 0.01 / 400)
    assert found.bar == pytest.approx(many.bar(0.02))
    assert (found.observed_max, found.is_over_budget) == (None, False)


def test_labels_bring_an_upper_bound_of_what_was_observed() -> None:
    experience = taught(300, 150)
    for number in range(40):
        experience = experience.labelled(-4.6, wrong=number % 4 == 0)
    experience = experience.reported()
    (found,) = standings([SEMANTIC], [(Where("faq", "all", "e"), experience)])
    assert found.observed_max == pytest.approx(experience.wrong_per_request())
    assert [found.labels_bad, found.labels_good] == pytest.approx([11, 30], abs=2)  # old labels count a little less
    assert found.is_over_budget
