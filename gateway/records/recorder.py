"""Settles finished calls off the path and tells metrics, ledger, log and traces what came of them, once each.

The path appends a call and goes on. A process-wide task wakes at most every 20 ms, works in slices so that it never
holds the loop for long, and outlives every handler, cancelled ones included.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import count_missing, lacks_usage, settle
from gateway.records.usual_calls import UsualCalls
from gateway.records.usual_hits import UsualHits
from gateway.signals.telemetry import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.call import Call
    from gateway.records.call_metrics import CallMetrics
    from gateway.records.live_events import LiveEvents
    from gateway.records.request_log import RequestLog
    from gateway.records.settlement import TokenCounts
    from gateway.signals.kept_traces import Traces
    from gateway.state.ledger.schema import LedgerRow
    from policies.tariffs import Price

log = logging.getLogger(__name__)

WAKE_EVERY_S = 0.02
SLICE_CALLS = 64


class Rows(Protocol):
    def append(self, rows: Sequence[LedgerRow]) -> None: ...


class Lines(Protocol):
    def offer(self, lines: list[bytes]) -> None: ...


class Decisions(Protocol):
    def add(self, call: Call, rows: Sequence[LedgerRow], outcome: str) -> None: ...


def nobody_asks(price: Price) -> None:
    """For a ledger that keeps no prices."""


@dataclass(frozen=True, slots=True)
class Sinks:
    """Everything that hears of a settled call. `traces` is None where no endpoint is configured. `note_price` hears of
    each price before the first row that names it, `events` what watchers of this moment are shown.
    """

    metrics: CallMetrics
    ledger: Rows
    request_log: RequestLog
    lines: Lines
    decisions: Decisions
    traces: Traces | None = None
    note_price: Callable[[Price], None] = nobody_asks
    events: LiveEvents | None = None


class Recorder:
    """The settlement actor. Nothing bounds what it holds: a call that was served is a call that is billed."""

    def __init__(self, counts: TokenCounts, sinks: Sinks) -> None:
        self.failures = 0
        self._counts = counts
        self._sinks = sinks
        # Lines for people have their own.
        has_short_form, origins = sinks.request_log.as_json, sinks.request_log.origins
        self._usual = UsualCalls(sinks.metrics, sinks.note_price, origins) if has_short_form else None
        self._hits = UsualHits(sinks.metrics, origins) if has_short_form else None
        self._calls: deque[Call] = deque()
        self._uncounted: deque[Call] = deque()
        self._in_hand = 0
        self._wake = asyncio.Event()
        self._count_wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._settled = False

    @property
    def pending(self) -> int:
        """Calls that no sink has heard of yet."""
        return len(self._calls) + len(self._uncounted) + self._in_hand

    def record(self, call: Call) -> None:
        """Settle this call soon. Called on the event loop, at the end of every call, and never waits."""
        self._calls.append(call)
        if self._timer is None and self._tasks:
            self._timer = asyncio.get_running_loop().call_later(WAKE_EVERY_S, self._wake.set)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name="recorder"),
            asyncio.create_task(self._count(), name="recorder-counting"),
        ]
        self._wake.set()

    async def close(self) -> None:
        """Settle everything that was recorded, what must be counted first included."""
        self._closing = True
        self._wake.set()
        tasks, self._tasks = self._tasks, []
        for task in tasks:  # settling first: only then is it known what must still be counted
            await task
            self._settled = True
            self._count_wake.set()
        if self._timer is not None:
            self._timer.cancel()
        if self.pending:
            log.error("%d calls were not recorded before the end", self.pending)

    async def _run(self) -> None:
        while not self._closing or self._calls:
            await self._wake.wait()
            self._wake.clear()
            while self._calls:
                self._settle_slice()
                await asyncio.sleep(0)
            self._timer = None
            if self._closing:
                self._wake.set()

    async def _count(self) -> None:
        """Counting takes milliseconds in a thread, so those calls queue apart and hold up no other."""
        while True:
            await self._count_wake.wait()
            self._count_wake.clear()
            while self._uncounted:
                call = self._uncounted.popleft()
                self._in_hand = 1
                try:
                    await count_missing(call, self._counts)
                except Exception as error:  # noqa: BLE001 - one call's trouble must not become the others'
                    self._note_failure(call, error)
                if call.admitted is not None:
                    call.admitted.settle_counted()
                self._tell([call])
                self._in_hand = 0
            if self._settled:
                return

    def _settle_slice(self) -> None:
        ready: list[Call] = []
        for _ in range(min(len(self._calls), SLICE_CALLS)):
            call = self._calls.popleft()
            (self._uncounted if lacks_usage(call) else ready).append(call)
        if self._uncounted:
            self._count_wake.set()
        self._tell(ready)

    def _tell(self, calls: Sequence[Call]) -> None:
        """All sinks hear of these calls, the ledger even where another one fails."""
        rows: list[LedgerRow] = []
        lines: list[bytes] = []
        events: list[bytes] = lines if self._sinks.request_log.as_json else []
        traces, decide = self._sinks.traces, self._sinks.decisions.add
        for call in calls:
            try:
                usual = None if traces is not None and traces.may_keep(call) else self._take_short(call)
                if usual is not None:
                    row, line = usual
                    rows.append(row)
                    decide(call, (row,), Outcome.OK)
                    lines.append(line)
                    if traces is not None and traces.outlook.is_dear(call):
                        traces.keep(settle(call))
                    continue
                settled = settle(call)
                settled.note_prices(self._sinks.note_price)
                its_rows = ledger_rows(settled)
                rows += its_rows
                decide(call, its_rows, settled.outcome)
                lines.append(self._sinks.request_log.line(settled))
                if events is not lines and self._is_watched:
                    events.append(self._sinks.request_log.json_line(settled))
                is_kept = traces is not None and traces.keep(settled)
                self._sinks.metrics.add(settled, call.trace.trace_id if is_kept else None)
            except Exception as error:  # noqa: BLE001 - one call's trouble must not become the others'
                self._note_failure(call, error)
        self._sinks.ledger.append(rows)
        if traces is not None:
            traces.rows_follow()
        if lines:
            self._sinks.lines.offer(lines)
            if self._sinks.events is not None and self._sinks.events.is_watched:
                self._sinks.events.add(events)

    @property
    def _is_watched(self) -> bool:
        return self._sinks.events is not None and self._sinks.events.is_watched

    def _take_short(self, call: Call) -> tuple[LedgerRow, bytes] | None:
        """The row and line of a usual call; None for any other."""
        short = self._usual if call.attempts else self._hits
        return None if short is None else short.take(call)

    def _note_failure(self, call: Call, error: Exception) -> None:
        self.failures += 1
        log.error("call %s could not be recorded", call.id, exc_info=error)
