"""Traces that are built at once and kept in a list, for tests of what is told of calls."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from gateway.signals.kept_traces import Destination, Traces
from gateway.signals.sampling import Sampling
from gateway.signals.sending import Sent
from gateway.signals.span_export import SpanExport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.records.settlement import SettledCall
    from gateway.signals.span_values import Span

EVERYTHING = Sampling(1.0)


class Taken:
    """A sender that keeps what it is given."""

    def __init__(self, spans: list[Span]) -> None:
        self._spans = spans

    def send(self, spans: list[Span], /) -> Sent:
        self._spans += spans
        return Sent()

    def close(self) -> None:
        """Nothing is open."""


class ToList(SpanExport):
    """An export without a thread."""

    def __init__(self, spans: list[Span]) -> None:
        super().__init__(Taken(spans))

    def offer(self, spans: list[Span]) -> None:
        super().offer(spans)
        self._drain()


class AtOnce(Traces):
    """Traces without a thread."""

    def keep(self, settled: SettledCall) -> bool:
        is_kept = super().keep(settled)
        self._build_waiting()
        return is_kept

    def committed(self, rows: int, written: int, took_ns: tuple[int, int]) -> None:
        super().committed(rows, written, took_ns)
        self._build_waiting()


def traces_to(spans: list[Span], sampling: Sampling = EVERYTHING) -> AtOnce:
    return traces_among([(sampling, spans)])


def traces_among(destinations: Sequence[tuple[Sampling, list[Span]]]) -> AtOnce:
    return AtOnce([Destination(sampling, ToList(spans)) for sampling, spans in destinations], Random(7))
