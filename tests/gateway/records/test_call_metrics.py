from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.base import EngineTimes
from adapters.openai_usage import read_usage
from gateway.call import Cached
from gateway.records.call_metrics import CallMetrics, model_label
from gateway.records.settlement import HEDGE_LOST, settle
from gateway.signals import cache_telemetry, engine_telemetry, telemetry
from gateway.signals.cache_telemetry import CACHE_CALLS, CACHE_COST, Purpose
from gateway.signals.metrics import Registry
from policies.attempts import AttemptKind
from policies.cache_rules import CacheRules
from policies.usage import Correction, Usage, UsageDetails
from policies.vocabulary import Endpoint, Failure, FailureKind
from tests.gateway.calls import FREE_OF_PRICE, ROUTE, answered, attempt, cached_hit, call, errand, from_an_engine

if TYPE_CHECKING:
    from gateway.signals.telemetry import Family

WHERE = ("openai", "gpt-4o", "gpt-4o-2024-08-06")


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def metrics(registry: Registry) -> CallMetrics:
    return CallMetrics(registry)


def values(registry: Registry, family: Family) -> dict[tuple[str, ...], int]:
    return {labels: cell.value for labels, cell in registry.cells(family).children.items() if cell.value}


def test_one_good_call_is_counted_in_every_family_it_belongs_to(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(answered(Usage(100, 10, 40, 20, 5))))
    assert values(registry, telemetry.REQUESTS) == {("smart", "smart", "ok"): 1}
    assert values(registry, telemetry.ATTEMPTS) == {(*WHERE, "ok"): 1}
    tokens = {"input": 100, "cached_input": 40, "cache_write_input": 20, "output": 10, "reasoning": 5}
    assert values(registry, telemetry.TOKENS) == {(*WHERE, kind, "chat"): count for kind, count in tokens.items()}
    assert values(registry, telemetry.TEAM_TOKENS) == {("platform", kind): count for kind, count in tokens.items()}
    # 40 at 2.50, 40 at 1.25, 20 at 3, 10 at 10 USD per million
    parts = {"input": 100_000, "cached_input": 50_000, "cache_write": 60_000, "output": 100_000}
    assert values(registry, telemetry.COST) == {(*WHERE, part, "table"): cost for part, cost in parts.items()}
    assert values(registry, telemetry.TEAM_COST) == {("platform", WHERE[2]): 310_000}
    assert values(registry, telemetry.TEAM_REQUESTS) == {("platform", "ok"): 1}
    assert values(registry, telemetry.UNPRICED) == {}
    assert values(registry, telemetry.ESTIMATED) == {}


def test_what_was_asked_for_is_kept_apart(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(answered(Usage(100, 10))))
    for endpoint in (Endpoint.EMBEDDINGS, Endpoint.EMBEDDINGS, Endpoint.RERANK, Endpoint.RESPONSES):
        made = answered(Usage(7, 0))
        made.request = msgspec.structs.replace(made.request, endpoint=endpoint)
        metrics.add(settle(made))
    durations = registry.histograms(telemetry.UPSTREAM_DURATION).children
    assert {labels[-1]: sum(one.counts) for labels, one in durations.items()} == {
        "chat": 2,
        "embeddings": 2,
        "rerank": 1,
    }
    tokens = values(registry, telemetry.TOKENS)
    assert (tokens[*WHERE, "input", "chat"], tokens[*WHERE, "input", "embeddings"]) == (107, 14)


def test_the_engines_time_is_told_by_phase_and_by_who_had_it(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(from_an_engine()))
    metrics.add(settle(from_an_engine(queue_s=0.0)))
    phases = {labels: child.sum for labels, child in registry.histograms(engine_telemetry.LOCAL_PHASE).children.items()}
    assert phases == {("gpt-4o", "queue"): 0.25, ("gpt-4o", "prefill"): 1.0, ("gpt-4o", "decode"): 4.0}
    assert values(registry, engine_telemetry.LOCAL_COMPUTE) == {("gpt-4o", "platform"): 2_500_000_000}


