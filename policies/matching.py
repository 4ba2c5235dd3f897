"""From a model's name to its route: the first route in the file that matches, with `*` and `?` as the only wildcards.

All names that the file spells out are resolved once, globs before them included, so that a lookup is one dict access
and only other names scan the globs. Brackets mean themselves: names contain them more often than anyone needs classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies.vocabulary import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from policies.vocabulary import Destination, Endpoint, Principal, Route


@dataclass(frozen=True, slots=True)
class RouteIndex:
    """A policy file's routes, ready to be asked. Build one with `compile_routes`."""

    exact: Mapping[str, Route]
    globs: tuple[tuple[re.Pattern[str], Route], ...]

    def match(self, model: str) -> Route | None:
        """The first route, in file order, of which a pattern matches `model`; None where no route does."""
        route = self.exact.get(model)
        if route is not None:
            return route
        for pattern, route in self.globs:
            if pattern.fullmatch(model):
                return route
        return None


def compile_routes(routes: Iterable[Route]) -> RouteIndex:
    """The index over `routes` in file order. A name that an earlier glob takes belongs to that glob's route."""
    exact: dict[str, Route] = {}
    globs: list[tuple[re.Pattern[str], Route]] = []
    for route in routes:
        for model in route.models:
            if is_glob(model):
                globs.append((compile_glob(model), route))
            elif model not in exact:
                earlier = (taker for pattern, taker in globs if pattern.fullmatch(model))
                exact[model] = next(earlier, route)
    return RouteIndex(exact, tuple(globs))


def is_glob(model: str) -> bool:
    return "*" in model or "?" in model


def compile_glob(model: str) -> re.Pattern[str]:
    """A case-sensitive pattern for whole names, in which no star ever backtracks into the star before it.

    The leftmost place for each piece between stars is as good as any other, so each can be atomic; the time to match is
    then bounded by the name's length times the pattern's, whoever wrote them.
    """
    first, *rest = ("".join("." if char == "?" else re.escape(char) for char in piece) for piece in model.split("*"))
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def allowed(principal: Principal, route: Route) -> bool:
    """Whether this key may use this route."""
    return principal.routes is None or route.name in principal.routes


def visible_models(index: RouteIndex, principal: Principal | None = None) -> tuple[str, ...]:
    """The model names to list for a caller, in file order. Globs are left out: nobody can ask for a pattern.

    `principal` None: no keys are configured, and anyone sees all.
    """
    return tuple(model for model, route in index.exact.items() if principal is None or allowed(principal, route))


def candidates(route: Route) -> tuple[Deployment, ...]:
    """Every deployment of a route once: its targets, then its declared fallbacks; of a route in it, that route's."""
    return tuple({deployment.id: deployment for deployment in reversed(list(_leaves(route)))}.values())[::-1]


def _leaves(to: Destination) -> Iterator[Deployment]:
    if isinstance(to, Deployment):
        yield to
        return
    declared = (*to.fallbacks, *to.context_fallbacks, *to.content_fallbacks)
    for inner in (*(target.to for target in to.targets), *declared):
        yield from _leaves(inner)


def capable(deployments: tuple[Deployment, ...], endpoint: Endpoint) -> tuple[Deployment, ...]:
    """Those of `deployments` that offer `endpoint`; the very same tuple where all do."""
    for deployment in deployments:
        if endpoint not in deployment.endpoints:
            return tuple(d for d in deployments if endpoint in d.endpoints)
    return deployments
