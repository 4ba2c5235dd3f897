"""A route taken apart once, so that choosing among its targets need not look at its shape for every call.

Credentials of one deployment stand side by side at one place, and so do the deployments of a route inside the route:
each is a plan of its own, whose order is put where it stands and whose leader stands for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.choosing import Choice
from policies.vocabulary import Deployment, Route, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

AS_LISTED: Final = "as listed"
# These go by no live number.
_STEADY: Final = frozenset({Strategy.ORDERED, Strategy.WEIGHTED})


class Place(NamedTuple):
    """One target or fallback of a route. `inner` is None where that is a deployment with a single credential.

    `key` tells it from the others of its route, and stays the same over reloads. `deployments` are all that may come
    to answer there, whatever goes wrong.
    """

    key: str
    weight: int
    deployments: tuple[Deployment, ...]
    inner: RoutePlan | None = None


class Section(NamedTuple):
    """The fallbacks of one kind: where they begin and end among a plan's places, and as a flat plan has them.

    `is_empty`: neither the route nor any inside it has such.
    """

    begin: int
    end: int
    deployments: tuple[Deployment, ...]
    is_empty: bool


class RoutePlan(NamedTuple):
    """All places of a route: first its targets, then the fallbacks of each kind.

    `flat`: no place has an inner plan and no deployment is both a target and a fallback, so that `leaders` are the
    targets themselves, with their `ids`. `everyone` counts the deployments that may come to answer; `always` is the
    choice for a call that all of them can answer, where that is always the same. `reads_live`: choosing takes live
    numbers of every candidate, not only of those set aside.
    """

    route: Route
    places: tuple[Place, ...]
    positions: tuple[int, ...]
    weights: tuple[int, ...]
    keys: tuple[bytes, ...]
    leaders: tuple[Deployment, ...]
    ids: tuple[str, ...]
    fallbacks: Section
    context: Section
    content: Section
    flat: bool
    everyone: int
    always: Choice | None
    reads_live: bool


class RouteState(NamedTuple):
    """What a route keeps between calls.

    `owed` is how far each target is owed its turn, `credit` how many calls ago it last explored, `inner` the
    states of those places that have plans of their own.
    """

    plan: RoutePlan
    owed: tuple[int, ...]
    credit: int
    inner: tuple[RouteState | None, ...]


def fresh(route: Route) -> RouteState:
    """A route's state before its first call."""
    return _begun(compile_plan(route))


def carried(state: RouteState, route: Route) -> RouteState:
    """The state of a route after a reload: who is owed a turn stays so, as far as the new weights allow."""
    return _taken_over(state, _begun(compile_plan(route)))


def compile_plan(route: Route) -> RoutePlan:
    """The plan of a route. Cycles are the configuration's to refuse."""
    sections = (
        _places(route, route.targets),
        _places(route, [Target(to) for to in route.fallbacks]),
        _places(route, [Target(to) for to in route.context_fallbacks]),
        _places(route, [Target(to) for to in route.content_fallbacks]),
    )
    return _plan(route, sections)


Sections = tuple[tuple[Place, ...], tuple[Place, ...], tuple[Place, ...], tuple[Place, ...]]


def _plan(route: Route, sections: Sections) -> RoutePlan:
    targets, fallbacks, context, content = sections
    places = (*targets, *fallbacks, *context, *content)
    answering = [deployment.id for place in (*targets, *fallbacks) for deployment in place.deployments]
    everyone = {deployment.id for place in places for deployment in place.deployments}
    flat = len(set(answering)) == len(answering) and all(place.inner is None for place in places)
    inner = [place.inner for place in places if place.inner is not None]
    leaders = tuple(place.deployments[0] for place in targets) if flat else ()
    begins = [len(targets), len(targets) + len(fallbacks), len(places) - len(content)]
    return RoutePlan(
        route=route,
        places=places,
        positions=tuple(range(len(targets))),
        weights=tuple(place.weight for place in targets),
        keys=tuple(place.key.encode() for place in targets),
        leaders=leaders,
        ids=tuple(deployment.id for deployment in leaders),
        fallbacks=_section(begins[0], fallbacks, [plan.fallbacks for plan in inner]),
        context=_section(begins[1], context, [plan.context for plan in inner]),
        content=_section(begins[2], content, [plan.content for plan in inner]),
        flat=flat,
        everyone=len(everyone),
        always=_always(route, leaders, sections) if flat else None,
        reads_live=route.strategy not in _STEADY or any(p.inner is not None and p.inner.reads_live for p in places),
    )


