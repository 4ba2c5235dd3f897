from __future__ import annotations

from dataclasses import replace

from gateway.signals.catalogue import FAMILIES
from gateway.signals.exposition import render
from gateway.signals.hardware_metrics import watch_hardware
from gateway.signals.metrics import Registry
from tests.gateway.state.test_hardware import RENTED, A, begun, following


def test_time_and_cost_are_split_by_whether_the_hardware_worked() -> None:
    unpriced = replace(A, name="free", hardware=RENTED._replace(name="other", nanousd_per_hour=None))
    times, clock = following(A, unpriced)
    registry = Registry()
    watch_hardware(registry, times)
    timed = begun(times, A)
    clock.sleep(900)
    timed.end(None)
    clock.sleep(2700)
    lines = [line for line in render(registry.snapshot()).decode().splitlines() if line.startswith("pointsman_local")]
    assert lines == [
        'pointsman_local_gpu_cost_usd_total{deployment="a",state="busy"} 1.000000000',
        'pointsman_local_gpu_cost_usd_total{deployment="a",state="idle"} 3.000000000',
        'pointsman_local_gpu_seconds_total{deployment="a",state="busy"} 1800.000000000',
        'pointsman_local_gpu_seconds_total{deployment="a",state="idle"} 5400.000000000',
        'pointsman_local_gpu_seconds_total{deployment="free",state="busy"} 0.000000000',
        'pointsman_local_gpu_seconds_total{deployment="free",state="idle"} 7200.000000000',
    ]


def test_a_supervisor_knows_the_families() -> None:
    assert {"pointsman_local_gpu_seconds_total", "pointsman_local_gpu_cost_usd_total"} <= FAMILIES.keys()
