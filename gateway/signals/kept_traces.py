"""The traces that are kept: decided when calls are settled, built in a thread, handed to each destination.

The event loop says which destinations keep a call and appends it to a queue; all that is made of it, from spans to what
a destination calls them, is made where nobody waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.signals.conventions import CACHE_STORE, LEDGER_WRITE, Attr
from gateway.signals.sampling import outlook
from gateway.signals.span_export import EXPORT_TIMEOUT_S, Dropped
from gateway.signals.span_values import Kind, Link, Span
from gateway.signals.spans import USUAL, spans_of
from gateway.signals.store_notes import Stored, StoreNotes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.call import Call
    from gateway.records.settlement import SettledCall
    from gateway.signals.content import ContentCapture
    from gateway.signals.conventions import Wording
    from gateway.signals.sampling import SampledBy, Sampling
    from gateway.signals.span_export import SpanExport
    from gateway.signals.span_values import Value

log = logging.getLogger(__name__)

MOST_WAITING_CALLS: Final = 2_048
MOST_WAITING_BYTES: Final = 64 << 20
MOST_UNWRITTEN_CALLS: Final = 10_000
"""Whose rows are not in the ledger yet; while it is away, the write of what comes beyond is linked to nothing."""
LINKS_MAX: Final = 128
"""OpenTelemetry's own bound of links on one span."""
BUILD_EVERY_S: Final = 0.1
_CALLS_AT_A_TIME: Final = 8
_PAUSE_S: Final = 0.0005


class Destination(NamedTuple):
    """Where traces go, and which of them."""

    sampling: Sampling
    export: SpanExport


class Kept(NamedTuple):
    """A call that some destinations keep, each for a reason of its own; None for those that do not."""

    settled: SettledCall
    reasons: tuple[SampledBy | None, ...]


class Unwritten(NamedTuple):
    """What is left of a kept call until its rows are written: no prompt waits for a ledger that is away."""

    link: Link
    reasons: tuple[SampledBy | None, ...]


class Committed(NamedTuple):
    """One write of the ledger: how many rows it had, how many are written by now, and when it began and ended."""

    rows: int
    written: int
    start_ns: int
    end_ns: int


