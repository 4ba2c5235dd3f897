from __future__ import annotations

from gateway.signals import (
    cache_telemetry,
    engine_telemetry,
    ledger_telemetry,
    limit_telemetry,
    telemetry,
    vitals_telemetry,
)
from gateway.signals.exposition import render
from gateway.signals.merged_metrics import WIRE, merged, sized_up, to_wire
from gateway.signals.metrics import HistogramValue, Registry


def registry(seed: int) -> Registry:
    made = Registry()
    made.cells(telemetry.COST).at("openai", "a", "m", "input", "table").inc(seed * 3)
    made.cells(telemetry.TEAM_REQUESTS).at("platform", "ok").inc(seed)
    if seed == 2:
        made.cells(telemetry.TEAM_REQUESTS).at("other", "ok").inc(7)
    made.histograms(telemetry.OVERHEAD).at("r").observe(0.0007 * seed, f"trace-{seed}")
    made.sample(telemetry.INFLIGHT, lambda: [(("r",), seed)])
    made.sample(telemetry.CIRCUIT_STATE, lambda: [(("a",), seed)])
    made.sample(telemetry.DEPLOYMENT_UP, lambda: [(("a",), seed == 1)])
    made.sample(limit_telemetry.LIMIT_DRIFT, lambda: [((), 0.25 * seed)])
    made.sample(ledger_telemetry.LEDGER_OPEN_INTENTS, lambda: [((), seed)])
    made.sample(vitals_telemetry.PROCESS_START, lambda: [((str(seed),), 100.0 + seed)])
    made.cells(cache_telemetry.CACHE_REQUESTS).at("r", "hit", "exact").inc(seed)
    made.sample(cache_telemetry.CACHE_BUDGET, lambda: [(("r",), 0.01)])
    made.sample(cache_telemetry.CACHE_OBSERVED, lambda: [(("r",), 0.004 * seed)])
    made.sample(cache_telemetry.CACHE_ENTRIES, lambda: [(("redis",), 40)])
    made.sample(cache_telemetry.CACHE_UNSENT, lambda: [(("redis",), seed)])
    made.sample(cache_telemetry.EMBEDDER_UP, lambda: [(("e",), seed == 1)])
    made.sample(engine_telemetry.LOCAL_CALLS, lambda: [(("bundled",), seed)])
    made.sample(engine_telemetry.LOCAL_UP, lambda: [(("llama",), seed == 1)])
    return made


def scrape() -> dict[str, dict[tuple[str, ...], float | HistogramValue]]:
    families = merged([WIRE.decode(to_wire(registry(seed).snapshot())) for seed in (1, 2)])
    return {found.family.name: dict(found.values) for found in families}


def test_counters_are_added_and_stay_whole() -> None:
    seen = scrape()
    assert seen["pointsman_cost_usd_total"] == {("openai", "a", "m", "input", "table"): 9}
    assert seen["pointsman_team_requests_total"] == {("platform", "ok"): 3, ("other", "ok"): 7}


def test_histograms_are_added_bucket_by_bucket_with_their_exemplars() -> None:
    value = scrape()["pointsman_overhead_seconds"]["r",]
    assert isinstance(value, HistogramValue)
    assert value.counts[:4] == [0, 1, 1, 0]
    assert round(value.sum, 9) == 0.0021
    assert {trace for trace, _ in value.exemplars.values()} == {"trace-1", "trace-2"}


def test_gauges_are_added_unless_adding_them_says_nothing() -> None:
    seen = scrape()
    assert seen["pointsman_inflight_requests"] == {("r",): 3}
    assert seen["pointsman_circuit_state"] == {("a",): 2}
    assert seen["pointsman_limit_drift_ratio"] == {(): 0.5}
    assert seen["pointsman_ledger_open_intents"] == {(): 3}
    assert seen["pointsman_deployment_up"] == {("a",): 0}
    assert seen["process_start_time_seconds"] == {("1",): 101.0, ("2",): 102.0}


def test_caches_of_workers_have_one_store_and_the_worst_error_counts() -> None:
    seen = scrape()
    assert seen["pointsman_cache_requests_total"] == {("r", "hit", "exact"): 3}
    assert seen["pointsman_cache_false_hit_budget"] == {("r",): 0.01}
    assert seen["pointsman_cache_false_hits_observed_max"] == {("r",): 0.008}
    assert seen["pointsman_cache_entries"] == {("redis",): 40}
    assert seen["pointsman_cache_unsent"] == {("redis",): 3}
    assert seen["pointsman_cache_embedder_up"] == {("e",): 0}


def test_engines_of_workers_are_told_of() -> None:
    seen = scrape()
    assert seen["pointsman_local_calls"] == {("bundled",): 3}
    assert seen["pointsman_local_up"] == {("llama",): 0}


def test_what_another_version_counts_is_left_out() -> None:
    assert merged([WIRE.decode(b'[["from_the_future", [[["a"], 1]]]]')]) == []


def test_the_supervisor_s_own_numbers_render() -> None:
    text = render(sized_up(ready=2, restarts=[(0, 0), (1, 5)])).decode()
    assert "pointsman_workers_ready 2" in text
    assert 'pointsman_worker_restarts_total{worker="1"} 5' in text
