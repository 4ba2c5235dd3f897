from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.call import Cached, MadeFor
from gateway.signals import cache_telemetry as names
from gateway.signals.cache_metrics import CacheMetrics, RouteStanding
from gateway.signals.cache_telemetry import LabelSource, Purpose
from gateway.signals.metrics import HistogramValue, Registry
from gateway.signals.telemetry import Outcome
from gateway.state.answers.store import Stock, Used
from policies.cache_rules import Bypass, CacheRules, Level, SemanticRules, ShadowRules
from policies.vocabulary import Deployment, Route, Strategy, Target

MODEL = Deployment("a", "p", "openai", "m-1")
FAQ = Route("faq", ("faq",), Strategy.ORDERED, (Target(MODEL),), cache=CacheRules(semantic=SemanticRules()))
CODE = Route("code", ("code",), Strategy.ORDERED, (Target(MODEL),), cache=CacheRules(near=False))

Told = dict[str, dict[tuple[str, ...], float | HistogramValue]]


def told_by(registry: Registry) -> Told:
    return {family.family.name: dict(family.values) for family in registry.snapshot()}


def a_hit(level: Level = Level.SEMANTIC, *, joined: str | None = None, cost_nanousd: int | None = 700) -> Cached:
    used = Used(input_tokens=30, output_tokens=12, cost_nanousd=cost_nanousd)
    return Cached(level=level, age_s=31.0, saved=used, lookup_s=0.012, joined=joined, deployment="a")


def test_a_hit_counts_with_its_level_and_what_it_saved() -> None:
    registry = Registry()
    metrics = CacheMetrics(registry)
    metrics.settled(FAQ, a_hit())
    metrics.settled(FAQ, a_hit(Level.EXACT, joined="req_1"))
    told = told_by(registry)
    requests = told[names.CACHE_REQUESTS.name]
    assert requests == {("faq", "hit", "semantic"): 1, ("faq", "hit", "exact"): 1}
    assert told[names.CACHE_SAVED_COST.name] == {("semantic", "m-1"): 700, ("exact", "m-1"): 700}
    assert told[names.CACHE_ROUTE_SAVED_COST.name] == {("faq", "semantic"): 700, ("faq", "exact"): 700}
    assert told[names.CACHE_SAVED_TOKENS.name]["faq", "semantic", "input"] == 30
    assert told[names.CACHE_SAVED_TOKENS.name]["faq", "semantic", "output"] == 12
    assert told[names.CACHE_JOINED.name] == {("faq",): 1}
    age = told[names.CACHE_AGE.name]["faq",]
    assert isinstance(age, HistogramValue)
    assert age.sum == 62.0


def test_a_hit_whose_answer_had_no_known_cost_adds_tokens_and_no_money() -> None:
    registry = Registry()
    CacheMetrics(registry).settled(FAQ, a_hit(cost_nanousd=None))
    told = told_by(registry)
    assert told[names.CACHE_SAVED_COST.name] == {}
    assert told[names.CACHE_SAVED_TOKENS.name]["faq", "semantic", "output"] == 12


def test_a_miss_counts_with_the_sign_that_ruled_the_nearest_question_out() -> None:
    registry = Registry()
    metrics = CacheMetrics(registry)
    metrics.settled(FAQ, Cached(veto="numbers", similarity=0.97, lookup_s=0.004))
    metrics.settled(FAQ, Cached(closed=Bypass.TIME))
    told = told_by(registry)
    assert told[names.CACHE_REQUESTS.name] == {("faq", "miss", "none"): 2}
    assert told[names.CACHE_VETOED.name] == {("faq", "numbers"): 1}
    assert told[names.CACHE_CLOSED.name] == {("faq", "time"): 1}


def test_a_bypass_counts_with_its_reason_and_is_no_look_up() -> None:
    registry = Registry()
    CacheMetrics(registry).settled(FAQ, Cached(bypass=Bypass.TEMPERATURE))
    told = told_by(registry)
    assert told[names.CACHE_REQUESTS.name] == {("faq", "bypass", "none"): 1}
    assert told[names.CACHE_BYPASS.name] == {("faq", "temperature"): 1}
    assert told[names.CACHE_LOOKUP.name] == {}


@pytest.mark.parametrize(
    ("cached", "looks"),
    [
        (a_hit(Level.EXACT), {"exact hit"}),
        (a_hit(Level.NEAR), {"exact miss", "near hit"}),
        (a_hit(), {"exact miss", "near miss", "semantic hit"}),
        (Cached(), {"exact miss", "near miss", "semantic miss"}),
        (Cached(closed=Bypass.TIME), {"exact miss", "near bypass", "semantic bypass"}),
        (Cached(closed=Bypass.UNAVAILABLE), {"exact miss", "near miss", "semantic error"}),
        (Cached(bypass=Bypass.TEMPERATURE), {"exact bypass", "near bypass", "semantic bypass"}),
        (Cached(bypass=Bypass.UNAVAILABLE), {"exact error", "near error", "semantic error"}),
    ],
)
def test_each_level_that_a_call_came_to_is_a_look_up(cached: Cached, looks: set[str]) -> None:
    registry = Registry()
    CacheMetrics(registry).settled(FAQ, cached)
    assert {" ".join(labels) for labels in told_by(registry)[names.CACHE_LOOKUPS.name]} == looks


def test_a_look_up_is_timed_under_the_last_level_that_was_asked() -> None:
    registry = Registry()
    metrics = CacheMetrics(registry)
    for route, cached in ((FAQ, a_hit(Level.NEAR)), (FAQ, Cached(closed=Bypass.TIME)), (CODE, Cached())):
        metrics.settled(route, cached)
    counts = {labels: sum(child.counts) for labels, child in registry.histograms(names.CACHE_LOOKUP).children.items()}
    assert counts == {("near", "hit"): 1, ("exact", "miss"): 2}


