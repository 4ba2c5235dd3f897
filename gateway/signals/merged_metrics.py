"""Several workers' numbers as one scrape: counters and histograms added up, gauges by what they mean.

An amount is a sum, unless it is of something that all workers see, such as an engine elsewhere: that is told of once,
by whoever says most. A scraper sees one target however many workers there are. What was counted stays when its worker
dies, so that no counter goes back; what a gauge of a worker said goes with its connection. Only the label `worker`,
which the process's own numbers have, tells one from another, and it is set here: a worker does not say which one it is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.signals.catalogue import FAMILIES
from gateway.signals.metrics import FamilySnapshot, HistogramValue, Labels, Registry, in_order
from gateway.signals.telemetry import Kind, Merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.signals.pushes import Gauges, Observations, Push
    from gateway.signals.telemetry import Family

WORKER: Final = "worker"
EPOCHS_KEPT: Final = 1_000
"""Runs of workers whose last number is remembered: one that died may still have pushes on their way."""


class MergedMetrics:
    """Workers by the number of their slot. `own` has the supervisor's numbers, and the workers' counters."""

    def __init__(self, own: Registry) -> None:
        self.own = own
        self._numbers: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._gauges: dict[object, tuple[int, tuple[Gauges, ...]]] = {}

    def take(self, connection: object, slot: int, push: Push) -> bool:
        """Count this push, unless it was counted before. It has been looked at."""
        run = (slot, push.epoch)
        if push.gauges is not None:
            self._gauges[connection] = (slot, push.gauges)
        if push.number <= self._numbers.get(run, 0):
            return False
        self._numbers[run] = push.number
        self._numbers.move_to_end(run)
        if len(self._numbers) > EPOCHS_KEPT:
            self._numbers.popitem(last=False)
        self._count(slot, push)
        return True

    def forget(self, connection: object) -> None:
        """It is closed: its gauges are nobody's any more."""
        self._gauges.pop(connection, None)

    def copied(self) -> list[FamilySnapshot]:
        """Numbers at this moment. Belongs to the event loop."""
        return self.own.copied()

    def finished(self, copied: list[FamilySnapshot]) -> list[FamilySnapshot]:
        """Each family once, by name. Belongs to a thread: what gauges say is replaced by the loop, never changed."""
        gauges = [_told_by(slot, one) for slot, found in list(self._gauges.values()) for one in found]
        return in_order(one_each([*copied, *self.own.sampled_apart(), *gauges]))

    def _count(self, slot: int, push: Push) -> None:
        for counters in push.counters:
            family = FAMILIES[counters.name]
            cells = self.own.cells(family)
            for growth in counters.grown:
                cells.at(*_placed(family, slot, growth.labels)).value += growth.by
        for histograms in push.histograms:
            family = FAMILIES[histograms.name]
            for seen in histograms.seen:
                self._observe(family, _placed(family, slot, seen.labels), seen)

    def _observe(self, family: Family, labels: Labels, seen: Observations) -> None:
        child = self.own.histograms(family).at(*labels)
        child.counts = [mine + theirs for mine, theirs in zip(child.counts, seen.counts, strict=True)]
        child.sum += seen.sum
        child.exemplars.update(seen.exemplars)


def one_each(snapshots: Iterable[FamilySnapshot]) -> list[FamilySnapshot]:
    """Families that are told of in several places, each as one."""
    found: dict[str, tuple[Family, dict[Labels, float | HistogramValue], set[Labels]]] = {}
    for snapshot in snapshots:
        family = snapshot.family
        _, values, shared = found.setdefault(family.name, (family, {}, set()))
        shared.update(snapshot.shared)
        if not values:
            values.update(snapshot.values)
            continue
        rule = _rule(family)
        for labels, value in snapshot.values:
            before = values.get(labels)
            if isinstance(before, int | float) and isinstance(value, int | float):
                values[labels] = (max if labels in shared and rule is _sum else rule)(before, value)
            else:
                values[labels] = value
    return [FamilySnapshot(family, list(values.items())) for family, values, _ in found.values()]


def _told_by(slot: int, told: Gauges) -> FamilySnapshot:
    family = FAMILIES[told.name]
    values: list[tuple[Labels, float | HistogramValue]] = [(_placed(family, slot, at), one) for at, one in told.values]
    return FamilySnapshot(family, values, frozenset(_placed(family, slot, at) for at in told.shared))


def _placed(family: Family, slot: int, labels: Labels) -> Labels:
    """With the worker that it is, whatever it calls itself."""
    if WORKER not in family.labels:
        return labels
    named = zip(family.kept_labels, labels, strict=True)
    return tuple([str(slot) if name == WORKER else value for name, value in named])


def _rule(family: Family) -> Callable[[float, float], float]:
    if family.kind is Kind.GAUGE and family.merge is Merge.LARGEST:
        return max
    if family.kind is Kind.GAUGE and family.merge is Merge.SMALLEST:
        return min
    return _sum


def _sum(one: float, other: float) -> float:
    return one + other
