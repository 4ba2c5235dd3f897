"""Several workers' numbers as one scrape: counters and histograms added up, gauges by what they mean.

A scraper sees one target however many workers there are, so no series carries a worker's name and none jumps back when
another worker happens to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.signals import vitals_telemetry
from gateway.signals.catalogue import FAMILIES
from gateway.signals.metrics import FamilySnapshot, HistogramValue, Labels
from gateway.signals.telemetry import Family, Kind, Merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class WireHistogram(msgspec.Struct, array_like=True, tag="h"):
    """A histogram on its way from a worker to the supervisor."""

    counts: list[int]
    sum: float
    exemplars: dict[int, tuple[str, float]]


class WireFamily(msgspec.Struct, array_like=True):
    name: str
    values: list[tuple[Labels, int | float | WireHistogram]]


WIRE: Final = msgspec.json.Decoder(list[WireFamily])


def to_wire(snapshots: Iterable[FamilySnapshot]) -> bytes:
    """A worker's numbers, whole."""
    families = [WireFamily(found.family.name, [_wired(*pair) for pair in found.values]) for found in snapshots]
    return msgspec.json.encode(families)


def merged(workers: Sequence[Sequence[WireFamily]]) -> list[FamilySnapshot]:
    """All workers' numbers as if one process had counted them."""
    gathered: dict[str, dict[Labels, float | HistogramValue]] = {}
    for worker in workers:
        for found in worker:
            if found.name in FAMILIES:
                _gather(FAMILIES[found.name], gathered.setdefault(found.name, {}), found)
    return [FamilySnapshot(FAMILIES[name], list(values.items())) for name, values in gathered.items()]


def sized_up(ready: int, restarts: Sequence[tuple[int, int]]) -> list[FamilySnapshot]:
    """What the supervisor itself knows."""
    return [
        FamilySnapshot(vitals_telemetry.WORKERS_READY, [((), ready)]),
        FamilySnapshot(vitals_telemetry.WORKER_RESTARTS, [((str(slot),), count) for slot, count in restarts]),
    ]


def _gather(family: Family, into: dict[Labels, float | HistogramValue], found: WireFamily) -> None:
    for labels, value in found.values:
        if isinstance(value, WireHistogram):
            before = into.get(labels)
            into[labels] = _added(before, value) if isinstance(before, HistogramValue) else _histogram(value)
        else:
            seen = into.get(labels)
            into[labels] = value if not isinstance(seen, int | float) else _rule(family)(seen, value)


def _rule(family: Family) -> Callable[[float, float], float]:
    if family.kind is Kind.GAUGE and family.merge is Merge.LARGEST:
        return max
    if family.kind is Kind.GAUGE and family.merge is Merge.SMALLEST:
        return min
    return _sum


def _sum(one: float, other: float) -> float:
    return one + other


def _histogram(value: WireHistogram) -> HistogramValue:
    return HistogramValue(value.counts, value.sum, value.exemplars)


def _added(one: HistogramValue, other: WireHistogram) -> HistogramValue:
    counts = [mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True)]
    return HistogramValue(counts, one.sum + other.sum, one.exemplars | other.exemplars)


def _wired(labels: Labels, value: float | HistogramValue) -> tuple[Labels, int | float | WireHistogram]:
    if isinstance(value, HistogramValue):
        return labels, WireHistogram(value.counts, value.sum, value.exemplars)
    return labels, +value