def test_what_a_store_says_of_a_deployment_is_no_label_unless_the_policy_names_it() -> None:
    registry = Registry()
    metrics = CacheMetrics(registry)
    for number in range(30):
        kept = a_hit()
        kept.deployment, kept.model = f"junk-{number}", f"made-up-{number}"
        metrics.settled(FAQ, kept)
    assert told_by(registry)[names.CACHE_SAVED_COST.name] == {("semantic", "other"): 30 * 700}


def test_what_happens_beside_calls_is_counted_as_it_happens() -> None:
    registry = Registry()
    metrics = CacheMetrics(registry)
    metrics.not_stored("faq", "truncated")
    metrics.labelled("faq", LabelSource.SHADOW, is_good=True)
    metrics.labelled("faq", LabelSource.FEEDBACK, is_good=False)
    metrics.judged("faq", "same")
    metrics.made(MadeFor(Purpose.SHADOW, "req_1", "faq"), Outcome.OK, 5_000)
    metrics.made(MadeFor(Purpose.SHADOW, "req_2", "faq"), Outcome.TIMEOUT, None)
    metrics.unavailable("embedder")
    metrics.embedded("minilm", 0.009)
    told = told_by(registry)
    assert told[names.CACHE_NOT_STORED.name] == {("faq", "truncated"): 1}
    assert told[names.CACHE_LABELS.name] == {("faq", "shadow", "good"): 1, ("faq", "feedback", "bad"): 1}
    assert told[names.CACHE_JUDGED.name] == {("faq", "same"): 1}
    assert told[names.CACHE_COST.name] == {("faq", "shadow"): 5_000}
    assert told[names.CACHE_CALLS.name] == {("faq", "shadow", "ok"): 1, ("faq", "shadow", "timeout"): 1}
    assert told[names.CACHE_UNAVAILABLE.name] == {("embedder",): 1}
    embedding = told[names.EMBEDDER_DURATION.name]["minilm",]
    assert isinstance(embedding, HistogramValue)
    assert sum(embedding.counts) == 1


def test_routes_begin_at_zero() -> None:
    registry = Registry()
    assert FAQ.cache is not None
    checked = replace(FAQ, name="checked", cache=replace(FAQ.cache, semantic=SemanticRules(shadow=ShadowRules())))
    CacheMetrics(registry).declare([FAQ, checked])
    told = told_by(registry)
    assert told[names.CACHE_CALLS.name] == {("checked", "shadow", "ok"): 0}
    assert told[names.CACHE_REQUESTS.name] == {
        (route, result, "none"): 0 for route in ("faq", "checked") for result in ("miss", "bypass")
    }
    levels, results = ("exact", "near", "semantic"), ("hit", "miss", "bypass", "error")
    assert told[names.CACHE_LOOKUPS.name] == {(level, result): 0 for level in levels for result in results}


def test_operators_read_the_counts_by_route() -> None:
    metrics = CacheMetrics(Registry())
    metrics.declare([FAQ, CODE])
    metrics.settled(FAQ, a_hit())
    metrics.settled(FAQ, a_hit(joined="req_1"))
    metrics.settled(FAQ, Cached())
    metrics.settled(FAQ, Cached(bypass=Bypass.TOOL_CALLS))
    counts = metrics.counts()
    assert counts["faq"] == ({"semantic": 2}, 1, 1, 1, 1400, 84)
    assert counts["code"] == ({}, 0, 0, 0, 0, 0)


class TwoRoutes:
    def standings(self) -> list[RouteStanding]:
        return [
            RouteStanding("faq", 0.01, 0.2, 500, 90, 0.006, 0.012, 40, 2),
            RouteStanding("new", 0.02, 0.1),
        ]

    def stocks(self) -> list[tuple[str, Stock]]:
        return [("memory", Stock(7, 9_000, None, evicted=2, expired=1))]

    def embedders(self) -> list[tuple[str, int, bool]]:
        return [("minilm", 3, True)]


def test_scrapes_read_how_routes_and_stores_stand() -> None:
    registry = Registry()
    CacheMetrics(registry).watch(TwoRoutes())
    told = told_by(registry)
    assert told[names.CACHE_BUDGET.name] == {("faq",): 0.01, ("new",): 0.02}
    assert told[names.CACHE_RISK_BAR.name] == {("faq",): 0.2, ("new",): 0.1}
    assert told[names.CACHE_EXPECTED.name] == {("faq",): 0.006, ("new",): 0.0}
    assert told[names.CACHE_OBSERVED.name] == {("faq",): 0.012}
    assert told[names.CACHE_ENTRIES.name] == {("memory",): 7}
    assert told[names.CACHE_VECTORS.name] == {}
    assert told[names.CACHE_EVICTED.name] == {("memory",): 2}
    assert told[names.EMBEDDER_QUEUE.name] == {("minilm",): 3}
    assert told[names.EMBEDDER_UP.name] == {("minilm",): True}


@pytest.mark.parametrize(("observed_max", "is_over"), [(None, False), (0.0099, False), (0.01, False), (0.011, True)])
def test_a_route_is_over_its_budget_only_by_labels(observed_max: float | None, *, is_over: bool) -> None:
    assert RouteStanding("faq", 0.01, 0.2, observed_max=observed_max).is_over_budget is is_over


def test_hits_on_credit_are_no_alert_until_labels_find_them_worse_than_reckoned() -> None:
    told = [RouteStanding("faq", 0.01, 0.2, 3, 1, 0.03, one).is_over_budget for one in (0.0305, 0.06)]
    assert told == [False, True]
