"""How level 2 of each route stands: what its owners' traffic has taught, put together for scrapes and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.signals.cache_metrics import RouteStanding
from policies.caching import Experience

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.caching.learning import Where
    from policies.vocabulary import Route


def standings(routes: Iterable[Route], learnt: Iterable[tuple[Where, Experience]]) -> list[RouteStanding]:
    """Of all routes with a semantic cache, those that nobody has called yet included."""
    by_route: dict[str, list[Experience]] = {}
    for where, experience in learnt:
        by_route.setdefault(where.route, []).append(experience)
    found = []
    for route in routes:
        if route.cache is not None and route.cache.semantic is not None:
            budget = route.cache.semantic.false_hits_max
            found.append(_together(route.name, budget, by_route.get(route.name, ())))
    return found


def _together(route: str, budget: float, learnt: Sequence[Experience]) -> RouteStanding:
    """The bar is that of the owner with the most requests; wrong hits are per request of all of them."""
    learnt = learnt or (Experience(),)
    busiest = max(learnt, key=lambda one: one.requests)
    requests = sum(one.requests for one in learnt)
    bad = sum(one.lessons.wrong + one.lessons.reports for one in learnt)
    labels = sum(one.lessons.labels + one.lessons.reports for one in learnt)
    wrong_max = sum(one.wrong_per_request() * max(one.requests, 1.0) for one in learnt)
    return RouteStanding(
        route,
        budget,
        busiest.bar_by_curve(budget),
        requests,
        sum(sum(one.served) for one in learnt),
        sum(one.spent for one in learnt) / max(requests, 1.0),
        wrong_max / max(requests, 1.0) if labels else None,
        round(labels - bad),
        round(bad),
    )