def test_whoever_left_in_the_queue_was_neither_read_nor_answered(registry: Registry, metrics: CallMetrics) -> None:
    left = from_an_engine()
    assert left.attempts[0].tally is not None
    left.attempts[0].tally.engine = EngineTimes(queue_s=3.0)
    metrics.add(settle(left))
    assert set(registry.histograms(engine_telemetry.LOCAL_PHASE).children) == {("gpt-4o", "queue")}


def test_a_fallback_and_a_retry_are_told_apart(registry: Registry, metrics: CallMetrics) -> None:
    busy = Failure(FailureKind.STATUS, status=429)
    down = Failure(FailureKind.CONNECT)
    metrics.add(
        settle(
            call(
                attempt(number=1, failure=busy),
                attempt(number=2, failure=down, sent=False),
                attempt(Usage(1, 1), number=3, deployment=FREE_OF_PRICE),
            )
        )
    )
    assert values(registry, telemetry.RETRIES) == {("gpt-4o", "rate_limited"): 1}
    assert values(registry, telemetry.FALLBACKS) == {("gpt-4o", "llama-eu", "connect"): 1}
    assert values(registry, telemetry.ATTEMPTS) == {
        (*WHERE, "rate_limited"): 1,
        (*WHERE, "connect"): 1,
        ("vllm-eu", "llama-eu", "llama-3.1-70b", "ok"): 1,
    }


def test_a_hedge_and_a_resumption_are_no_fallbacks(registry: Registry, metrics: CallMetrics) -> None:
    late, hedge = attempt(number=1, cancelled=True), attempt(Usage(1, 1), number=2, deployment=FREE_OF_PRICE)
    late.stopped, hedge.kind = HEDGE_LOST, AttemptKind.HEDGE
    resumed = attempt(Usage(1, 1), number=3)
    resumed.kind = AttemptKind.RESUME
    metrics.add(settle(call(late, hedge, resumed)))
    assert values(registry, telemetry.HEDGES) == {("gpt-4o", "llama-eu", "ok"): 1}
    assert values(registry, telemetry.RESUMES) == {("llama-eu", "gpt-4o", "ok"): 1}
    assert values(registry, telemetry.FALLBACKS) == values(registry, telemetry.RETRIES) == {}
    assert values(registry, telemetry.ATTEMPTS)[(*WHERE, "hedge_lost")] == 1


def test_what_has_no_price_is_flagged_and_not_counted_as_free(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(call(attempt(Usage(5, 5), deployment=FREE_OF_PRICE))))
    assert values(registry, telemetry.UNPRICED) == {("vllm-eu", "llama-3.1-70b", "no_price"): 1}
    assert registry.cells(telemetry.COST).children == {}


def test_what_a_cache_asks_by_itself_is_no_request_and_costs_all_the_same(
    registry: Registry, metrics: CallMetrics
) -> None:
    failed = errand(attempt(failure=Failure(FailureKind.STATUS, status=503)), purpose=Purpose.SHADOW, status=502)
    for made in (errand(attempt(Usage(12, 34))), failed):
        metrics.add(settle(made))
    for family in (telemetry.REQUESTS, telemetry.TEAM_REQUESTS):
        assert values(registry, family) == {}
    for family in (telemetry.REQUEST_DURATION, telemetry.OVERHEAD):
        assert registry.histograms(family).children == {}
    assert values(registry, CACHE_CALLS) == {("faq", "judge", "ok"): 1, ("faq", "shadow", "upstream_error"): 1}
    assert values(registry, CACHE_COST) == {("faq", "judge"): 370_000}
    assert sum(values(registry, telemetry.COST).values()) == values(registry, telemetry.TEAM_COST)["none", WHERE[2]]
    assert sum(values(registry, telemetry.COST).values()) == 370_000
    assert values(registry, telemetry.ATTEMPTS) == {(*WHERE, "ok"): 1, (*WHERE, "status"): 1}
    assert values(registry, telemetry.TOKENS)[*WHERE, "output", "chat"] == 34


def test_counts_that_cannot_be_are_told_of(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(answered(Usage(10, 5, cached_input_tokens=40, reasoning_tokens=9))))
    read = read_usage({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 40}})
    metrics.add(settle(answered(read)))
    metrics.add(settle(answered(Usage(-3, 5, details=UsageDetails(corrected=(Correction.TOO_LARGE,))))))
    metrics.add(settle(answered(Usage(10, 5, 10, reasoning_tokens=5))))
    assert values(registry, telemetry.CORRECTED) == {
        ("openai", WHERE[2], "part_above_whole"): 3,
        ("openai", WHERE[2], "too_large"): 1,
        ("openai", WHERE[2], "negative"): 1,
    }


