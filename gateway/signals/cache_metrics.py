"""What caches of routes add to the metrics. Calls are counted when they are settled, everything else as it happens.

`settled` is the recorder's; the cache calls the others. What has a value at every moment is read by scrapes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.signals import cache_telemetry as names
from gateway.signals.cache_telemetry import Result
from gateway.signals.telemetry import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.call import Cached
    from gateway.signals.cache_telemetry import LabelSource, Purpose
    from gateway.signals.metrics import Labels, Registry
    from gateway.signals.telemetry import Family
    from gateway.state.answers.store import Stock


class RouteStanding(NamedTuple):
    """How level 2 of one route stands. `expected` and `observed_max` are wrong hits per request: as the curve reckons
    them, and at most by the labels so far; None where there are no labels.
    """

    route: str
    budget: float
    bar: float
    requests: float = 0.0
    hits: float = 0.0
    expected: float = 0.0
    observed_max: float | None = None
    labels_good: int = 0
    labels_bad: int = 0

    @property
    def is_over_budget(self) -> bool:
        return self.observed_max is not None and self.observed_max > self.budget


class Watched(Protocol):
    """What scrapes and operators read of the caches. It must be cheap, and never raises."""

    def standings(self) -> Iterable[RouteStanding]:
        """Routes with a semantic cache."""

    def stocks(self) -> Iterable[tuple[str, Stock]]:
        """What each store held when it was last asked, by its kind."""

    def embedders(self) -> Iterable[tuple[str, int, bool]]:
        """By id: how many questions wait, and whether it can be asked."""


class RouteCounts(NamedTuple):
    """What became of the calls of one route since this process began."""

    hits: dict[str, int]
    misses: int
    bypassed: int
    joined: int
    saved_nanousd: int
    saved_tokens: int


class CacheMetrics:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._requests = registry.cells(names.CACHE_REQUESTS)
        self._joined = registry.cells(names.CACHE_JOINED)
        self._bypass = registry.cells(names.CACHE_BYPASS)
        self._closed = registry.cells(names.CACHE_CLOSED)
        self._not_stored = registry.cells(names.CACHE_NOT_STORED)
        self._saved = registry.cells(names.CACHE_SAVED_COST)
        self._saved_tokens = registry.cells(names.CACHE_SAVED_TOKENS)
        self._lookup = registry.histograms(names.CACHE_LOOKUP)
        self._age = registry.histograms(names.CACHE_AGE)
        self._vetoed = registry.cells(names.CACHE_VETOED)
        self._labels = registry.cells(names.CACHE_LABELS)
        self._cost = registry.cells(names.CACHE_COST)
        self._judged = registry.cells(names.CACHE_JUDGED)
        self._unavailable = registry.cells(names.CACHE_UNAVAILABLE)
        self._embedding = registry.histograms(names.EMBEDDER_DURATION)

    def settled(self, route: str, cached: Cached) -> None:
        """Count one call of a route with a cache."""
        if cached.bypass is not None:
            self._requests.at(route, Result.BYPASS.value, NONE).inc()
            self._bypass.at(route, cached.bypass.value).inc()
            return
        if cached.closed is not None:
            self._closed.at(route, cached.closed.value).inc()
        level = cached.level
        self._lookup.at(NONE if level is None else level.value).observe(cached.lookup_s)
        if level is None:
            self._requests.at(route, Result.MISS.value, NONE).inc()
            if cached.veto is not None:
                self._vetoed.at(route, cached.veto).inc()
            return
        self._requests.at(route, Result.HIT.value, level.value).inc()
        self._age.at(route).observe(cached.age_s)
        if cached.joined is not None:
            self._joined.at(route).inc()
        self._save(route, level.value, cached)

    def _save(self, route: str, level: str, cached: Cached) -> None:
        used = cached.saved
        if used is None:
            return
        if used.cost_nanousd:
            self._saved.at(route, level).inc(used.cost_nanousd)
        self._saved_tokens.at(route, level, "input").inc(used.input_tokens)
        self._saved_tokens.at(route, level, "output").inc(used.output_tokens)

    def not_stored(self, route: str, reason: str) -> None:
        """`reason` is a word of an enum."""
        self._not_stored.at(route, reason).inc()

    def labelled(self, route: str, source: LabelSource, *, is_good: bool) -> None:
        self._labels.at(route, source.value, "good" if is_good else "bad").inc()

    def judged(self, route: str, verdict: str) -> None:
        """`verdict` is what the judge said, or why it did not: a word of an enum."""
        self._judged.at(route, verdict).inc()

    def spent(self, route: str, purpose: Purpose, cost_nanousd: int) -> None:
        """What the cache asked of a model by itself."""
        self._cost.at(route, purpose.value).inc(cost_nanousd)

    def unavailable(self, part: str) -> None:
        """`part` is `store` or `embedder`."""
        self._unavailable.at(part).inc()

    def embedded(self, embedder: str, duration_s: float) -> None:
        self._embedding.at(embedder).observe(duration_s)

    def declare(self, routes: Iterable[str]) -> None:
        """Begin at zero what routes with a cache make possible: a rate needs two points."""
        for route in routes:
            for result in (Result.MISS, Result.BYPASS):
                self._requests.at(route, result.value, NONE)

    def counts(self) -> dict[str, RouteCounts]:
        """For operators: what is counted, by route."""
        found: dict[str, RouteCounts] = {}
        for (route, result, level), cell in self._requests.children.items():
            one = found.get(route) or RouteCounts({}, 0, 0, 0, 0, 0)
            if result == Result.HIT:
                one.hits[level] = cell.value
            elif result == Result.MISS:
                one = one._replace(misses=cell.value)
            else:
                one = one._replace(bypassed=cell.value)
            found[route] = one
        return {route: self._with_savings(route, one) for route, one in found.items()}

    def _with_savings(self, route: str, counts: RouteCounts) -> RouteCounts:
        joined = self._joined.children.get((route,))
        return counts._replace(
            joined=joined.value if joined is not None else 0,
            saved_nanousd=sum(cell.value for at, cell in self._saved.children.items() if at[0] == route),
            saved_tokens=sum(cell.value for at, cell in self._saved_tokens.children.items() if at[0] == route),
        )

    def watch(self, watched: Watched) -> None:
        """Let scrapes read the caches; nothing is counted on the path for these."""

        def standing(family: Family, read: Callable[[RouteStanding], float | None]) -> None:
            self._registry.sample(family, lambda: _some(((one.route,), read(one)) for one in watched.standings()))

        def stock(family: Family, read: Callable[[Stock], int | None]) -> None:
            self._registry.sample(family, lambda: _some(((kind,), read(one)) for kind, one in watched.stocks()))

        standing(names.CACHE_BUDGET, lambda one: one.budget)
        standing(names.CACHE_RISK_BAR, lambda one: one.bar)
        standing(names.CACHE_EXPECTED, lambda one: one.expected)
        standing(names.CACHE_OBSERVED, lambda one: one.observed_max)
        stock(names.CACHE_ENTRIES, lambda one: one.entries)
        stock(names.CACHE_BYTES, lambda one: one.size_bytes)
        stock(names.CACHE_VECTORS, lambda one: one.vectors)
        stock(names.CACHE_EVICTED, lambda one: one.evicted)
        stock(names.CACHE_EXPIRED, lambda one: one.expired)
        stock(names.CACHE_UNSENT, lambda one: one.unsent)
        sample = self._registry.sample
        sample(names.EMBEDDER_QUEUE, lambda: [((name,), waiting) for name, waiting, _ in watched.embedders()])
        sample(names.EMBEDDER_UP, lambda: [((name,), can) for name, _, can in watched.embedders()])


def _some(values: Iterable[tuple[Labels, float | None]]) -> list[tuple[Labels, float]]:
    """A gauge without a value has no sample."""
    return [(labels, value) for labels, value in values if value is not None]
