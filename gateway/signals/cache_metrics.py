"""What caches of routes add to the metrics. Calls are counted when they are settled, everything else as it happens.

`settled` and `made` are the recorder's; the cache calls the others. What has a value at every moment is read by scrapes
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.signals import cache_telemetry as names
from gateway.signals.cache_telemetry import Purpose, Result
from gateway.signals.telemetry import NONE, OTHER, Outcome
from policies.cache_rules import Bypass, Level
from policies.matching import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.call import Cached, MadeFor
    from gateway.signals.cache_telemetry import LabelSource
    from gateway.signals.metrics import Cell, Labels, Registry
    from gateway.signals.telemetry import Family
    from gateway.state.answers.store import Stock, Used
    from policies.vocabulary import Route


class CacheKey(NamedTuple):
    """What calls of one kind share. `deployment` is the one that a hit's answer came from."""

    route: Route
    level: Level | None
    bypass: Bypass | None
    closed: Bypass | None
    veto: str | None
    deployment: str

    @property
    def result(self) -> Result:
        return Result.BYPASS if self.bypass is not None else Result.MISS if self.level is None else Result.HIT

    def looks(self) -> list[tuple[Level, Result]]:
        """What came of each level that the call reached."""
        rules = self.route.cache
        near, semantic = rules is None or rules.near, rules is not None and rules.semantic is not None
        levels = [Level.EXACT, *([Level.NEAR] if near else ()), *([Level.SEMANTIC] if semantic else ())]
        if self.bypass is not None:
            return [(level, _closed(self.bypass)) for level in levels]
        if self.level is not None:
            below = levels[: levels.index(self.level)] if self.level in levels else []
            return [*((level, Result.MISS) for level in below), (self.level, Result.HIT)]
        return [(level, self._missed(level)) for level in levels]

    def _missed(self, level: Level) -> Result:
        # What cannot be asked is found out at the last level; every other reason is known before the second.
        is_open = level is Level.EXACT or (level is Level.NEAR and self.closed is Bypass.UNAVAILABLE)
        return Result.MISS if self.closed is None or is_open else _closed(self.closed)

    def model(self) -> str:
        """That which made the answer, where the policy still names it."""
        known = {one.name: one.model for one in candidates(self.route)}
        return known.get(self.deployment, OTHER)


def _closed(why: Bypass) -> Result:
    return Result.ERROR if why is Bypass.UNAVAILABLE else Result.BYPASS


MOST_BOUND: Final = 1_000
WORSE: Final = 1.1
"""What labels find is so much more than was expected, or it is no news. The alert says the same."""


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
        """By what labels say: that a route's first hits are on credit is no fault."""
        observed = self.observed_max
        return observed is not None and observed > self.budget and observed > WORSE * self.expected


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


class CacheMeters:
    """What one kind of call adds to: bound once per route and what became of it there. Families whose own condition a
    kind does not settle begin with the first call that meets it.
    """

    __slots__ = ("_age", "_costs", "_counted", "_joined", "_key", "_lookup", "_registry", "_tokens")

    def __init__(self, registry: Registry, key: CacheKey) -> None:
        route, result, looks = key.route.name, key.result, key.looks()
        name = key.level.value if key.level is not None and result is Result.HIT else NONE
        self._counted = [registry.cells(names.CACHE_REQUESTS).at(route, result.value, name)]
        self._counted += [registry.cells(names.CACHE_LOOKUPS).at(level.value, came.value) for level, came in looks]
        for family, why in ((names.CACHE_BYPASS, key.bypass), (names.CACHE_CLOSED, key.closed)):
            if why is not None:
                self._counted.append(registry.cells(family).at(route, why.value))
        if key.veto is not None and result is Result.MISS:
            self._counted.append(registry.cells(names.CACHE_VETOED).at(route, key.veto))
        self._registry = registry
        self._key = key
        asked = [(level, came) for level, came in looks if came is not Result.BYPASS]
        has_looked = result is not Result.BYPASS
        self._lookup = registry.histograms(names.CACHE_LOOKUP).at(*map(str, asked[-1])) if has_looked else None
        self._age = registry.histograms(names.CACHE_AGE).at(route) if result is Result.HIT else None
        self._joined: Cell | None = None
        self._costs: tuple[Cell, Cell] | None = None
        self._tokens: tuple[Cell, Cell] | None = None

    def add(self, cached: Cached) -> None:
        for cell in self._counted:
            cell.value += 1
        if self._lookup is not None:
            self._lookup.observe(cached.lookup_s)
        if self._age is not None:
            self._age.observe(cached.age_s)
            if cached.joined is not None:
                self._joined = self._joined or self._registry.cells(names.CACHE_JOINED).at(self._key.route.name)
                self._joined.value += 1
            if cached.saved is not None:
                self._save(cached.saved)

    def _save(self, used: Used) -> None:
        registry, key = self._registry, self._key
        route, level = key.route.name, NONE if key.level is None else key.level.value
        if used.cost_nanousd:
            if self._costs is None:
                by_route = registry.cells(names.CACHE_ROUTE_SAVED_COST)
                self._costs = registry.cells(names.CACHE_SAVED_COST).at(level, key.model()), by_route.at(route, level)
            for cell in self._costs:
                cell.value += used.cost_nanousd
        if self._tokens is None:
            tokens = registry.cells(names.CACHE_SAVED_TOKENS)
            self._tokens = tokens.at(route, level, "input"), tokens.at(route, level, "output")
        self._tokens[0].inc(used.input_tokens)
        self._tokens[1].inc(used.output_tokens)


