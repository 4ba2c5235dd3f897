"""How the process itself is doing: event-loop lag, and the process_* family under its usual names."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.signals import telemetry

if TYPE_CHECKING:
    from gateway.signals.metrics import Histogram, Registry

LAG_EVERY_S = 0.25
_MEMORY = Path("/proc/self/statm")
_STAT = Path("/proc/self/stat")
_FDS = Path("/proc/self/fd")


class LoopLag:
    """Asks the loop to wake up four times a second and observes how late it does."""

    def __init__(self, registry: Registry, worker: str = "0") -> None:
        self._histogram: Histogram = registry.histograms(telemetry.LOOP_LAG).at(worker)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._arm(loop, loop.time() + LAG_EVERY_S)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self._handle = loop.call_at(due_s, self._observe, loop, due_s)

    def _observe(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now = loop.time()
        self._histogram.observe(max(0.0, now - due_s))
        self._arm(loop, now + LAG_EVERY_S)


def sample_process(registry: Registry, version: str) -> None:
    """Add process_* and build_info to `registry`. What the platform does not tell is left out."""
    started_at_s = time.time() - _age_s()
    python = platform.python_version()
    registry.sample(telemetry.BUILD_INFO, lambda: [((version, python), 1)])
    registry.sample(telemetry.PROCESS_CPU, lambda: [((), time.process_time())])
    registry.sample(telemetry.PROCESS_RSS, lambda: [((), _resident_bytes())])
    registry.sample(telemetry.PROCESS_START, lambda: [((), started_at_s)])
    if _FDS.exists():
        registry.sample(telemetry.PROCESS_FDS, lambda: [((), sum(1 for _ in _FDS.iterdir()))])


def sample_config(registry: Registry, digest: str) -> None:
    """Show which policy is in force; called again by each reload."""
    registry.sample(telemetry.CONFIG_INFO, lambda: [((digest,), 1)])


def _resident_bytes() -> int:
    try:
        return int(_MEMORY.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _age_s() -> float:
    """For how long this process has run; zero where /proc does not say."""
    try:
        fields = _STAT.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
