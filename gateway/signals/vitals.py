"""How the process itself is doing: event-loop lag, and the process_* family under its usual names."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import os
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.signals import vitals_telemetry
from gateway.signals.ledger_telemetry import PRICE_TABLE_AGE

if TYPE_CHECKING:
    from gateway.signals.metrics import Histogram, Registry

LAG_EVERY_S = 0.25
_MEMORY = Path("/proc/self/statm")
_STAT = Path("/proc/self/stat")
_FDS = Path("/proc/self/fd")


class LoopLag:
    """Asks the loop to wake up four times a second and observes how late it does."""

    def __init__(self, registry: Registry, worker: str = "0") -> None:
        self._histogram: Histogram = registry.histograms(vitals_telemetry.LOOP_LAG).at(worker)
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


class GcPauses:
    """Times Python's search for garbage, which holds up everything else in the process."""

    def __init__(self, registry: Registry, worker: str = "0") -> None:
        self._histogram: Histogram = registry.histograms(vitals_telemetry.GC_PAUSE).at(worker)
        self._began_s = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._observe)

    def close(self) -> None:
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)

    def _observe(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began_s = now
        else:
            self._histogram.observe(now - self._began_s)


def sample_process(registry: Registry, version: str, worker: str = "0") -> None:
    """Add process_* and build_info to `registry`. What the platform does not tell is left out."""
    started_at_s = time.time() - _age_s()
    here = (worker,)
    python = platform.python_version()
    registry.sample(vitals_telemetry.BUILD_INFO, lambda: [((version, python), 1)])
    registry.sample(vitals_telemetry.PROCESS_CPU, lambda: [(here, time.process_time_ns())])
    registry.sample(vitals_telemetry.PROCESS_START, lambda: [(here, started_at_s)])
    registry.sample_apart(vitals_telemetry.PROCESS_RSS, lambda: [(here, _resident_bytes())])
    if _FDS.exists():  # thousands of callers are thousands of names to list
        registry.sample_apart(vitals_telemetry.PROCESS_FDS, lambda: [(here, len(os.listdir(_FDS)))])  # noqa: PTH208 - paths of all would take ten times as long


def sample_config(registry: Registry, digest: str) -> None:
    """Show which policy is in force; called again by each reload."""
    registry.sample(vitals_telemetry.CONFIG_INFO, lambda: [((digest,), 1)])


def sample_price_table(registry: Registry, date: str | None) -> None:
    """Show how old the price table is; called again by each reload. `date`: the day (ISO) that it bears."""
    try:
        since_s = dt.datetime.fromisoformat(date or "").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        registry.sample(PRICE_TABLE_AGE, list)
        return
    registry.sample(PRICE_TABLE_AGE, lambda: [((), max(0.0, time.time() - since_s))])


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
