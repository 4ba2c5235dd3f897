"""How level 2 of each route stands: what all its owners' traffic has taught, put together for scrapes and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.compile_routes import called
from gateway.config.route_names import route_names
from gateway.signals.cache_metrics import RouteStanding
from policies.caching import Experience

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config import Config
    from policies.vocabulary import Route


def semantic_routes(config: Config) -> list[str]:
    """By their names."""
    named = zip(route_names(called(config)), config.routes, strict=True)
    return [name for name, route in named if route.cache is not None and route.cache.semantic is not None]


def standings(routes: Iterable[Route], learnt: Iterable[tuple[str, Experience]]) -> list[RouteStanding]:
    """Of all routes with a semantic cache, those that nobody has called yet included."""
    by_route = dict(learnt)
    found = []
    for route in routes:
        if route.cache is not None and route.cache.semantic is not None:
            budget = route.cache.semantic.false_hits_max
            found.append(_standing(route.name, budget, by_route.get(route.name, Experience())))
    return found


def _standing(route: str, budget: float, one: Experience) -> RouteStanding:
    """Wrong hits are per request of all owners; the bar is that of an owner whose traffic is like all of it."""
    lessons = one.lessons
    bad, labels = lessons.wrong + lessons.reports, lessons.labels + lessons.reports
    return RouteStanding(
        route,
        budget,
        one.bar_by_curve(budget),
        one.requests,
        sum(one.served),
        one.expected_per_request(),
        one.wrong_per_request() if labels else None,
        round(labels - bad),
        round(bad),
    )