def test_a_callers_own_words_never_become_labels(registry: Registry, metrics: CallMetrics) -> None:
    for number in range(20):
        metrics.add(settle(call(attempt(Usage(1, 1)), model=f"gpt-junk-{number}")))
        metrics.add(settle(call(status=404, error_code="model_not_found", model=f"junk-{number}", route=None)))
    assert set(values(registry, telemetry.REQUESTS)) == {("smart", "other", "ok"), ("none", "other", "client_error")}
    assert model_label(call(model="smart")) == "smart"


def test_what_the_policy_makes_possible_begins_at_zero(registry: Registry, metrics: CallMetrics) -> None:
    metrics.declare([ROUTE])
    requests = registry.cells(telemetry.REQUESTS).children
    assert {labels[:2] for labels in requests} == {("smart", "smart"), ("smart", "other")}
    assert {cell.value for cell in requests.values()} == {0}
    assert (*WHERE, "ok") in registry.cells(telemetry.ATTEMPTS).children
    assert registry.histograms(telemetry.REQUEST_DURATION).children == {}


def test_only_streams_have_a_first_token_and_a_pace(registry: Registry, metrics: CallMetrics) -> None:
    first_token_s = 1000.102
    metrics.add(settle(call(attempt(Usage(1, 11), first_token_s=first_token_s))))
    assert registry.histograms(telemetry.FIRST_TOKEN).children == {}
    metrics.add(settle(call(attempt(Usage(1, 11), first_token_s=first_token_s), stream=True)))
    assert registry.histograms(telemetry.FIRST_TOKEN).at(*WHERE, "chat").sum == pytest.approx(0.1)
    assert registry.histograms(telemetry.PER_TOKEN).at(*WHERE, "chat").sum == pytest.approx((0.5 - 0.102) / 10)


def test_what_caches_did_is_counted_by_route(registry: Registry, metrics: CallMetrics) -> None:
    metrics.add(settle(cached_hit()))
    missed = answered()
    missed.cached = Cached(veto="numbers")
    metrics.add(settle(missed))
    results = values(registry, cache_telemetry.CACHE_REQUESTS)
    assert results == {("smart", "hit", "semantic"): 1, ("smart", "miss", "none"): 1}
    assert values(registry, cache_telemetry.CACHE_ROUTE_SAVED_COST) == {("smart", "semantic"): 350_000}
    assert values(registry, telemetry.REQUESTS) == {("smart", "smart", "ok"): 2}
    assert values(registry, telemetry.ATTEMPTS) == {(*WHERE, "ok"): 1}


def test_where_no_route_has_a_cache_scrapes_tell_nothing_of_any(registry: Registry, metrics: CallMetrics) -> None:
    metrics.declare([ROUTE])
    metrics.add(settle(answered()))
    assert not [one for one in registry.snapshot() if one.family.name.startswith("pointsman_cache")]
    metrics.declare([replace(ROUTE, cache=CacheRules())])
    children = registry.cells(cache_telemetry.CACHE_REQUESTS).children
    assert set(children) == {("smart", "miss", "none"), ("smart", "bypass", "none")}


def test_why_models_stopped_is_told_in_known_words_only(registry: Registry, metrics: CallMetrics) -> None:
    for reason in ("stop", "length", *(f"because-{number}" for number in range(50))):
        metrics.add(settle(call(attempt(Usage(1, 1), finish=(reason,)))))
    metrics.add(settle(call(attempt(Usage(1, 1)))))
    assert values(registry, telemetry.FINISH_REASONS) == {
        (*WHERE, "stop"): 1,
        (*WHERE, "length"): 1,
        (*WHERE, "other"): 50,
    }


def test_a_route_without_patterns_has_no_series_for_models_that_cannot_be_asked_for(
    registry: Registry, metrics: CallMetrics
) -> None:
    metrics.declare([replace(ROUTE, models=("smart",))])
    assert {labels[1] for labels in registry.cells(telemetry.REQUESTS).children} == {"smart"}