class CacheMetrics:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # By the route's identity, which hashes quickly; its meters keep it alive.
        self._bound: dict[tuple[object, ...], CacheMeters] = {}
        for family in (names.CACHE_LOOKUPS, names.CACHE_SAVED_COST, names.CACHE_BYPASS):
            registry.cells(family)
        for family in (names.CACHE_CLOSED, names.CACHE_VETOED):
            registry.cells(family)
        for family in (names.CACHE_LOOKUP, names.CACHE_AGE):
            registry.histograms(family)
        self._requests = registry.cells(names.CACHE_REQUESTS)
        self._joined = registry.cells(names.CACHE_JOINED)
        self._not_stored = registry.cells(names.CACHE_NOT_STORED)
        self._saved = registry.cells(names.CACHE_ROUTE_SAVED_COST)
        self._saved_tokens = registry.cells(names.CACHE_SAVED_TOKENS)
        self._labels = registry.cells(names.CACHE_LABELS)
        self._cost = registry.cells(names.CACHE_COST)
        self._calls = registry.cells(names.CACHE_CALLS)
        self._judged = registry.cells(names.CACHE_JUDGED)
        self._unavailable = registry.cells(names.CACHE_UNAVAILABLE)
        self._embedding = registry.histograms(names.EMBEDDER_DURATION)

    def settled(self, route: Route, cached: Cached) -> None:
        """Count one call of a route with a cache."""
        self.meters_of(route, cached).add(cached)

    def meters_of(self, route: Route, cached: Cached) -> CacheMeters:
        """What calls like this one add to."""
        level, why = cached.level, cached.bypass
        closed, veto = None if why is not None else cached.closed, cached.veto if level is None else None
        deployment = cached.deployment if level is not None else ""
        key = (id(route), level, why, closed, veto, deployment)
        meters = self._bound.get(key)
        if meters is None:
            if len(self._bound) >= MOST_BOUND:
                self._bound.clear()
            kind = CacheKey(route, level, why, closed, veto, deployment)
            meters = self._bound[key] = CacheMeters(self._registry, kind)
        return meters

    def made(self, made_for: MadeFor, outcome: Outcome, cost_nanousd: int | None) -> None:
        """Count one call that a cache made by itself."""
        route, purpose = made_for.route, made_for.purpose.value
        self._calls.at(route, purpose, outcome.value).inc()
        if cost_nanousd is not None:
            self._cost.at(route, purpose).inc(cost_nanousd)

    def not_stored(self, route: str, reason: str) -> None:
        """`reason` is a word of an enum."""
        self._not_stored.at(route, reason).inc()

    def labelled(self, route: str, source: LabelSource, *, is_good: bool) -> None:
        self._labels.at(route, source.value, "good" if is_good else "bad").inc()

    def judged(self, route: str, verdict: str) -> None:
        """`verdict` is what the judge said, or why it did not: a word of an enum."""
        self._judged.at(route, verdict).inc()

    def unavailable(self, part: str) -> None:
        """`part` is `store` or `embedder`."""
        self._unavailable.at(part).inc()

    def embedded(self, embedder: str, duration_s: float) -> None:
        self._embedding.at(embedder).observe(duration_s)

    def declare(self, routes: Iterable[Route]) -> None:
        """Begin at zero what routes with a cache make possible: a rate needs two points."""
        for route in routes:
            for result in (Result.MISS, Result.BYPASS):
                self._requests.at(route.name, result.value, NONE)
            for level, _ in CacheKey(route, None, None, None, None, "").looks():
                for result in Result:
                    self._registry.cells(names.CACHE_LOOKUPS).at(level.value, result.value)
            semantic = None if route.cache is None else route.cache.semantic
            asked = () if semantic is None else ((Purpose.SHADOW, semantic.shadow), (Purpose.JUDGE, semantic.judge))
            for purpose, rules in asked:
                if rules is not None:
                    self._calls.at(route.name, purpose.value, Outcome.OK.value)

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
