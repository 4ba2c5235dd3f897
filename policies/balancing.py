"""In which order a route's candidates are tried: targets by the route's strategy, then fallbacks as declared.

A strategy orders what stands at a route's places; what stands there may be one deployment, several credentials of one,
or a whole route, whose own order is put there and whose leader is what the strategy sees. Deployments that a breaker
has set aside keep their place in the order, since attempts pass them over, but no turn is charged to them.

`weighted` is nginx's smooth weighted round robin: of as many calls as the weights sum to, each target leads
exactly its weight's number of times, spread out rather than in bursts, and with no chance involved. `least_busy` is the
power of two choices, `sticky` and the stable form of `weighted` are weighted rendezvous hashing.
Sources: nginx, ngx_http_upstream_round_robin.c, "smooth weighted round-robin"; Mitzenmacher, "The power of two choices
in randomized load balancing" (2001); `rendezvous` names its own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from policies.arranging import Kind, Moment, Ranking, arrange, declared_for
from policies.capabilities import fits
from policies.choosing import NOT_SEEN, Choice, Refused
from policies.expectations import expected_nanousd, expected_size, expected_total_s, expected_wait_s
from policies.latency import unseen_s
from policies.rendezvous import distances, room
from policies.route_plan import AS_LISTED, carried
from policies.route_rules import AffinityBy
from policies.vocabulary import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from policies.arranging import Field
    from policies.choosing import Asked, LiveNumbers, Rejection, Seen
    from policies.expectations import Expected
    from policies.route_plan import RoutePlan, RouteState
    from policies.vocabulary import Deployment

EXPLORE_EVERY: Final = 20
"""`fastest` sends at most one call of so many to a target for the sake of knowing it."""
STALE_S: Final = 60.0
"""What was last seen so long ago is worth a look."""
NOTHING: Final[frozenset[str]] = frozenset()


def choose(asked: Asked, live: LiveNumbers, state: RouteState, now: float, rng: Random) -> tuple[Choice, RouteState]:
    """The candidates of one call in the order to try, and what the route keeps for the next one.

    `state` is `route_plan.fresh(route)` before the first call. `live` holds what is known of the candidates; where
    `state.plan.reads_live` is false, those that are set aside suffice.
    """
    if state.plan.route is not asked.route:
        state = carried(state, asked.route)
    plan, capable = state.plan, asked.capable
    ids = None
    if len(capable) != plan.everyone:
        ids = frozenset([deployment.id for deployment in capable])
    elif plan.always is not None:
        return plan.always, state
    aside = frozenset([id_ for id_, one in live.items() if (one.set_aside_until_s or 0.0) > now]) if live else NOTHING
    moment = Moment(asked, live, now, rng, ids, aside, STRATEGIES)
    order, primaries, after, scores, why, rejected, _ = arrange(state, moment)
    context, late = declared_for(Kind.CONTEXT, state, moment)
    content, latest = declared_for(Kind.CONTENT, state, moment)
    if not primaries and context and _is_too_long(plan, asked):
        order = tuple({deployment.id: deployment for deployment in (*context, *order)}.values())
        why = "too long for every target"
    if rejected or late or latest:
        rejected = _without((*rejected, *late, *latest), order, ids)
    return Choice(order, primaries, (*asked.rejected, *rejected), scores, why, context, content), after


def _is_too_long(plan: RoutePlan, asked: Asked) -> bool:
    """Whether a target was ruled out because the call does not fit into it."""
    targets = plan.places[: len(plan.positions)]
    return not all(fits(deployment, asked.needs) for place in targets for deployment in place.deployments)


def _without(
    rejected: tuple[Rejection, ...], order: tuple[Deployment, ...], capable: frozenset[str] | None
) -> tuple[Rejection, ...]:
    """Rejections of those that are no candidates by any other way, and were not rejected before."""
    reached = {deployment.id for deployment in order}
    found = {one.deployment.id: one for one in rejected if one.deployment.id not in reached}
    return tuple([one for id_, one in found.items() if capable is None or id_ in capable])


def keep(field: Field, state: RouteState) -> Ranking:
    """As the policy file lists them."""
    return Ranking(range(len(field.leaders)), AS_LISTED, state.owed, state.credit)


def share(field: Field, state: RouteState) -> Ranking:
    """By weight: in turns, or the same callers to the same target where the route says by what."""
    affinity = field.plan.route.affinity
    key = "" if affinity is None else affinity_key(field)
    if not key:
        return take_turns(field, state)
    # Salted, so that who is in one route's canary is not in all of them.
    scores = _distances(field, f"{field.plan.route.name}\0{key}")
    return Ranking(_by_score(scores), "the caller's share", state.owed, state.credit, scores)


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
    order = _by_score(ranks)
    if total:
        owed[positions[_first(order, field.free)]] -= total
    return Ranking(order, "turns by weight", tuple(owed), state.credit)


def prefer_cheapest(field: Field, state: RouteState) -> Ranking:
    """By what this request is expected to cost; among equals the one with less to do. Unknown prices come last."""
    seen = _seen(field)
    size = expected_size(field.moment.asked, seen)
    scores = [expected_nanousd(size, d.price, one) for d, one in zip(field.leaders, seen, strict=True)]
    ranks = [(score, one.in_flight_tokens) for score, one in zip(scores, seen, strict=True)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    why = "expected cost" if scores[order[-1]] < inf else "expected cost; where it is unknown, last"
    return Ranking(order, why, state.owed, state.credit, scores)


def prefer_fastest(field: Field, state: RouteState) -> Ranking:
    """By how long this request is expected to take; now and then one leads that was not seen for long."""
    seen, now = _seen(field), field.moment.now
    size = expected_size(field.moment.asked, seen)
    scores = [expected_total_s(size, one, now) for one in seen]
    ranks = [(score, one.in_flight) for score, one in zip(scores, seen, strict=True)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    credit = min(state.credit + 1, EXPLORE_EVERY)
    if credit == EXPLORE_EVERY and scores[order[0]] < inf:
        unknown = _longest_unseen(field, seen, order)
        if unknown is not None:
            told = "to see how fast it is"
            return Ranking(_leading(order, unknown), told, state.owed, 0, scores, stands=_first(order, field.free))
    return Ranking(order, "expected time", state.owed, credit, scores)


def prefer_idle(field: Field, state: RouteState) -> Ranking:
    """The less busy of two drawn at random leads, by tokens under way and calls in its queue, for its weight.

    Always taking the least busy of all would send every gateway's calls to the same one at the same moment.
    """
    needs = field.moment.asked.needs
    queued_tokens = max(1, expected_size(field.moment.asked, ()).input_tokens) + (needs.output_tokens or 0)
    weights = field.plan.weights
    scores = []
    for position, one in zip(field.positions, _seen(field), strict=True):
        load = one.in_flight_tokens + (one.queued or 0) * queued_tokens
        scores.append(load / weights[position] if weights[position] else inf)
    open_to = [index for index in field.free if weights[field.positions[index]]] or list(field.free)
    leader = _less_busy(open_to, scores, field.moment.rng)
    return Ranking(_leading(_by_score(scores), leader), "the less busy of two", state.owed, state.credit, scores)


def stick(field: Field, state: RouteState) -> Ranking:
    """Each key has its own order of the targets; the first of them that is not above its share of the load leads."""
    affinity = field.plan.route.affinity
    key = affinity_key(field)
    if not key:
        return take_turns(field, state)
    scores = _distances(field, key)
    order = _by_score(scores)
    seen, weights = _seen(field), field.plan.weights
    loads = [seen[index].in_flight for index in field.free]
    shares = [weights[field.positions[index]] for index in field.free]
    has_room = room(loads, shares, 1.25 if affinity is None else affinity.load_max)
    roomy = [index for index, is_open in zip(field.free, has_room, strict=True) if is_open]
    leader = _first(order, roomy or field.free)
    why = "kept together" if leader == _first(order, field.free) else "kept together, but the first is full"
    return Ranking(_leading(order, leader), why, state.owed, state.credit, scores)


def spill(field: Field, state: RouteState) -> Ranking:
    """The first target until a call would wait there too long, then the next one that costs no more than the guard.

    Other targets that are beyond the guard, or of unknown price where there is one, are no candidates at all: not when
    the first is down either, for which there are fallbacks.
    """
    moment, rules = field.moment, field.plan.route.spill
    seen = _seen(field)
    size = expected_size(moment.asked, seen)
    waits = [expected_wait_s(size, one, moment.now) for one in seen]
    refused = _beyond_guard(field, size, seen)
    out = {index for index, _, _ in refused}
    order = [index for index in range(len(waits)) if index not in out]
    if not order:
        return Ranking((), "beyond the guard", state.owed, state.credit, waits, refused)
    open_to = [index for index in field.free if index not in out] or order
    wait_max_s = inf if rules is None else rules.wait_max_s
    home = open_to[0]
    leader = next((index for index in open_to if waits[index] <= wait_max_s), None)
    if leader is None:
        why = "all are late, and the guard keeps the call here" if refused else "all are late"
    else:
        why = "in time" if leader == home else "the wait at the first is too long"
    order = _leading(order, home if leader is None else leader)
    return Ranking(order, why, state.owed, state.credit, waits, refused)


def _beyond_guard(field: Field, size: Expected, seen: Sequence[Seen]) -> tuple[tuple[int, Refused, str], ...]:
    rules = field.plan.route.spill
    if rules is None or rules.cost_max_nanousd is None:
        return ()
    refused = []
    for index, leader in enumerate(field.leaders):
        cost = expected_nanousd(size, leader.price, seen[index])
        if field.positions[index] and cost > rules.cost_max_nanousd:
            unpriced = (Refused.PRICE, "no price to hold against the guard")
            refused.append((index, *((Refused.COST, "beyond the guard") if cost < inf else unpriced)))
    return tuple(refused)


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


def _seen(field: Field) -> list[Seen]:
    live = field.moment.live
    return [live.get(leader.id, NOT_SEEN) for leader in field.leaders]


def _distances(field: Field, key: str) -> list[float]:
    plan, positions = field.plan, field.positions
    if len(positions) == len(plan.positions):
        return distances(key, plan.keys, plan.weights)
    return distances(key, [plan.keys[p] for p in positions], [plan.weights[p] for p in positions])


def _by_score(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=scores.__getitem__)


def _first(order: Sequence[int], among: Sequence[int]) -> int:
    if len(among) == len(order):
        return order[0]
    allowed = set(among)
    return next(index for index in order if index in allowed)


def _leading(order: Sequence[int], leader: int) -> list[int]:
    return [leader, *(index for index in order if index != leader)]


def _less_busy(among: Sequence[int], scores: Sequence[float], rng: Random) -> int:
    if len(among) == 1:
        return among[0]
    first = int(rng.random() * len(among))
    second = int(rng.random() * (len(among) - 1))
    one, other = among[first], among[second + (second >= first)]
    return one if scores[one] <= scores[other] else other


def _longest_unseen(field: Field, seen: Sequence[Seen], order: Sequence[int]) -> int | None:
    """Of those that would not lead and have nothing under way, the one that has gone unseen longest."""
    leader = _first(order, field.free)
    found: list[int] = []
    longest_s = STALE_S
    for index in field.free:
        if index == leader or seen[index].in_flight:
            continue
        age_s = unseen_s(seen[index].latency, field.moment.now)
        age_s = inf if age_s is None else age_s
        if age_s > longest_s:
            found, longest_s = [index], age_s
        elif age_s == longest_s and found:
            found.append(index)
    return found[int(field.moment.rng.random() * len(found))] if found else None


STRATEGIES: Final[Mapping[Strategy, Callable[[Field, RouteState], Ranking]]] = {
    Strategy.ORDERED: keep,
    Strategy.WEIGHTED: share,
    Strategy.CHEAPEST: prefer_cheapest,
    Strategy.FASTEST: prefer_fastest,
    Strategy.LEAST_BUSY: prefer_idle,
    Strategy.STICKY: stick,
    Strategy.SPILL: spill,
}
