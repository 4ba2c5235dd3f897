"""What grew in a worker's metrics since its supervisor last heard of them, cut into pushes.

A push that was cut stands until it is known to have been heard, and is sent again as it is: only then is the next one
cut from what has grown meanwhile. So nothing piles up while nobody listens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.signals.pushes import (
    NUMBER_MAX,
    SERIES_PER_PUSH,
    Counters,
    Gauges,
    Growth,
    Histograms,
    Observations,
    Push,
)
from gateway.signals.telemetry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.signals.metrics import Cell, FamilySnapshot, Histogram, HistogramValue, Labels, Registry, Series


class Deltas:
    """The pushes of one run of a worker. Belongs to the event loop, which one push holds for about a millisecond."""

    def __init__(self, registry: Registry, epoch: int, series_max: int = SERIES_PER_PUSH) -> None:
        self.epoch = epoch
        self._registry = registry
        self._series_max = series_max
        self._number = 0
        self._standing: Push | None = None
        self._is_behind = False
        self._sampled: dict[tuple[str, Labels], int] = {}

    @property
    def is_behind(self) -> bool:
        """Whether more has grown than the last push could say."""
        return self._is_behind

    def next(self, apart: Iterable[FamilySnapshot] = ()) -> Push:
        """The push to send: the one that was not heard yet, else a new one. `apart` is what was asked in a thread."""
        if self._standing is None:
            self._number += 1
            self._standing = self._cut([*self._registry.sampled(), *apart])
        return self._standing

    def heard(self, number: int) -> None:
        """The supervisor has counted this push."""
        if self._standing is not None and self._standing.number == number:
            self._standing = None

    def _cut(self, sampled: list[FamilySnapshot]) -> Push:
        room = _Room(self._series_max)
        counters = [Counters(one.family.name, _grown(one, room)) for one in self._registry.counted() if _counts(one)]
        histograms = [Histograms(one.family.name, _seen(one, room)) for one in self._registry.observed()]
        self._is_behind = room.is_short
        gauges = [_now(one) for one in self._registry.counted() if not _counts(one)]
        for snapshot in sampled:
            if snapshot.family.kind is Kind.COUNTER:
                counters.append(Counters(snapshot.family.name, self._grown_since(snapshot)))
            else:
                gauges.append(_told(snapshot))
        return Push(
            self.epoch,
            self._number,
            tuple([one for one in counters if one.grown]),
            tuple([one for one in histograms if one.seen]),
            tuple(gauges),
        )

    def _grown_since(self, snapshot: FamilySnapshot) -> tuple[Growth, ...]:
        """Of what is only asked for. One that is less than it was began anew, as its owner did."""
        grown, sampled = [], self._sampled
        for labels, value in _sane(snapshot):
            key, now = (snapshot.family.name, labels), int(value)
            before = sampled.get(key)
            if before != now:
                grown.append(Growth(labels, now if before is None or now < before else now - before))
                sampled[key] = now
        return tuple(grown)


class _Room:
    """How many more series a push takes."""

    __slots__ = ("is_short", "left")

    def __init__(self, most: int) -> None:
        self.left = most
        self.is_short = False

    def take(self, series: int) -> bool:
        """Whether it takes these; the first always."""
        if self.left <= 0:
            self.is_short = True
            return False
        self.left -= series
        return True


def _counts(series: Series[Cell]) -> bool:
    return series.family.kind is Kind.COUNTER


def _grown(series: Series[Cell], room: _Room) -> tuple[Growth, ...]:
    grown = []
    for labels, cell in series.children.items():
        if cell.value != cell.pushed and room.take(1):
            heard = max(cell.pushed, 0)
            by = min(max(0, cell.value - heard), NUMBER_MAX)  # what a number on the wire can be; the rest comes next
            grown.append(Growth(labels, by))
            cell.pushed = heard + by
    return tuple(grown)


def _seen(series: Series[Histogram], room: _Room) -> tuple[Observations, ...]:
    seen, size = [], series.family.series_each
    for labels, child in series.children.items():
        before = child.pushed
        if (before is None or before.counts != child.counts) and room.take(size):
            now = child.pushed = child.copy()
            seen.append(Observations(labels, *_since(before, now)))
    return tuple(seen)


def _since(
    before: HistogramValue | None, now: HistogramValue
) -> tuple[tuple[int, ...], float, dict[int, tuple[str, float]]]:
    if before is None:
        return tuple(now.counts), now.sum, now.exemplars
    counts = tuple([new - old for new, old in zip(now.counts, before.counts, strict=True)])
    newer = {at: one for at, one in now.exemplars.items() if before.exemplars.get(at) is not one}
    return counts, now.sum - before.sum, newer


def _now(series: Series[Cell]) -> Gauges:
    return Gauges(series.family.name, tuple([(labels, cell.value) for labels, cell in series.children.items()]))


def _told(snapshot: FamilySnapshot) -> Gauges:
    """The plus makes a number of a bool."""
    values = tuple([(labels, +value) for labels, value in _sane(snapshot)])
    return Gauges(snapshot.family.name, values, tuple(snapshot.shared))


def _sane(snapshot: FamilySnapshot) -> Iterable[tuple[Labels, float]]:
    """What the wire can carry: one number that it cannot, NaN among them, would hold up all the others for good."""
    for labels, value in snapshot.values:
        if isinstance(value, int | float) and -NUMBER_MAX <= value <= NUMBER_MAX:
            yield labels, value
