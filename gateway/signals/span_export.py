"""Sends kept spans to one destination: a bounded queue and a thread of its own, so that none waits for another.

What does not fit, is refused or cannot be sent is counted by reason. OpenTelemetry is imported only when a sender is
made, which is when the policy names an endpoint.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.errors import MissingExtra
from gateway.extras import OTLP, remedy
from gateway.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.signals.sending import Sender, Sent
    from gateway.signals.span_values import Span

log = logging.getLogger(__name__)

MOST_WAITING_SPANS: Final = 8_192
SPANS_PER_EXPORT: Final = 512
EXPORT_EVERY_S: Final = 1.0
EXPORT_TIMEOUT_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
TRIES: Final = 6
SAY_EVERY_S: Final = 60.0


class Dropped(StrEnum):
    """Why spans were thrown away; the value is a metric label."""

    QUEUE_FULL = "queue_full"
    REFUSED = "refused"  # the receiver said that it will never take them
    UNREACHABLE = "unreachable"  # it could not be reached, or asked for patience, more often than is waited for
    CLOSING = "closing"
    FAILED = "failed"  # a bug


def otlp_sender(endpoint: str, headers: Mapping[str, str] | None = None, version: str = "") -> Sender[Span]:
    """A sender to the collector whose base URL is `endpoint`. Raises `MissingExtra`."""
    try:
        from gateway.signals.otlp import OtlpSender  # noqa: PLC0415 - an extra: imported only when the policy asks for it
    except ImportError as error:
        raise MissingExtra(f"telemetry.otlp: {remedy(OTLP)}") from error
    return OtlpSender(endpoint.rstrip("/") + "/v1/traces", headers or {}, version, EXPORT_TIMEOUT_S)


class SpanExport:
    """`sent` and `drops` count spans."""

    def __init__(self, sender: Sender[Span], profile: Callable[[Span], Span] | None = None, name: str = "") -> None:
        self.name = name
        self.sent = 0
        self.drops: dict[Dropped, int] = {}
        self._sender = sender
        self._profile = profile
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._said_at_s = float("-inf")

    @property
    def dropped(self) -> int:
        """Spans thrown away."""
        return sum(self.drops.values())

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._export_all, name=f"spans {self.name}".strip(), daemon=True)
        self._thread.start()

    def offer(self, spans: list[Span]) -> None:
        """Export these spans soon, unless the queue is full."""
        if len(self._waiting) + len(spans) > MOST_WAITING_SPANS:
            self.drop(Dropped.QUEUE_FULL, len(spans))
            return
        self._waiting.extend(spans)
        if len(self._waiting) >= SPANS_PER_EXPORT:
            self._wake.set()

    def drop(self, why: Dropped, spans: int) -> None:
        """Note that spans for this destination were thrown away."""
        with self._lock:
            self.drops[why] = self.drops.get(why, 0) + spans

    def hurry(self) -> None:
        """Send what waits and end; does not wait for that."""
        self._closing.set()
        self._wake.set()

    def close(self, within_s: float = EXPORT_TIMEOUT_S) -> None:
        """Send what waits, for at most about `within_s`. Blocks; call it from a thread."""
        self.hurry()
        if self._thread is not None:
            self._thread.join(max(0.0, within_s))
        if self._thread is None or self._thread.is_alive():
            self.drop(Dropped.CLOSING, len(self._waiting))
            self._waiting.clear()
        self._sender.close()

    # -- the exporting thread ---------------------------------------------------------------------------------------

    def _export_all(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(EXPORT_EVERY_S)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while True:
            spans: list[Span] = []
            try:
                while len(spans) < SPANS_PER_EXPORT:
                    spans.append(self._waiting.popleft())
            except IndexError:
                pass
            if not spans:
                return
            self._deliver(spans)

    def _deliver(self, spans: list[Span]) -> None:
        try:
            shown = spans if self._profile is None else [self._profile(span) for span in spans]
            sent = self._send(shown)
        except Exception:
            log.exception("spans could not be sent")
            self.drop(Dropped.FAILED, len(spans))
            return
        if sent.retry_after_s is not None:
            self._complain(sent)
            self.drop(Dropped.CLOSING if self._closing.is_set() else Dropped.UNREACHABLE, len(spans))
            return
        self.sent += len(spans) - sent.refused
        if sent.refused:
            self._complain(sent)
            self.drop(Dropped.REFUSED, sent.refused)

    def _send(self, spans: list[Span]) -> Sent:
        """The last answer. A receiver that asks for patience, or is away, is tried again a few times."""
        pause_s = FIRST_PAUSE_S
        for _ in range(TRIES - 1):
            sent = self._sender.send(spans)
            if sent.retry_after_s is None or self._closing.is_set():
                return sent
            self._closing.wait(min(LONGEST_PAUSE_S, max(pause_s, sent.retry_after_s)))
            pause_s *= 2
        return self._sender.send(spans)

    def _complain(self, sent: Sent) -> None:
        """Once a minute; the counts tell the rest."""
        if time.monotonic() >= self._said_at_s + SAY_EVERY_S:
            self._said_at_s = time.monotonic()
            log.warning(
                "the receiver of traces%s does not take them: %s", f" {self.name}" * bool(self.name), scrub(sent.why)
            )