class Traces:
    """Process scope. `handed_over` says how many rows the ledger has been given so far. `content`
    adds what was said; None where nobody may see it.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        rng: Random,
        wording: Wording = USUAL,
        handed_over: Callable[[], int] = lambda: 0,
        content: ContentCapture | None = None,
    ) -> None:
        self.outlook = outlook([one.sampling for one in destinations])
        self.destinations = tuple(destinations)
        self._wording = wording
        self._rng = rng
        self._handed_over = handed_over
        self._content = content
        self._waiting: deque[Kept | Committed | Stored] = deque()
        self._stores = StoreNotes()
        self._waiting_bytes = 0
        self._taken_bytes = 0
        self._kept_now: list[Unwritten] = []
        self._unwritten: deque[tuple[int, Unwritten]] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the event loop -----------------------------------------------------------------------------------------------

    def may_keep(self, call: Call) -> bool:
        """Whether a call, not settled yet, may be kept for anything but its cost."""
        return self.outlook.may_keep(call)

    def keep(self, settled: SettledCall) -> bool:
        """Keep the trace of this call wherever it is wanted; whether it is."""
        reasons = tuple([one.sampling.keeps(settled) for one in self.destinations])
        if not any(reasons):
            return False
        size_bytes = _size_bytes(settled.call)
        is_full = self._waiting_bytes - self._taken_bytes + size_bytes > MOST_WAITING_BYTES
        if is_full or len(self._waiting) >= MOST_WAITING_CALLS:
            self._drop(reasons, 1 + len(settled.call.marks) + len(settled.attempts))
            return False
        kept = Kept(settled, reasons)
        self._waiting_bytes += size_bytes
        self._waiting.append(kept)
        self._kept_now.append(Unwritten(_link(settled.call), reasons))
        self._note(self._stores.kept(settled.call, reasons))
        return True

    def stored(self, call: Call, times_ns: tuple[int, int]) -> None:
        """A cache has stored this call's answer, from one moment to another in Unix nanoseconds."""
        self._note(self._stores.stored(call, times_ns))

    def _note(self, stored: Stored | None) -> None:
        if stored is not None and len(self._waiting) < MOST_WAITING_CALLS:
            self._waiting.append(stored)

    def rows_follow(self) -> None:
        """The ledger has been handed the rows of all that was kept until now."""
        if self._kept_now:
            if len(self._unwritten) < MOST_UNWRITTEN_CALLS:
                last_row = self._handed_over()
                self._unwritten.extend([(last_row, one) for one in self._kept_now])
            self._kept_now.clear()

    # -- the ledger's thread ------------------------------------------------------------------------------------------

    def committed(self, rows: int, written: int, took_ns: tuple[int, int]) -> None:
        """Rows were written, from one moment to another."""
        if self._unwritten and len(self._waiting) < MOST_WAITING_CALLS:
            self._waiting.append(Committed(rows, written, *took_ns))

    # -- start and end ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for one in self.destinations:
            one.export.start()
        self._thread = threading.Thread(target=self._build_all, name="traces", daemon=True)
        self._thread.start()

    def close(self, within_s: float = EXPORT_TIMEOUT_S) -> None:
        """Send what waits, for at most about `within_s` all together. Blocks; call it from a thread."""
        until_s = time.monotonic() + within_s
        self._closing.set()
        if self._thread is not None:
            self._thread.join(within_s)
        for one in self.destinations:
            one.export.hurry()
        for one in self.destinations:
            one.export.close(until_s - time.monotonic())

    # -- the building thread ------------------------------------------------------------------------------------------

    def _build_all(self) -> None:
        while not self._closing.wait(BUILD_EVERY_S):
            self._build_waiting()
        self._build_waiting()

    def _build_waiting(self) -> None:
        done = 0
        while self._waiting:
            found = self._waiting.popleft()
            try:
                if isinstance(found, Committed):
                    self._tell_of_write(found)
                elif isinstance(found, Stored):
                    self._tell_of_store(found)
                else:
                    self._taken_bytes += _size_bytes(found.settled.call)
                    self._build(found)
            except Exception:
                log.exception("a trace could not be built")
                if isinstance(found, Kept):
                    self._drop(found.reasons, 1, Dropped.FAILED)
            done += 1
            if done % _CALLS_AT_A_TIME == 0:
                time.sleep(_PAUSE_S)  # the event loop wants the interpreter, too

    def _build(self, kept: Kept) -> None:
        spans = spans_of(kept.settled, self._wording)
        if self._content is not None:
            spans = self._content.added(kept.settled, spans)
        root = spans[0]
        for destination, reason in zip(self.destinations, kept.reasons, strict=True):
            if reason is not None:
                shown = root._replace(attributes=root.attributes | {Attr.SAMPLED_BY: reason.value})
                destination.export.offer([shown, *spans[1:]])

    def _tell_of_write(self, committed: Committed) -> None:
        """A trace of its own: a call's would be stretched to when its rows happened to be written."""
        of: list[Unwritten] = []
        while self._unwritten and self._unwritten[0][0] <= committed.written:
            of.append(self._unwritten.popleft()[1])
        for index, destination in enumerate(self.destinations):
            links = [one.link for one in of if one.reasons[index] is not None]
            if links:
                destination.export.offer(
                    [self._after(LEDGER_WRITE, committed[2:], links, {Attr.LEDGER_ROWS: committed.rows})]
                )

    def _tell_of_store(self, stored: Stored) -> None:
        """Likewise: the caller had its answer before."""
        trail = stored.trail
        for destination, reason in zip(self.destinations, trail.reasons, strict=True):
            if reason is not None:
                attributes: dict[str, Value] = {Attr.CACHE_ENTRY: trail.entry}
                destination.export.offer([self._after(CACHE_STORE, stored[1:], [trail.link], attributes)])

    def _after(self, name: str, times_ns: tuple[int, int], links: list[Link], attributes: dict[str, Value]) -> Span:
        """The root of a new trace, for what was done when an answer had gone out."""
        ids = f"{self._rng.getrandbits(192):048x}"
        span = Span(name, Kind.INTERNAL, ids[:32], ids[32:], None, *times_ns, attributes)
        return span._replace(links=tuple(links[:LINKS_MAX]))

    def _drop(self, reasons: Sequence[SampledBy | None], spans: int, why: Dropped = Dropped.QUEUE_FULL) -> None:
        for destination, reason in zip(self.destinations, reasons, strict=True):
            if reason is not None:
                destination.export.drop(why, spans)


def _link(call: Call) -> Link:
    return Link(call.trace.trace_id, call.trace.span_id)


def _size_bytes(call: Call) -> int:
    """What a waiting call holds on to, about."""
    return call.request.body_bytes + call.sent_bytes
