"""Everything that hears of finished calls, put together: recorder, ledger, metrics, log and traces."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from typing import TYPE_CHECKING

from gateway.errors import StartError
from gateway.explaining.recent import RecentDecisions
from gateway.keys.peppers import digests_of
from gateway.prompts.tokens import TokenCounter
from gateway.records.agreement import CountedRows, watch_agreement
from gateway.records.call_metrics import CallMetrics
from gateway.records.live_events import LiveEvents
from gateway.records.origins import Origins, this_process
from gateway.records.recorder import Recorder, Sinks
from gateway.records.request_log import RequestLog
from gateway.signals import ledger_telemetry, telemetry, vitals_telemetry
from gateway.signals.exposition import Scrapes
from gateway.signals.fleet_metrics import watch_fleet
from gateway.signals.logs import LogSink, set_up_logging
from gateway.signals.metric_export import MetricExport, metric_sender
from gateway.signals.metrics import Registry
from gateway.signals.trace_setup import dropped_by, traces_of
from gateway.signals.vitals import GcPauses, LoopLag, sample_config, sample_price_table, sample_process
from gateway.state.ledger.ledger import Ledger, LedgerError
from gateway.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.config import Config
    from gateway.generation import Generation
    from gateway.keys.virtual_keys import Hmac
    from gateway.lifecycle import Lifecycle
    from gateway.state.fleet import Fleet
    from policies.vocabulary import Deployment

log = logging.getLogger(__name__)


class Reporting:
    """Process scope. What it was made from (ledger, log, endpoint of traces) stays until the process ends."""

    def __init__(self, config: Config, worker: int = 0) -> None:
        self.registry = Registry(config.telemetry.metrics.series_max)
        self.scrapes = Scrapes(self.registry)
        settings = config.ledger
        self.ledger = Ledger(settings.url.reveal(), settings.journal, settings.journal_max_bytes, settings.retention_s)
        self._metrics = CallMetrics(self.registry, with_sizes=config.telemetry.metrics.otlp is not None)
        self._metric_export = _metric_export(config, self.registry)
        self._lag = LoopLag(self.registry)
        self._pauses = GcPauses(self.registry)
        self._routes: frozenset[str] = frozenset()
        self.counter = TokenCounter()
        as_json = config.telemetry.log == "json" or (config.telemetry.log == "auto" and not sys.stderr.isatty())
        self._lines = LogSink(sys.stderr.buffer)
        set_up_logging(self._lines, as_json=as_json)
        mac = _mac_of(config)
        self.traces = traces_of(config.telemetry, lambda: self.ledger.handed_over, mac)
        self.decisions = RecentDecisions()
        self.events = LiveEvents(secrets.token_hex(4), time.monotonic)
        self._rows = CountedRows(self.ledger)
        sinks = Sinks(
            self._metrics,
            self._rows,
            RequestLog(as_json=as_json, origins=Origins(this_process(), worker, mac)),
            self._lines,
            self.decisions,
            self.traces,
            self.ledger.note_price,
            self.events,
        )
        self.recorder = Recorder(self.counter, sinks)

    async def start(self) -> None:
        """Raises `StartError` where the ledger cannot be used."""
        try:
            await asyncio.to_thread(self.ledger.start)
        except LedgerError as error:
            raise StartError(str(error)) from error
        self._lines.start()
        if self.traces is not None:
            self.traces.start()
            self.ledger.watch(self.traces.committed)
        self._lag.start()
        self._pauses.start()
        if self._metric_export is not None:
            self._metric_export.start()
        self.recorder.start()

    async def close(self) -> None:
        """Settle every recorded call, then write out what the sinks hold."""
        await self.recorder.close()
        self._lag.close()
        self._pauses.close()
        self.counter.close()
        await asyncio.to_thread(self.ledger.close)
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)
        if self._metric_export is not None:
            await self._metric_export.close()
        await asyncio.to_thread(self._lines.close)

    def watch(self, fleet: Fleet, lifecycle: Lifecycle, known: Callable[[], Iterable[Deployment]] = tuple) -> None:
        """Let scrapes read the live numbers that nobody counts on the path. `known`: the policy's deployments."""
        sample = self.registry.sample
        sample_process(self.registry, VERSION)
        sample(telemetry.INFLIGHT, lambda: self._in_flight(lifecycle))
        sample(telemetry.OPEN_STREAMS, lambda: [((), lifecycle.open_streams)])
        watch_fleet(self.registry, fleet, known)
        watch_agreement(self.registry, self._rows)
        sample(ledger_telemetry.LEDGER_LAG, lambda: [((), self.ledger.lag_s)])
        sample(ledger_telemetry.LEDGER_FAILURES, lambda: [((), self.ledger.write_failures)])
        sample(ledger_telemetry.LEDGER_UNKNOWN, lambda: [((), self.ledger.unknown)])
        sample(ledger_telemetry.LEDGER_DAMAGED, lambda: [((), self.ledger.damaged_bytes)])
        sample(ledger_telemetry.LEDGER_OPEN_INTENTS, lambda: [((), self.ledger.open_intents)])
        sample(ledger_telemetry.LEDGER_JOURNAL, lambda: [((), self.ledger.journal_bytes)])
        sample(vitals_telemetry.RECORD_FAILURES, lambda: [(("settlement",), self.recorder.failures)])
        sample(vitals_telemetry.TELEMETRY_DROPPED, self._dropped)

    def declare(self, generation: Generation) -> None:
        """Begin the series that a policy makes possible, and show which policy is in force."""
        self._metrics.declare(generation.routes)
        self._routes = frozenset(route.name for route in generation.routes)
        sample_config(self.registry, generation.digest)
        sample_price_table(self.registry, generation.prices_date)

    def _in_flight(self, lifecycle: Lifecycle) -> list[tuple[tuple[str, ...], float]]:
        """Of routes that there are, and of those that a reload removed while calls are still on them."""
        counts = lifecycle.in_flight_by_route.items()
        return [((route,), count) for route, count in counts if count or route in self._routes]

    def _dropped(self) -> list[tuple[tuple[str, ...], float]]:
        metrics = [] if self._metric_export is None else self._metric_export.dropped_by()
        return [(("log",), self._lines.dropped), *dropped_by(self.traces), *metrics]


def _metric_export(config: Config, registry: Registry) -> MetricExport | None:
    """Where there are several workers, their supervisor sends what all of them have. Raises `MissingExtra`."""
    settings = config.telemetry.metrics.otlp
    if settings is None or config.server.workers > 1:
        return None
    return MetricExport(registry, metric_sender(settings, config.telemetry.wording.semconv), settings.every_s)


def _mac_of(config: Config) -> Hmac:
    """Without a configured pepper, digests mean something within this run of this process only."""
    newest = next(iter(config.secrets.newest_first), None)
    return digests_of(secrets.token_hex(32) if newest is None else newest.reveal())
