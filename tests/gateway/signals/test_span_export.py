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
from gateway.signals.sending import Sent
from gateway.signals.span_export import Dropped, SpanExport, otlp_sender
from gateway.signals.spans import spans_of
from tests.gateway.calls import answered
from tests.gateway.otlp_receiver import OtlpReceiver

if TYPE_CHECKING:
    from gateway.signals.span_values import Span

LATER = Sent(retry_after_s=0.0, why="status 503")


class FakeSender:
    """Answers what `answers` holds, the last of it for ever."""

    def __init__(self, *answers: Sent) -> None:
        self.sent: list[Span] = []
        self.answers = list(answers) or [Sent()]
        self.tries = 0
        self.may_send = threading.Event()
        self.may_send.set()
        self.is_asked = threading.Event()
        self.is_closed = False

    def send(self, spans: list[Span]) -> Sent:
        self.tries += 1
        self.is_asked.set()
        assert self.may_send.wait(5)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.retry_after_s is None:
            self.sent += spans[answer.refused :]
        return answer

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are there, and short."""
    monkeypatch.setattr(span_export, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(span_export, "LONGEST_PAUSE_S", 0.01)


def two_spans() -> list[Span]:
    return spans_of(settle(answered()))


def exported(sender: FakeSender, spans: list[Span]) -> SpanExport:
    """An export that has been offered these spans, and has worked on them without a thread."""
    export = SpanExport(sender)
    export.offer(spans)
    export._drain()
    return export


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
    assert (export.sent, export.dropped, export.waiting) == (1_400, 0, 0)


def test_beyond_its_bound_the_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "MOST_WAITING_SPANS", 10)
    sender = FakeSender()
    export = SpanExport(sender)
    for _ in range(8):
        export.offer(two_spans())
    assert export.drops == {Dropped.QUEUE_FULL: 6}
    export.start()
    export.close()
    assert len(sender.sent) == 10


def test_what_a_receiver_refuses_is_counted_and_not_sent_again() -> None:
    sender = FakeSender(Sent(refused=1, why="status 200, and one of them is wrong"))
    export = exported(sender, two_spans())
    assert (export.sent, export.drops, sender.tries) == (1, {Dropped.REFUSED: 1}, 1)


def test_a_receiver_that_asks_for_patience_is_tried_again() -> None:
    sender = FakeSender(LATER, LATER, Sent())
    export = exported(sender, two_spans())
    assert (export.sent, export.dropped, sender.tries) == (2, 0, 3)


def test_a_wait_is_as_long_as_the_receiver_says_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    export = SpanExport(FakeSender(Sent(retry_after_s=0.007), Sent(retry_after_s=9e9), LATER, Sent()))
    waited: list[float] = []
    monkeypatch.setattr(export._closing, "wait", waited.append)
    export.offer(two_spans())
    export._drain()
    assert waited == [0.007, 0.01, 0.004]


def test_patience_ends(caplog: pytest.LogCaptureFixture) -> None:
    sender = FakeSender(LATER)
    export = exported(sender, two_spans())
    assert (export.drops, sender.tries) == ({Dropped.UNREACHABLE: 2}, span_export.TRIES)
    export.offer(two_spans())
    export._drain()
    assert [record.message for record in caplog.records] == ["the receiver of traces does not take them: status 503"]


def test_a_sender_that_raises_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(span_export, "SPANS_PER_EXPORT", 2)
    sender = FakeSender()
    send, failures = sender.send, [OSError("down")]

    def fail_once(spans: list[Span]) -> Sent:
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
    assert export.drops == {Dropped.FAILED: 2}
    assert "spans could not be sent" in caplog.text


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    sender = FakeSender()
    sender.may_send.clear()
    export = SpanExport(sender)
    export.start()
    export.offer(two_spans())
    export.hurry()
    assert sender.is_asked.wait(5)
    export.offer(two_spans())
    export.close(within_s=0.05)
    assert sender.is_closed
    assert export.drops == {Dropped.CLOSING: 2}
    sender.may_send.set()


def test_a_receiver_that_is_away_at_the_end_is_tried_once_more() -> None:
    sender = FakeSender(LATER)
    export = SpanExport(sender)
    export.offer(two_spans())
    export.hurry()
    export._drain()
    assert (sender.tries, export.drops) == (1, {Dropped.CLOSING: 2})


def test_each_span_is_told_as_its_destination_wants_it() -> None:
    sender = FakeSender()
    export = SpanExport(sender, lambda span: span._replace(name=f"my {span.name}"))
    export.offer(two_spans())
    export._drain()
    assert [span.name for span in sender.sent] == ["my POST /v1/chat/completions", "my chat gpt-4o-2024-08-06"]


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
        "import sys, gateway.records.reporting, gateway.signals.span_export; sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
