from __future__ import annotations

import pytest

from gateway.signals.catalogue import FAMILIES
from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.signals.telemetry import NANO, Outcome
from gateway.watching.frame import Frame, frame_of, near_limits
from gateway.watching.scraped import Movement, Scrape, read_scrape

WHERE = ("openai", "gpt", "gpt-4o")


def cells(registry: Registry, name: str, *labels: str, by: int = 1) -> None:
    registry.cells(FAMILIES[name]).at(*labels).inc(by)


def scraped(registry: Registry, at_s: float) -> Scrape:
    return read_scrape(render(registry.snapshot()).decode(), at_s)


def busy(registry: Registry) -> None:
    """What ten seconds of one deployment's work add."""
    for outcome, count in ((Outcome.OK, 30), (Outcome.TIMEOUT, 5), (Outcome.DENIED_RATE, 15)):
        cells(registry, "pointsman_requests_total", "smart", "smart", outcome.value, by=count)
    cells(registry, "pointsman_tokens_total", *WHERE, "input", "chat", by=1000)
    cells(registry, "pointsman_tokens_total", *WHERE, "output", "chat", by=500)
    cells(registry, "pointsman_cost_usd_total", *WHERE, "input", "table", by=NANO // 100)
    cells(registry, "pointsman_team_cost_usd_total", "red", "gpt-4o", by=NANO // 100)
    cells(registry, "pointsman_upstream_attempts_total", *WHERE, "ok", by=30)
    cells(registry, "pointsman_upstream_attempts_total", *WHERE, "first_token_timeout", by=10)
    cells(registry, "pointsman_cache_requests_total", "smart", "hit", "exact", by=3)
    cells(registry, "pointsman_cache_requests_total", "smart", "miss", "none", by=1)
    cells(registry, "pointsman_cache_requests_total", "smart", "bypass", "none", by=96)
    cells(registry, "pointsman_ratelimit_decisions_total", "key", "requests", "denied", by=15)
    for took_s in (0.1, 0.2, 0.3):
        registry.histograms(FAMILIES["pointsman_time_to_first_token_seconds"]).at(*WHERE, "chat").observe(took_s)


@pytest.fixture
def frame() -> Frame:
    registry = Registry()
    registry.sample(FAMILIES["pointsman_circuit_state"], lambda: [(("gpt",), 2), (("idle",), 0)])
    registry.sample(FAMILIES["pointsman_worker_up"], lambda: [(("0",), 1), (("1",), 0)])
    registry.sample(FAMILIES["pointsman_local_up"], lambda: [(("llama",), 1)])
    registry.sample(FAMILIES["pointsman_local_slots"], lambda: [(("llama",), 4)])
    busy(registry)
    before = scraped(registry, 0.0)
    busy(registry)
    return frame_of(Movement(before, scraped(registry, 10.0)))


def test_a_frame_tells_rates_money_and_faults(frame: Frame) -> None:
    assert frame.per_s == {"ok": 3.0, "timeout": 0.5, "denied_rate": 1.5}
    assert frame.failed_share == pytest.approx(0.1)
    assert (frame.input_per_s, frame.output_per_s) == (100.0, 50.0)
    assert frame.usd_per_hour == pytest.approx(3.6)
    assert frame.teams == {"red": pytest.approx(3.6)}
    assert frame.hit_share == 0.75
    assert frame.denied_per_s == {"key": 1.5}
    assert frame.workers == {"0": 1.0, "1": 0.0}


def test_each_deployment_has_a_line_at_rest_too(frame: Frame) -> None:
    gpt, idle = frame.deployments
    assert (gpt.name, gpt.breaker, gpt.attempts_per_s, gpt.failed_share) == ("gpt", "open", 4.0, 0.25)
    assert gpt.ttft_p95_s == pytest.approx(0.37, abs=0.05)
    assert (idle.name, idle.breaker, idle.failed_share) == ("idle", "closed", None)


def test_engines_are_told_apart_from_the_rest(frame: Frame) -> None:
    (engine,) = frame.engines
    assert (engine.name, engine.is_up, engine.slots, engine.kv_share) == ("llama", True, 4.0, None)


def test_a_gateway_that_tells_nothing_is_an_empty_frame() -> None:
    frame = frame_of(Movement(None, read_scrape("", 0.0)))
    assert frame.failed_share is None
    assert frame.hit_share is None
    assert frame.deployments == ()


def level(holder: str, used: int, held: int, amount: int = 100) -> dict[str, object]:
    told = {"scope": "key", "holder": holder, "resource": "cost", "window": "month", "reset_s": 60.0}
    return {**told, "used": used, "held": held, "amount": amount}


def test_the_fullest_limits_come_first_and_untouched_ones_not_at_all() -> None:
    lines = near_limits([level("a", 10, 0), level("b", 80, 15), level("c", 0, 0), level("d", 5, 0, amount=0)], most=5)
    assert [(line.holder, line.used_share) for line in lines] == [("b", 0.95), ("a", 0.1)]
    assert lines[0].window == "month"


def test_windows_of_rates_read_as_in_the_policy() -> None:
    windows = [near_limits([{**level("a", 1, 0), "window": seconds}])[0].window for seconds in (1.0, 60, 3600, 90.0)]
    assert windows == ["s", "min", "h", "90s"]
