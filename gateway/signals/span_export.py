"""Sends kept traces to an OTLP/HTTP endpoint: a bounded queue, and one thread that builds SDK spans and exports them.

OpenTelemetry is imported only when a sender is made, which is when the policy names an endpoint.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from gateway.errors import MissingExtra
from gateway.extras import OTLP, remedy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.signals.spans import Span

log = logging.getLogger(__name__)

MOST_WAITING_SPANS = 8_192
SPANS_PER_EXPORT = 512
EXPORT_EVERY_S = 1.0
EXPORT_TIMEOUT_S = 5.0


class SpanSender(Protocol):
    """Delivers spans, blocking; False when they were not taken."""

    def send(self, spans: list[Span]) -> bool: ...

    def close(self) -> None: ...


def otlp_sender(endpoint: str, headers: Mapping[str, str] | None = None, version: str = "") -> SpanSender:
    """A sender to the collector whose base URL is `endpoint`. Raises `MissingExtra`."""
    try:
        from gateway.signals.otlp import OtlpSender  # noqa: PLC0415 - an extra: imported only when the policy asks for it
    except ImportError as error:
        raise MissingExtra(f"telemetry.otlp: {remedy(OTLP)}") from error
    return OtlpSender(endpoint.rstrip("/") + "/v1/traces", headers or {}, version, EXPORT_TIMEOUT_S)


class SpanExport:
    """Takes the spans of kept calls and sends them. What does not fit or cannot be sent is counted in `dropped`."""

    def __init__(self, sender: SpanSender) -> None:
        self._sender = sender
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._refused = 0
        self._failed = 0

    @property
    def dropped(self) -> int:
        """Spans thrown away."""
        return self._refused + self._failed

    def start(self) -> None:
        self._thread = threading.Thread(target=self._export_all, name="spans", daemon=True)
        self._thread.start()

    def offer(self, spans: list[Span]) -> None:
        """Export these spans soon, unless the queue is full."""
        if len(self._waiting) + len(spans) > MOST_WAITING_SPANS:
            self._refused += len(spans)
            return
        self._waiting.extend(spans)
        if len(self._waiting) >= SPANS_PER_EXPORT:
            self._wake.set()

    def close(self, within_s: float = EXPORT_TIMEOUT_S) -> None:
        """Send what waits, for at most about `within_s`. Blocks; call it from a thread."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s)
        self._sender.close()

    # -- the exporting thread ---------------------------------------------------------------------------------------

    def _export_all(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(EXPORT_EVERY_S)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), SPANS_PER_EXPORT)
            self._send([self._waiting.popleft() for _ in range(count)])

    def _send(self, spans: list[Span]) -> None:
        is_taken = False
        try:
            is_taken = self._sender.send(spans)
        except Exception:
            log.exception("spans could not be sent")
        if not is_taken:
            self._failed += len(spans)
