from __future__ import annotations

import sys
import threading
from random import Random
from typing import TYPE_CHECKING

from gateway.call import Cached
from gateway.records.settlement import settle
from gateway.signals import kept_traces
from gateway.signals.conventions import Attr
from gateway.signals.kept_traces import Destination, Traces
from gateway.signals.sampling import Sampling
from gateway.signals.span_export import Dropped, SpanExport
from gateway.signals.span_values import Kind, Link
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import answered, attempt, call
from tests.gateway.kept_spans import EVERYTHING, AtOnce, Taken, ToList, traces_among

if TYPE_CHECKING:
    import pytest

    from gateway.call import Call
    from gateway.signals.sending import Sent
    from gateway.signals.span_values import Span

NOTHING, FAILURES = Sampling(0.0, errors=False), Sampling(0.0)


def failed() -> Call:
    return call(attempt(failure=Failure(FailureKind.CONNECT), sent=False), status=502, error_code="upstream_error")


def test_each_destination_gets_what_its_rules_keep_and_hears_why() -> None:
    every: list[Span] = []
    bad: list[Span] = []
    none: list[Span] = []
    traces = traces_among([(EVERYTHING, every), (FAILURES, bad), (NOTHING, none)])
    good, broken = answered(), failed()
    assert [traces.keep(settle(one)) for one in (good, broken)] == [True, True]
    assert [span.attributes.get(Attr.SAMPLED_BY) for span in every] == ["ratio", None, "error", None]
    assert [span.attributes.get(Attr.SAMPLED_BY) for span in bad] == ["error", None]
    assert none == []
    assert {span.trace_id for span in bad} == {broken.trace.trace_id}
    assert not traces_among([(FAILURES, bad)]).keep(settle(answered()))


def test_beyond_its_bounds_the_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_traces, "MOST_WAITING_CALLS", 2)
    spans: list[Span] = []
    traces = Traces([Destination(EVERYTHING, ToList(spans))], Random(7))
    assert [traces.keep(settle(answered())) for _ in range(4)] == [True, True, False, False]
    assert traces.destinations[0].export.drops == {Dropped.QUEUE_FULL: 4}
    traces._build_waiting()
    assert len(spans) == 4
    assert traces.keep(settle(answered()))


def test_what_waits_holds_on_to_no_more_bytes_than_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        kept_traces, "MOST_WAITING_BYTES", 2_500
    )  # a call holds 120 of its request and 900 of its answer
    traces = Traces([Destination(EVERYTHING, ToList([]))], Random(7))
    assert [traces.keep(settle(answered())) for _ in range(3)] == [True, True, False]
    traces._build_waiting()
    assert traces.keep(settle(answered()))


def test_a_trace_that_cannot_be_built_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    spans: list[Span] = []
    traces = Traces([Destination(EVERYTHING, ToList(spans))], Random(7))
    broken = settle(answered())
    traces.keep(broken)
    traces.keep(settle(answered()))
    broken.attempts[0].attempt = None  # type: ignore[assignment]  # what no code should do
    traces._build_waiting()
    assert "a trace could not be built" in caplog.text
    assert traces.destinations[0].export.drops == {Dropped.FAILED: 1}
    assert len(spans) == 2


class Ledger:
    def __init__(self) -> None:
        self.handed_over = 0


def linked(spans: list[Span], sampling: Sampling = EVERYTHING) -> tuple[AtOnce, Ledger]:
    ledger = Ledger()
    traces = AtOnce([Destination(sampling, ToList(spans))], Random(7), handed_over=lambda: ledger.handed_over)
    return traces, ledger


