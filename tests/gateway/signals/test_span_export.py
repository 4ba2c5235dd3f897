from __future__ import annotations

import builtins
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.errors import MissingExtra
from gateway.records.settlement import settle
from gateway.signals import span_export
from gateway.signals.span_export import SpanExport, otlp_sender
from gateway.signals.spans import spans_of
from tests.gateway.calls import answered
from tests.gateway.otlp_receiver import OtlpReceiver

if TYPE_CHECKING:
    from gateway.signals.spans import Span


class FakeSender:
    def __init__(self) -> None:
        self.sent: list[Span] = []
        self.takes = True
        self.may_send = threading.Event()
        self.may_send.set()
        self.is_asked = threading.Event()
        self.is_closed = False

    def send(self, spans: list[Span]) -> bool:
        self.is_asked.set()
        assert self.may_send.wait(5)
        if self.takes:
            self.sent += spans
        return self.takes

    def close(self) -> None:
        self.is_closed = True


def two_spans() -> list[Span]:
    return spans_of(settle(answered()))


def test_what_was_offered_is_sent_before_close_returns() -> None:
    sender = FakeSender()
    export = SpanExport(sender)
    export.start()
    offered = [span for _ in range(700) for span in two_spans()]
    for at in range(0, len(offered), 2):
        export.offer(offered[at : at + 2])
    export.close()
    assert sender.sent == offered
    assert sender.is_closed
    assert export.dropped == 0


def test_beyond_its_bound_the_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "MOST_WAITING_SPANS", 10)
    sender = FakeSender()
    export = SpanExport(sender)
    for _ in range(8):
        export.offer(two_spans())
    assert export.dropped == 6
    export.start()
    export.close()
    assert len(sender.sent) == 10


def test_what_a_collector_does_not_take_is_counted() -> None:
    sender = FakeSender()
    sender.takes = False
    export = SpanExport(sender)
    export.offer(two_spans())
    export.start()
    export.close()
    assert export.dropped == 2


def test_a_sender_that_raises_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(span_export, "SPANS_PER_EXPORT", 2)
    sender = FakeSender()
    send, failures = sender.send, [OSError("down")]

    def fail_once(spans: list[Span]) -> bool:
        if failures:
            raise failures.pop()
        return send(spans)

    monkeypatch.setattr(sender, "send", fail_once)
    export = SpanExport(sender)
    export.offer(two_spans())
    export.offer(two_spans())
    export.start()
    export.close()
    assert len(sender.sent) == 2
    assert export.dropped == 2
    assert "spans could not be sent" in caplog.text


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    sender = FakeSender()
    sender.may_send.clear()
    export = SpanExport(sender)
    export.offer(two_spans())
    export.start()
    export.close(within_s=0.05)
    assert sender.is_closed
    sender.may_send.set()


def test_spans_reach_a_collector() -> None:
    with OtlpReceiver() as receiver:
        export = SpanExport(otlp_sender(receiver.endpoint + "/"))
        export.start()
        export.offer(two_spans())
        export.close()
        assert receiver.paths == ["/v1/traces"]
        assert len(receiver.spans) == 2


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import_ = builtins.__import__

    def refuse(name: str, *arguments: object) -> object:
        if name.startswith(("opentelemetry", "gateway.signals.otlp")):
            raise ModuleNotFoundError(name)
        return import_(name, *arguments)  # type: ignore[arg-type]  # what __import__ takes

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"telemetry\.otlp: .*pip install '\.\[otlp\]' in"):
        otlp_sender("http://127.0.0.1:4318")


def test_opentelemetry_is_not_imported_before_somebody_asks_for_it() -> None:
    program = (
        "import sys, gateway.records.recorder, gateway.signals.span_export; sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
