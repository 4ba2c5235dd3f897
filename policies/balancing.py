"""In which order a route's candidates are tried: targets by the route's strategy, then fallbacks as declared.

`weighted` is nginx's smooth weighted round robin: of as many calls as the weights sum to, each target leads
exactly its weight's number of times, spread out rather than in bursts, and with no chance involved.
Source: nginx, ngx_http_upstream_round_robin.c, "smooth weighted round-robin".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.vocabulary import Deployment, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from policies.vocabulary import Destination, Route, Target

# Whose turn it is on one route, as (deployment name, how far it is owed); empty before the first call.
Rotation = tuple[tuple[str, int], ...]


class Order(NamedTuple):
    """Candidates in the order to try. The first `primaries` are targets, the rest declared fallbacks."""

    candidates: tuple[Deployment, ...]
    primaries: int


def order(route: Route, capable: tuple[Deployment, ...], rotation: Rotation = ()) -> tuple[Order, Rotation]:
    """The order for one call among the route's `capable` candidates, and the rotation to keep for the next call."""
    if len(capable) == 1:
        return Order(capable, 1), rotation
    names = {deployment.name for deployment in capable}
    targets = _distinct(tuple(target for target in route.targets if target.to.name in names))
    ordered, rotation = STRATEGIES[route.strategy](targets, rotation)
    primaries = {deployment.name for deployment in ordered}
    rest = {d.name: leaf(d) for d in route.fallbacks if d.name in names and d.name not in primaries}
    return Order((*ordered, *rest.values()), len(ordered)), rotation


def leaf(to: Destination) -> Deployment:
    """Raises `TypeError` for a route."""
    if not isinstance(to, Deployment):
        raise TypeError(to.name)
    return to


def keep(targets: tuple[Target, ...], rotation: Rotation) -> tuple[list[Deployment], Rotation]:
    """As the policy file lists them."""
    return [leaf(target.to) for target in targets], rotation


def take_turns(targets: tuple[Target, ...], rotation: Rotation) -> tuple[list[Deployment], Rotation]:
    """By weight: whoever is owed most leads, the rest follow in the order of what they are owed.

    A weight of 0 never leads while any other target can; such targets come after all others.
    """
    owed = dict(rotation)
    total = 0
    for target in targets:
        name = target.to.name
        owed[name] = owed.get(name, 0) + target.weight
        total += target.weight
    turn = sorted(targets, key=lambda target: (target.weight == 0, -owed[target.to.name]))
    if total:
        owed[turn[0].to.name] -= total
    return [leaf(target.to) for target in turn], tuple(owed.items())


def _distinct(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple({target.to.name: target for target in reversed(targets)}.values())[::-1]


STRATEGIES: Final[Mapping[Strategy, Callable[[tuple[Target, ...], Rotation], tuple[list[Deployment], Rotation]]]] = {
    Strategy.ORDERED: keep,
    Strategy.WEIGHTED: take_turns,
}
