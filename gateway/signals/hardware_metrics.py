"""What a scrape reads of hardware of one's own: its time and what that costs, by whether it worked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals import engine_telemetry

if TYPE_CHECKING:
    from gateway.signals.metrics import Labels, Registry
    from gateway.state.hardware import HardwareTimes

Samples = list[tuple["Labels", float]]

BUSY: Final = "busy"
IDLE: Final = "idle"


def watch_hardware(registry: Registry, times: HardwareTimes) -> None:
    """Let scrapes read the accounts; nothing is counted on the path for them."""
    registry.sample(engine_telemetry.LOCAL_GPU_S, lambda: _seconds(times))
    registry.sample(engine_telemetry.LOCAL_GPU_COST, lambda: _costs(times))


def _seconds(times: HardwareTimes) -> Samples:
    spent = times.spent().items()
    return [pair for name, one in spent for pair in (((name, BUSY), one.busy_ns), ((name, IDLE), one.idle_ns))]


def _costs(times: HardwareTimes) -> Samples:
    """Hardware whose cost nobody stated is no hardware that costs nothing: it has no series."""
    costs = ((name, one.busy_nanousd, one.idle_nanousd) for name, one in times.spent().items())
    return [
        pair
        for name, busy, idle in costs
        if busy is not None and idle is not None
        for pair in (((name, BUSY), busy), ((name, IDLE), idle))
    ]
