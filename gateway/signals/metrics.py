"""The metric registry: cells in dicts, bound once, bumped in about a tenth of a microsecond.

prometheus_client costs three times that per update and blocks the loop for tens of milliseconds per scrape
(2,000 series). Here a scrape copies the numbers on the loop and `exposition` writes the text in a thread.
Label values come from the policy file only; a family that outgrows its cap folds the rest into `__other__`.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gateway.signals.telemetry import OVERFLOW, Family, Kind
from gateway.signals.vitals_telemetry import METRIC_SERIES, METRIC_SERIES_LIMIT, SERIES_REJECTED

log = logging.getLogger(__name__)

SERIES_MAX: Final = 20_000
"""Twice what a gateway with two hundred teams has; a scrape of it is two megabytes."""

Labels = tuple[str, ...]
Sample = Callable[[], Iterable[tuple[Labels, float]]]
Shared = Callable[[], Iterable[Labels]]


class Cell:
    """One counter or gauge. `pushed` is what a supervisor has heard of it, -1 for nothing yet."""

    __slots__ = ("pushed", "value")

    def __init__(self) -> None:
        self.value: int = 0
        self.pushed: int = -1

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class Histogram:
    """One histogram: counts per bucket (the last is +Inf), their sum, and a trace id to show for each bucket. `pushed`
    is what a supervisor has heard of it.
    """

    __slots__ = ("bounds", "counts", "exemplars", "pushed", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, tuple[str, float]] = {}
        self.pushed: HistogramValue | None = None

    def observe(self, value: float, trace_id: str | None = None) -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace_id is not None:
            self.exemplars[bucket] = (trace_id, value)

    def copy(self) -> HistogramValue:
        """As it is at this moment."""
        return HistogramValue(self.counts.copy(), self.sum, self.exemplars.copy())


Child = TypeVar("Child", Cell, Histogram)


class Budget:
    """How many time series a registry may have: beyond it what is new goes to its family's overflow."""

    __slots__ = ("most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self, series: int) -> bool:
        """Whether there is room for so many more, which are then taken."""
        if self.taken + series > self.most:
            return False
        self.taken += series
        return True


class Series(Generic[Child]):
    """The children of one family, by label values."""

    __slots__ = ("_budget", "_make", "children", "family", "rejected")

    def __init__(self, family: Family, make: Callable[[], Child], budget: Budget) -> None:
        self.family = family
        self.children: dict[Labels, Child] = {}
        self.rejected = 0
        self._make: Callable[[], Child] = make
        self._budget = budget

    def at(self, *labels: str) -> Child:
        """The child for these label values; the overflow child once the family or the registry is full."""
        child = self.children.get(labels)
        return child if child is not None else self._admit(labels)

    def _admit(self, labels: Labels) -> Child:
        if len(labels) != len(self.family.kept_labels):
            raise ValueError(f"{self.family.name} has the labels {self.family.kept_labels}, not {len(labels)} values")
        is_full = len(self.children) >= self.family.cap
        if labels and (is_full or not self._budget.take(self.family.series_each)):
            self.rejected += 1
            labels = (OVERFLOW,) * len(labels)
            if labels in self.children:
                return self.children[labels]
        child = self.children[labels] = self._make()
        return child


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """A histogram as it was at one moment."""

    counts: list[int]
    sum: float
    exemplars: dict[int, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class FamilySnapshot:
    """One family at one moment. `shared` are the label sets of things that other workers see as well as this one."""

    family: Family
    values: list[tuple[Labels, float | HistogramValue]]
    shared: frozenset[Labels] = frozenset()


class Registry:
    """All families of one process. Updates and `snapshot` belong to the event loop; rendering does not."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self._budget = Budget(series_max)
        self._cells: dict[str, Series[Cell]] = {}
        self._histograms: dict[str, Series[Histogram]] = {}
        self._sampled: dict[str, tuple[Family, Sample, Shared]] = {}
        self._apart: dict[str, tuple[Family, Sample, Shared]] = {}
        self.sample(SERIES_REJECTED, self._rejections)
        self.sample(METRIC_SERIES_LIMIT, lambda: [((), self._budget.most)])

    def cells(self, family: Family) -> Series[Cell]:
        """The counters or gauges of `family`; the same ones each time."""
        if family.kind is Kind.HISTOGRAM:
            raise ValueError(f"{family.name} is a histogram")
        if family.name not in self._cells:
            self._cells[family.name] = Series(family, Cell, self._budget)
        return self._cells[family.name]

    def histograms(self, family: Family) -> Series[Histogram]:
        """The histograms of `family`; the same ones each time."""
        if family.kind is not Kind.HISTOGRAM:
            raise ValueError(f"{family.name} is no histogram")
        if family.name not in self._histograms:
            self._histograms[family.name] = Series(family, lambda: Histogram(family.buckets), self._budget)
        return self._histograms[family.name]

    def has(self, family: Family) -> bool:
        """Whether somebody keeps this family."""
        return family.name in self._cells or family.name in self._histograms

    def sample(self, family: Family, values: Sample, shared: Shared = tuple) -> None:
        """Ask `values` at each scrape for (label values, value) pairs. A later function replaces an earlier one.
        `shared` says which of them are of something that is one for all workers.
        """
        self._sampled[family.name] = (family, values, shared)

    def sample_apart(self, family: Family, values: Sample) -> None:
        """As `sample`, for what takes long to find out and may be asked in any thread."""
        self._apart[family.name] = (family, values, tuple)

    def copied(self) -> list[FamilySnapshot]:
        """The numbers at this moment, but for those that are sampled apart. Belongs to the event loop."""
        taken = [FamilySnapshot(cells.family, _values(cells)) for cells in self._cells.values()]
        taken += [FamilySnapshot(found.family, _copies(found)) for found in self._histograms.values()]
        return taken + _sampled(self._sampled)

    def sampled_apart(self) -> list[FamilySnapshot]:
        """The rest. Belongs to a thread."""
        return _sampled(self._apart)

    def finished(self, copied: list[FamilySnapshot]) -> list[FamilySnapshot]:
        """What was copied with what is sampled apart, by family name. Belongs to a thread."""
        return in_order([*copied, *self.sampled_apart()])

    def snapshot(self) -> list[FamilySnapshot]:
        """All numbers, by family name."""
        return self.finished(self.copied())

    def counted(self) -> list[Series[Cell]]:
        """What is kept as cells."""
        return list(self._cells.values())

    def observed(self) -> list[Series[Histogram]]:
        """What is kept as histograms."""
        return list(self._histograms.values())

    def sampled(self) -> list[FamilySnapshot]:
        """What is asked at each scrape, but for what is asked apart."""
        return _sampled(self._sampled)

    def _rejections(self) -> Iterable[tuple[Labels, float]]:
        refused = {name: series.rejected for name, series in self._cells.items()}
        refused |= {name: series.rejected for name, series in self._histograms.items()}
        return [((name,), count) for name, count in refused.items() if count]


def in_order(snapshots: list[FamilySnapshot]) -> list[FamilySnapshot]:
    """By name, with the number of time series that they are."""
    series = 1 + sum(found.family.series_each * len(as_scraped(found).values) for found in snapshots)
    counted = FamilySnapshot(METRIC_SERIES, [((), series)])
    return sorted([*snapshots, counted], key=lambda snapshot: snapshot.family.name)


def as_scraped(snapshot: FamilySnapshot) -> FamilySnapshot:
    """Without the labels that are kept for OTLP alone: what differs in nothing else is added up."""
    family = snapshot.family
    if not family.otlp_labels:
        return snapshot
    count, added = len(family.labels), dict[Labels, float | HistogramValue]()
    for labels, value in snapshot.values:
        key = labels[:count]
        added[key] = _sum(added[key], value) if key in added else value
    return FamilySnapshot(family, list(added.items()))


def _sum(one: float | HistogramValue, other: float | HistogramValue) -> float | HistogramValue:
    if isinstance(one, HistogramValue) and isinstance(other, HistogramValue):
        counts = [mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True)]
        return HistogramValue(counts, one.sum + other.sum, one.exemplars | other.exemplars)
    assert not isinstance(one, HistogramValue)  # noqa: S101 - a family's values are of one kind
    assert not isinstance(other, HistogramValue)  # noqa: S101 - as above
    return one + other


def _sampled(sampled: dict[str, tuple[Family, Sample, Shared]]) -> list[FamilySnapshot]:
    taken = []
    for family, values, shared in sampled.values():
        try:
            taken.append(FamilySnapshot(family, list(values()), frozenset(shared())))
        except Exception:
            log.exception("the metric %s could not be sampled", family.name)
    return taken


def _values(series: Series[Cell]) -> list[tuple[Labels, float | HistogramValue]]:
    return [(labels, cell.value) for labels, cell in series.children.items()]


def _copies(series: Series[Histogram]) -> list[tuple[Labels, float | HistogramValue]]:
    return [(labels, child.copy()) for labels, child in series.children.items()]
