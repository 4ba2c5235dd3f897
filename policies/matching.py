"""From a model's name to its route: the first route in the file that matches, with `*` and `?` as the only wildcards.

All names that the file spells out are resolved once, globs before them included, so that a name without conditions is
one dict access and only other names scan the globs. A route with a `when` is asked in its turn; where it says no, the
next one that matches decides. Brackets mean themselves: names contain them more often than anyone needs classes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from policies.choosing import Refused, Rejection
from policies.route_rules import NO_REQUIREMENTS
from policies.vocabulary import Deployment, Endpoint, Route, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from policies.route_rules import Capability
    from policies.vocabulary import Destination, Principal, Subject

WEIGHING = frozenset({Strategy.CHEAPEST, Strategy.FASTEST, Strategy.LEAST_BUSY, Strategy.SPILL})
"""Strategies that reckon with the tokens of a prompt."""


class Offer(NamedTuple):
    """A route's deployments that offer one endpoint, and those that do not."""

    candidates: tuple[Deployment, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A route with all that can be told of it before a call comes.

    `nested`: the routes inside it that have a `when`. `is_simple`: no route inside it asks or requires anything.
    `lacked`: what at least one of its deployments is known to lack. `weighs`: the size of a prompt may decide who
    answers. `context_tokens_least`: the smallest window among them, None where none is known. `spared`: ids of those
    that only take what another has refused for its content.
    """

    route: Route
    offers: Mapping[Endpoint, Offer]
    nested: tuple[Route, ...]
    is_simple: bool
    lacked: frozenset[Capability]
    weighs: bool
    context_tokens_least: int | None
    spared: frozenset[str]


@dataclass(frozen=True, slots=True)
class RouteIndex:
    """A policy file's routes, ready to be asked. Build one with `compile_routes`.

    `exact` has the names that one route takes whatever the request; `asked` those for which conditions decide, each
    with its routes in their turn, the last of them without a condition where there is such a one.
    """

    exact: Mapping[str, Way]
    asked: Mapping[str, tuple[Way, ...]]
    globs: tuple[tuple[re.Pattern[str], Way], ...]
    names: tuple[str, ...] = field(default=())

    def match(self, model: str, ask: Callable[[], Subject]) -> Way | None:
        """The first route, in file order, of which a pattern matches `model` and whose `when` holds; None where no
        route does. `ask` makes what conditions are asked about; a name without conditions never calls it.
        """
        way = self.exact.get(model)
        if way is not None:
            return way
        named = self.asked.get(model)
        return _first(self._globbed(model) if named is None else named, ask)

    def _globbed(self, model: str) -> Iterator[Way]:
        return (way for pattern, way in self.globs if pattern.fullmatch(model))


def _first(ways: Iterable[Way], ask: Callable[[], Subject]) -> Way | None:
    subject = None
    for way in ways:
        when = way.route.when
        if when is None:
            return way
        if subject is None:
            subject = ask()
        if when(subject):
            return way
    return None


def compile_routes(routes: Iterable[Route]) -> RouteIndex:
    """The index over `routes` in file order. A name that an earlier glob takes belongs to that glob's route."""
    ways = [way_of(route) for route in routes]
    patterns = [(model, compile_glob(model), way) for way in ways for model in way.route.models]
    names = tuple(dict.fromkeys(model for model, _, _ in patterns if not is_glob(model)))
    exact: dict[str, Way] = {}
    asked: dict[str, tuple[Way, ...]] = {}
    for name in names:
        turn = _turn(way for _, pattern, way in patterns if pattern.fullmatch(name))
        if turn[0].route.when is None:
            exact[name] = turn[0]
        else:
            asked[name] = turn
    globs = tuple((pattern, way) for model, pattern, way in patterns if is_glob(model))
    return RouteIndex(exact, asked, globs, names)


def _turn(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Each way once, up to the first that asks nothing."""
    found: dict[int, Way] = {}
    for way in ways:
        found.setdefault(id(way), way)
        if way.route.when is None:
            break
    return tuple(found.values())


def way_of(route: Route) -> Way:
    every, inside = candidates(route), tuple(inner_routes(route))
    windows = [deployment.context_tokens for deployment in every if deployment.context_tokens is not None]
    return Way(
        route,
        {endpoint: _offer(every, endpoint) for endpoint in Endpoint},
        tuple(inner for inner in inside if inner.when is not None),
        all(inner.when is None and inner.requires == NO_REQUIREMENTS for inner in inside),
        frozenset(capability for deployment in every for capability in deployment.lacks),
        bool(windows) or any(one.strategy in WEIGHING for one in (route, *inside)),
        min(windows, default=None),
        frozenset(deployment.id for deployment in every) - {deployment.id for deployment in _beginning(route)},
    )


def _offer(deployments: tuple[Deployment, ...], endpoint: Endpoint) -> Offer:
    offering = capable(deployments, endpoint)
    others = [deployment for deployment in deployments if endpoint not in deployment.endpoints]
    return Offer(offering, tuple(Rejection(other, Refused.ENDPOINT, endpoint.value) for other in others))


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
    """The model names to list for a caller, in file order: those of which some call may be answered. Globs are left
    out: nobody can ask for a pattern.

    `principal` None: no keys are configured, and anyone sees all.
    """
    return tuple(name for name in index.names if principal is None or _may_ask(index, name, principal))


def _may_ask(index: RouteIndex, name: str, principal: Principal) -> bool:
    way = index.exact.get(name)
    ways = index.asked[name] if way is None else (way,)
    return any(allowed(principal, way.route) for way in ways)


def candidates(route: Route, left_out: frozenset[str] = frozenset()) -> tuple[Deployment, ...]:
    """Every deployment of a route once: its targets, then its declared fallbacks; of a route in it, that route's.

    `left_out` names routes in it whose `when` does not hold.
    """
    return tuple({deployment.id: deployment for deployment in _leaves(route, left_out)}.values())


def _leaves(to: Destination, left_out: frozenset[str]) -> Iterator[Deployment]:
    if isinstance(to, Deployment):
        yield to
        return
    for inner in _inside(to):
        if isinstance(inner, Deployment) or inner.name not in left_out:
            yield from _leaves(inner, left_out)


def _beginning(to: Destination) -> Iterator[Deployment]:
    if isinstance(to, Deployment):
        yield to
        return
    for inner in (*(target.to for target in to.targets), *to.fallbacks, *to.context_fallbacks):
        yield from _beginning(inner)


def inner_routes(route: Route) -> Iterator[Route]:
    """Every route inside a route, at any depth."""
    for inner in _inside(route):
        if isinstance(inner, Route):
            yield inner
            yield from inner_routes(inner)


def _inside(route: Route) -> Iterator[Destination]:
    yield from (target.to for target in route.targets)
    yield from (*route.fallbacks, *route.context_fallbacks, *route.content_fallbacks)


def capable(deployments: tuple[Deployment, ...], endpoint: Endpoint) -> tuple[Deployment, ...]:
    """Those of `deployments` that offer `endpoint`; the very same tuple where all do."""
    for deployment in deployments:
        if endpoint not in deployment.endpoints:
            return tuple(d for d in deployments if endpoint in d.endpoints)
    return deployments
