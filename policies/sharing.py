"""Which share of a route's calls goes to which target: in turns, or the same callers to the same target.

Turns are nginx's smooth weighted round robin: of as many calls as the weights sum to, each target leads exactly its
weight's number of times, spread out rather than in bursts, and with no chance involved. What keeps callers together is
weighted rendezvous hashing, so that a canary that grows keeps the callers it had.
Sources: nginx, ngx_http_upstream_round_robin.c, "smooth weighted round-robin"; `rendezvous` names its own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from policies.arranging import Ranking, by_score, first_of, led_by
from policies.rendezvous import distances, room
from policies.route_rules import LOAD_MAX, AffinityBy

if TYPE_CHECKING:
    from policies.arranging import Field
    from policies.route_plan import RouteState


def share(field: Field, state: RouteState) -> Ranking:
    """By weight: in turns, or the same callers to the same target where the route says by what."""
    affinity = field.plan.route.affinity
    key = "" if affinity is None else affinity_key(field)
    if not key:
        return take_turns(field, state)
    # Salted, so that who is in one route's canary is not in all of them.
    scores = _distances(field, f"{field.plan.route.name}\0{key}")
    return Ranking(by_score(scores), "the caller's share", state.owed, state.credit, scores)


def take_turns(field: Field, state: RouteState) -> Ranking:
    """Whoever is owed most leads, the rest follow in the order of what they are owed.

    A weight of 0 never leads while any other target can; such targets come after all others. Only those that could
    lead are owed more by the turn, so that nobody saves up turns while set aside.
    """
    weights, positions = field.plan.weights, field.positions
    owed = list(state.owed)
    total = 0
    for index in field.free:
        position = positions[index]
        owed[position] += weights[position]
        total += weights[position]
    ranks = [-owed[position] if weights[position] else inf for position in positions]
    order = by_score(ranks)
    if total:
        owed[positions[first_of(order, field.free)]] -= total
    return Ranking(order, "turns by weight", tuple(owed), state.credit)


def stick(field: Field, state: RouteState) -> Ranking:
    """Each key has its own order of the targets; the first of them that is not above its share of the load leads."""
    affinity = field.plan.route.affinity
    key = affinity_key(field)
    if not key:
        return take_turns(field, state)
    scores = _distances(field, key)
    order = by_score(scores)
    seen, weights = field.seen(), field.plan.weights
    loads = [seen[index].in_flight for index in field.free]
    shares = [weights[field.positions[index]] for index in field.free]
    has_room = room(loads, shares, LOAD_MAX if affinity is None else affinity.load_max)
    roomy = [index for index, is_open in zip(field.free, has_room, strict=True) if is_open]
    leader = first_of(order, roomy or field.free)
    why = "kept together" if leader == first_of(order, field.free) else "kept together, but the first is full"
    return Ranking(led_by(leader, order), why, state.owed, state.credit, scores)


def affinity_key(field: Field) -> str:
    """What a route keeps together for this call; empty where the call has none of it."""
    asked, affinity = field.moment.asked, field.plan.route.affinity
    caller = asked.caller
    match AffinityBy.KEY if affinity is None else affinity.by:
        case AffinityBy.KEY:
            return caller.key_id
        case AffinityBy.USER:
            return caller.user or caller.key_id
        case AffinityBy.HEADER:
            return asked.session
        case AffinityBy.PREFIX:
            return asked.prefix or asked.session


def _distances(field: Field, key: str) -> list[float]:
    plan, positions = field.plan, field.positions
    if len(positions) == len(plan.positions):
        return distances(key, plan.keys, plan.weights)
    return distances(key, [plan.keys[p] for p in positions], [plan.weights[p] for p in positions])