def test_a_write_of_the_ledger_is_a_trace_of_its_own_with_links_to_the_calls_in_it() -> None:
    spans: list[Span] = []
    traces, ledger = linked(spans)
    first, second, third = answered(), answered(), answered()
    for one, rows in ((first, 1), (second, 1), (third, 2)):
        traces.keep(settle(one))
        ledger.handed_over += rows
        traces.rows_follow()
    spans.clear()
    traces.committed(2, 2, (10, 25))
    (write,) = spans
    assert (write.name, write.kind, write.parent_id) == ("pointsman.ledger.write", Kind.INTERNAL, None)
    assert (write.start_ns, write.end_ns, write.attributes) == (10, 25, {Attr.LEDGER_ROWS: 2})
    assert [tuple(link) for link in write.links] == [(one.trace.trace_id, one.trace.span_id) for one in (first, second)]
    assert write.trace_id not in {one.trace.trace_id for one in (first, second, third)}
    traces.committed(1, 3, (30, 31))
    assert len(spans) == 1, "the third call has two rows, and one of them is still to come"
    traces.committed(1, 4, (40, 41))
    assert [link.trace_id for link in spans[1].links] == [third.trace.trace_id]


def test_a_write_of_nothing_that_was_kept_is_not_told() -> None:
    spans: list[Span] = []
    traces, ledger = linked(spans, FAILURES)
    traces.keep(settle(answered()))
    ledger.handed_over = 1
    traces.rows_follow()
    traces.committed(1, 1, (0, 1))
    assert spans == []


def test_a_write_has_no_more_links_than_a_span_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_traces, "LINKS_MAX", 2)
    spans: list[Span] = []
    traces, ledger = linked(spans)
    for _ in range(3):
        traces.keep(settle(answered()))
    ledger.handed_over = 3
    traces.rows_follow()
    traces.committed(3, 3, (0, 1))
    assert len(spans[-1].links) == 2


def test_while_the_ledger_is_away_no_call_is_held_on_to_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_traces, "MOST_UNWRITTEN_CALLS", 2)
    spans: list[Span] = []
    traces, ledger = linked(spans)
    held = []
    for _ in range(4):
        settled = settle(answered())
        before = sys.getrefcount(settled)
        traces.keep(settled)
        ledger.handed_over += 1
        traces.rows_follow()
        held.append(sys.getrefcount(settled) - before)
    assert held == [0, 0, 0, 0]
    traces.committed(4, 4, (0, 1))
    assert len(spans[-1].links) == 2
    traces.keep(settle(answered()))
    ledger.handed_over += 1
    traces.rows_follow()
    traces.committed(1, 5, (2, 3))
    assert len(spans[-1].links) == 1


def test_what_was_kept_is_sent_before_close_returns() -> None:
    sent: list[Span] = []
    traces = Traces([Destination(EVERYTHING, SpanExport(Taken(sent)))], Random(7))
    traces.start()
    for _ in range(20):
        traces.keep(settle(answered()))
    traces.close()
    assert len(sent) == 40


def test_one_destination_that_hangs_keeps_neither_the_others_nor_the_end_waiting() -> None:
    free = threading.Event()

    class Hanging(Taken):
        def send(self, spans: list[Span], /) -> Sent:
            free.wait(5)
            return super().send(spans)

    stuck: list[Span] = []
    sent: list[Span] = []
    exports = [SpanExport(Hanging(stuck)), SpanExport(Taken(sent))]
    traces = Traces([Destination(EVERYTHING, one) for one in exports], Random(7))
    traces.start()
    traces.keep(settle(answered()))
    traces.close(within_s=0.3)
    assert (len(stuck), len(sent)) == (0, 2)
    free.set()


def test_what_a_cache_stored_of_a_kept_call_is_a_trace_of_its_own() -> None:
    every: list[Span] = []
    bad: list[Span] = []
    traces = traces_among([(EVERYTHING, every), (FAILURES, bad)])
    kept, lost = answered(), answered()
    kept.cached = lost.cached = Cached(entry_id="ce_1")
    traces.keep(settle(kept))
    traces.stored(kept, (10, 25))
    traces._build_waiting()
    store = every[-1]
    assert (store.name, store.parent_id, store.start_ns, store.end_ns) == ("pointsman.cache.store", None, 10, 25)
    assert (store.links, store.attributes) == (
        (Link(kept.trace.trace_id, kept.trace.span_id),),
        {Attr.CACHE_ENTRY: "ce_1"},
    )
    traces.stored(lost, (10, 25))
    traces._build_waiting()
    assert (every[-1], bad) == (store, [])
