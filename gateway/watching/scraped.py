"""The text of a scrape as numbers: series by name, and what happened between two scrapes.

Read from the text that Prometheus reads, so that one gateway, one with several workers and one of another version look
alike, and what is shown is what the boards show.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Labels = tuple[tuple[str, str], ...]
Series = dict[str, dict[Labels, float]]
Where = dict[str, str]

SERIES_MAX: Final = 200_000
VALUE_MAX: Final = 1e30
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_MEANT: Final = {"n": "\n", "\\": "\\", '"': '"'}
NOWHERE: Final[Where] = {}


class Scrape(NamedTuple):
    """The numbers at one moment; `at_s` is on the watcher's own clock."""

    at_s: float
    series: Series


def read_scrape(text: str, at_s: float) -> Scrape:
    """What cannot be read is left out, and so is what is beyond all measure."""
    series: Series = defaultdict(dict)
    for count, line in enumerate(text.split("\n")):
        if count > SERIES_MAX:
            break
        found = None if line.startswith("#") else _SAMPLE.match(line)
        value = None if found is None else _number(found[3])
        if found is not None and value is not None and abs(value) <= VALUE_MAX:  # no NaN is
            series[found[1]][tuple(_labels(found[2] or ""))] = value
    return Scrape(at_s, dict(series))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _LABEL.findall(text):
        yield name, _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), value) if "\\" in value else value


class Movement:
    """What happened between two scrapes of one gateway. Without an earlier one nothing has."""

    def __init__(self, before: Scrape | None, now: Scrape) -> None:
        self.spent_s = 0.0 if before is None else max(0.0, now.at_s - before.at_s)
        self._before: Series = {} if before is None else before.series
        self._now = now.series

    def level(self, name: str, by: str = "", where: Where = NOWHERE) -> dict[str, float]:
        """A gauge as it is now, added up by the values of one label."""
        return _added(self._now.get(name, {}), by, where)

    def increase(self, name: str, by: str = "", where: Where = NOWHERE) -> dict[str, float]:
        """How far counters have come. One that went back began anew, and its value is what it has come since."""
        if not self.spent_s:
            return {}
        earlier = self._before.get(name, {})
        moved = {
            labels: value - earlier.get(labels, 0.0) if value >= earlier.get(labels, 0.0) else value
            for labels, value in self._now.get(name, {}).items()
        }
        return _added(moved, by, where)

    def rate(self, name: str, by: str = "", where: Where = NOWHERE) -> dict[str, float]:
        """The same per second."""
        return {key: value / self.spent_s for key, value in self.increase(name, by, where).items()}

    def quantile(self, q: float, name: str, by: str = "", where: Where = NOWHERE) -> dict[str, float]:
        """Of a histogram's samples between the two scrapes; a group without any is left out."""
        buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        earlier = self._before.get(f"{name}_bucket", {})
        for labels, value in self._now.get(f"{name}_bucket", {}).items() if self.spent_s else ():
            told = dict(labels)
            if (bound := _number(told.get("le", ""))) is None or not _meets(told, where):
                continue
            before = earlier.get(labels, 0.0)
            buckets[told.get(by, "") if by else ""][bound] += value - before if value >= before else value
        found = {key: bucket_quantile(q, counts) for key, counts in buckets.items()}
        return {key: value for key, value in found.items() if value is not None}


def bucket_quantile(q: float, reached: Mapping[float, float]) -> float | None:
    """The quantile by cumulative counts at upper bounds, as Prometheus reckons it; None without samples."""
    bounds = sorted(reached)
    total = reached[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, lower, below = q * total, 0.0, 0.0
    for bound in bounds:
        here = reached[bound]
        if here >= rank and here > below:
            if bound == float("inf"):
                return lower  # beyond the last bound nobody knows more
            return lower + (bound - lower) * max(0.0, rank - below) / (here - below)
        lower, below = bound, here
    return lower


def total(values: Mapping[str, float]) -> float:
    return sum(values.values())


def _added(found: Mapping[Labels, float], by: str, where: Where) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for labels, value in found.items():
        told = dict(labels)
        if _meets(told, where):
            sums[told.get(by, "") if by else ""] += value
    return dict(sums)


def _meets(told: Mapping[str, str], where: Where) -> bool:
    return all(told.get(name) == value for name, value in where.items())
