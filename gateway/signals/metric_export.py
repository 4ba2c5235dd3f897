"""Sends metrics to a collector now and then: copied as for a scrape, written and posted in a thread.

What could not be delivered is counted and not sent again, for the next export says all of it anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import MissingExtra
from gateway.extras import OTLP, remedy
from gateway.scrubbing import scrub
from gateway.signals.vitals_telemetry import TELEMETRY_DROPPED
from gateway.version import VERSION

if TYPE_CHECKING:
    from gateway.config.metering import MetricsExportSettings
    from gateway.signals.conventions import Semconv
    from gateway.signals.exposition import Numbers
    from gateway.signals.metrics import FamilySnapshot, Labels, Registry
    from gateway.signals.sending import Sent

log = logging.getLogger(__name__)

SEND_WITHIN_S: Final = 5.0
SIGNAL: Final = "metrics"


class MetricSender(Protocol):
    """Delivers, blocking."""

    def send(self, snapshots: list[FamilySnapshot], at_ns: int, /) -> Sent: ...

    def close(self) -> None: ...


def metric_sender(settings: MetricsExportSettings, semconv: Semconv) -> MetricSender:
    """A sender to the collector that the policy names. Raises `MissingExtra`."""
    try:
        from gateway.signals.metric_otlp import OtlpMetrics  # noqa: PLC0415 - an extra: imported when the policy asks for it
        from gateway.signals.posting import Poster  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingExtra(f"telemetry.metrics.otlp: {remedy(OTLP)}") from error
    headers = {name: value.reveal() for name, value in settings.headers.items()}
    poster = Poster(settings.endpoint.rstrip("/") + "/v1/metrics", headers, SEND_WITHIN_S)
    return OtlpMetrics(poster, VERSION, semconv, time.time_ns())


class MetricExport:
    """Process scope. `dropped` counts exports that did not arrive, and points that a collector refused."""

    def __init__(self, numbers: Numbers, sender: MetricSender, every_s: float) -> None:
        self.dropped = 0
        self._numbers = numbers
        self._sender = sender
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None
        self._is_away = False
        self._closing = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="metrics by OTLP")

    async def close(self) -> None:
        """Once more, for what came since; whoever does not answer is not waited for longer than usual."""
        self._closing.set()
        if self._task is not None:
            await self._task  # not cancelled: its thread would go on, on the same connection
            await self.export()
        await asyncio.to_thread(self._sender.close)

    async def export(self) -> None:
        """Send all metrics as they are now."""
        try:
            sent = await asyncio.to_thread(self._send, self._numbers.copied(), time.time_ns())
        except Exception:
            self.dropped += 1
            log.exception("metrics could not be exported")
            return
        is_away = bool(sent.why)
        self.dropped += max(sent.refused, int(is_away))
        if is_away and not self._is_away:
            log.warning("the collector does not take metrics: %s", scrub(sent.why))
        self._is_away = is_away

    def _send(self, copied: list[FamilySnapshot], at_ns: int) -> Sent:
        return self._sender.send(self._numbers.finished(copied), at_ns)

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(self._every_s):
                    await self._closing.wait()
            except TimeoutError:
                await self.export()

    def dropped_by(self) -> list[tuple[Labels, float]]:
        return [((SIGNAL,), self.dropped)]


def sample_dropped(registry: Registry, export: MetricExport) -> None:
    """Count its drops where nothing else counts drops."""
    registry.sample(TELEMETRY_DROPPED, export.dropped_by)
