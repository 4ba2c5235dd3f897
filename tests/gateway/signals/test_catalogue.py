from __future__ import annotations

import pytest

from gateway.signals.catalogue import FAMILIES
from gateway.signals.telemetry import Kind

C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
WHERE = ("provider", "deployment", "model")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 600)
PROMISED = {
    "requests_total": (C, ("route", "model", "outcome")),
    "request_duration_seconds": (H, ("route", "stream"), SECONDS),
    "overhead_seconds": (
        H, ("route",), (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
    ),
    "inflight_requests": (G, ("route",)),
    "queue_depth": (G, ("deployment",)),
    "upstream_attempts_total": (C, (*WHERE, "outcome")),
    "upstream_duration_seconds": (H, WHERE, SECONDS),
    "time_to_first_token_seconds": (
        H, WHERE, (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
    ),
    "time_per_output_token_seconds": (
        H, WHERE, (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
    ),
    "tokens_total": (C, (*WHERE, "type")),
    "cost_usd_total": (C, (*WHERE, "component", "source")),
    "team_cost_usd_total": (C, ("team", "model")),
    "team_tokens_total": (C, ("team", "type")),
    "team_requests_total": (C, ("team", "outcome")),
    "unpriced_requests_total": (C, ("provider", "model", "reason")),
    "estimated_usage_total": (C, ("provider", "reason")),
    "fallbacks_total": (C, ("from_deployment", "to_deployment", "reason")),
    "retries_total": (C, ("deployment", "reason")),
    "circuit_state": (G, ("deployment",)),
    "deployment_up": (G, ("deployment",)),
    "key_up": (G, ("deployment", "credential")),
    "cache_lookups_total": (C, ("cache", "result")),
    "cache_saved_usd_total": (C, ("cache", "model")),
    "cache_lookup_seconds": (H, ("cache", "result")),
    "ratelimit_decisions_total": (C, ("scope", "limit", "decision")),
    "ratelimit_check_seconds": (H, ("decision",)),
    "budget_limit_usd": (G, ("scope", "id")),
    "budget_spent_usd": (G, ("scope", "id")),
    "budget_reserved_usd": (G, ("scope", "id")),
    "local_gpu_seconds_total": (C, ("deployment", "state")),
    "local_gpu_cost_usd_total": (C, ("deployment", "state")),
    "local_slots": (G, ("deployment",)),
    "local_slots_busy": (G, ("deployment",)),
    "local_kv_used_ratio": (G, ("deployment",)),
    "local_queue": (G, ("deployment",)),
    "local_up": (G, ("deployment",)),
    "event_loop_lag_seconds": (H, ("worker",)),
    "worker_up": (G, ("worker",)),
    "telemetry_dropped_total": (C, ("signal",)),
    "metric_series_rejected_total": (C, ("metric",)),
    "metric_series": (G, ()),
    "ledger_write_failures_total": (C, ()),
    "ledger_lag_seconds": (G, ()),
    "build_info": (G, ("version", "python")),
    "config_info": (G, ("hash",)),
    "price_table_age_seconds": (G, ()),
    "spend_capture_ratio": (G, ("provider",)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROMISED)
def test_what_boards_and_scripts_were_promised_is_there(name: str) -> None:
    """The catalogue of the design, word for word: whoever renames one breaks people's dashboards."""
    kind, labels, *buckets = PROMISED[name]
    family = FAMILIES[f"pointsman_{name}"]
    assert (family.kind, family.labels) == (kind, labels)
    if buckets:
        assert family.buckets == buckets[0]


def test_teams_may_be_many() -> None:
    assert all(FAMILIES[f"pointsman_team_{name}_total"].cap == 5_000 for name in ("cost_usd", "tokens", "requests"))


def test_the_process_goes_by_its_usual_names() -> None:
    names = {name for name in FAMILIES if name.startswith("process_")}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} < names
    assert all(FAMILIES[name].labels == ("worker",) for name in names)
