from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import TYPE_CHECKING

from gateway.signals import vitals, vitals_telemetry
from gateway.signals.metrics import Registry
from gateway.signals.vitals import GcPauses, LoopLag, sample_config, sample_price_table, sample_process

if TYPE_CHECKING:
    import pytest


def sampled(registry: Registry) -> dict[str, float]:
    return {
        taken.family.name: value
        for taken in registry.snapshot()
        for _, value in taken.values
        if isinstance(value, int | float)
    }


def test_the_process_tells_of_itself() -> None:
    registry = Registry()
    sample_process(registry, "0.1.0")
    values = sampled(registry)
    assert 5e6 < values["process_resident_memory_bytes"] < 1e10
    assert 0.01e9 < values["process_cpu_seconds_total"] < 1e5 * 1e9
    assert 0 < time.time() - values["process_start_time_seconds"] < 24 * 3600
    read_fd, write_fd = os.pipe()
    assert sampled(registry)["process_open_fds"] == values["process_open_fds"] + 2
    os.close(read_fd)
    os.close(write_fd)


def test_a_reload_shows_one_policy_not_two() -> None:
    registry = Registry()
    sample_config(registry, "aaa")
    sample_config(registry, "bbb")
    shown = next(taken for taken in registry.snapshot() if taken.family is vitals_telemetry.CONFIG_INFO)
    assert shown.values == [(("bbb",), 1)]


async def test_a_blocked_loop_is_noticed() -> None:
    registry = Registry()
    histogram = registry.histograms(vitals_telemetry.LOOP_LAG).at("0")
    loop = asyncio.get_running_loop()
    lag = LoopLag(registry)
    lag._observe(loop, loop.time() - 0.2)
    lag.close()
    assert sum(histogram.counts) == 1
    assert 0.2 <= histogram.sum < 1


async def test_lag_is_observed_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LAG_EVERY_S", 0.001)
    registry = Registry()
    histogram = registry.histograms(vitals_telemetry.LOOP_LAG).at("0")
    lag = LoopLag(registry)
    lag.start()
    await asyncio.sleep(0.05)
    lag.close()
    assert sum(histogram.counts) > 1


def test_searches_for_garbage_are_timed_until_nobody_asks() -> None:
    registry = Registry()
    histogram = registry.histograms(vitals_telemetry.GC_PAUSE).at("0")
    pauses = GcPauses(registry)
    pauses.start()
    gc.collect()
    seen = sum(histogram.counts)
    pauses.close()
    gc.collect()
    assert seen >= 1
    assert sum(histogram.counts) == seen
    assert 0 < histogram.sum < 60


def test_the_price_table_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    monkeypatch.setattr(time, "time", lambda: 1_795_305_600.0 + 90.0)  # 2026-11-22T00:01:30Z
    sample_price_table(registry, "2026-11-21")
    assert sampled(registry)["pointsman_price_table_age_seconds"] == 86_400.0 + 90.0
    for date in ("2026-11-23", None, "yesterday"):
        sample_price_table(registry, date)
        assert sampled(registry).get("pointsman_price_table_age_seconds", 0.0) == 0.0