def _always(route: Route, leaders: tuple[Deployment, ...], sections: Sections) -> Choice | None:
    if route.strategy is not Strategy.ORDERED and len(leaders) > 1:
        return None
    _, fallbacks, context, content = (tuple(place.deployments[0] for place in places) for places in sections)
    return Choice((*leaders, *fallbacks), len(leaders), (), (), AS_LISTED, context, content)


def _section(begin: int, places: tuple[Place, ...], inner: Iterable[Section]) -> Section:
    is_empty = not places and all(section.is_empty for section in inner)
    return Section(begin, begin + len(places), tuple(place.deployments[0] for place in places), is_empty)


def _places(route: Route, targets: Iterable[Target]) -> tuple[Place, ...]:
    """Targets in their order, each once, with the credentials of one deployment at one place."""
    grouped: dict[str, list[Target]] = {}
    for target in targets:
        key = f"deployment {target.to.name}"
        if isinstance(target.to, Route):
            key = f"route {target.to.name}"
            while key in grouped and grouped[key][0].to is not target.to:
                key += " again"
        grouped.setdefault(key, []).append(target)
    return tuple(_place(route, key, together) for key, together in grouped.items())


def _place(route: Route, key: str, together: list[Target]) -> Place:
    first = together[0]
    if isinstance(first.to, Route):
        nested = compile_plan(first.to)
        everyone = {d.id: d for place in nested.places for d in place.deployments}
        return Place(key, first.weight, tuple(everyone.values()), nested)
    credentials = {target.to.id: target.to for target in together if isinstance(target.to, Deployment)}
    inner = _side_by_side(route, tuple(credentials.values())) if len(credentials) > 1 else None
    return Place(key, first.weight, tuple(credentials.values()), inner)


def _side_by_side(route: Route, credentials: tuple[Deployment, ...]) -> RoutePlan:
    """One deployment's credentials: turns by weight; where calls keep to a target they keep to a credential too."""
    sticks = route.strategy is Strategy.STICKY
    within = replace(
        route,
        strategy=Strategy.STICKY if sticks else Strategy.WEIGHTED,
        affinity=route.affinity if sticks else None,
        when=None,
    )
    places = tuple(Place(f"credential {d.id}", d.credential_weight, (d,)) for d in credentials)
    return _plan(within, (places, (), (), ()))


def _begun(plan: RoutePlan) -> RouteState:
    inner = tuple(None if place.inner is None else _begun(place.inner) for place in plan.places)
    return RouteState(plan, (0,) * len(plan.weights), 0, inner)


def _taken_over(old: RouteState, new: RouteState) -> RouteState:
    places = new.plan.places
    before = {place.key: index for index, place in enumerate(old.plan.places[: len(old.owed)])}
    most = sum(new.plan.weights)
    owed = [0] * len(new.owed)
    for index, key in enumerate(place.key for place in places[: len(owed)]):
        if key in before:
            owed[index] = max(-most, min(most, old.owed[before[key]]))
    states = {place.key: state for place, state in zip(old.plan.places, old.inner, strict=True)}
    inner = []
    for place, state in zip(places, new.inner, strict=True):
        kept = states.get(place.key)
        inner.append(state if state is None or kept is None else _taken_over(kept, state))
    return RouteState(new.plan, tuple(owed), old.credit, tuple(inner))
