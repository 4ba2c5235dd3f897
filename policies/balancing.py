"""In which order a route's candidates are tried: targets by the route's strategy, then fallbacks as declared.

A strategy orders what stands at a route's places; what stands there may be one deployment, several credentials of one,
or a whole route, whose own order is put there and whose leader is what the strategy sees. Deployments that a breaker
has set aside keep their place in the order, since attempts pass them over, but no turn is charged to them.

`least_busy` is the power of two choices: Mitzenmacher, "The power of two choices in randomized load balancing" (2001).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from policies.arranging import Kind, Moment, Ranking, arrange, by_score, declared_for, first_of, led_by
from policies.capabilities import fits
from policies.choosing import Choice
from policies.expectations import expected_nanousd, expected_size, expected_total_s
from policies.latency import unseen_s
from policies.route_plan import AS_LISTED, carried
from policies.sharing import share, stick
from policies.spilling import spill
from policies.vocabulary import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from policies.arranging import Field
    from policies.choosing import Asked, Line, LiveNumbers, Rejection, Seen
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
    order, primaries, after, scores, why, rejected, _, wakes = arrange(state, moment)
    context, late = declared_for(Kind.CONTEXT, state, moment)
    content, latest = declared_for(Kind.CONTENT, state, moment)
    if not primaries and context and _is_too_long(plan, asked):
        order = tuple({deployment.id: deployment for deployment in (*context, *order)}.values())
        why = "too long for every target"
    if rejected or late or latest:
        rejected = _without((*rejected, *late, *latest), order, ids)
    return Choice(order, primaries, (*asked.rejected, *rejected), scores, why, context, content, wakes), after


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


def prefer_cheapest(field: Field, state: RouteState) -> Ranking:
    """By what this request is expected to cost; among equals the one with less to do. Unknown prices come last."""
    seen = field.seen()
    size = expected_size(field.moment.asked, seen)
    scores = [expected_nanousd(size, d.price, one) for d, one in zip(field.leaders, seen, strict=True)]
    ranks = [(score, one.in_flight_tokens) for score, one in zip(scores, seen, strict=True)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    why = "expected cost" if scores[order[-1]] < inf else "expected cost; where it is unknown, last"
    return Ranking(order, why, state.owed, state.credit, scores)


def prefer_fastest(field: Field, state: RouteState) -> Ranking:
    """By how long this request is expected to take; now and then one leads that was not seen for long."""
    seen, now = field.seen(), field.moment.now
    size = expected_size(field.moment.asked, seen)
    scores = [expected_total_s(size, one, now) for one in seen]
    ranks = [(score, one.in_flight) for score, one in zip(scores, seen, strict=True)]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    credit = min(state.credit + 1, EXPLORE_EVERY)
    if credit == EXPLORE_EVERY and scores[order[0]] < inf:
        unknown = _longest_unseen(field, seen, order)
        if unknown is not None:
            told = "to see how fast it is"
            return Ranking(led_by(unknown, order), told, state.owed, 0, scores, stands=first_of(order, field.free))
    return Ranking(order, "expected time", state.owed, credit, scores)


def prefer_idle(field: Field, state: RouteState) -> Ranking:
    """The less busy of two drawn at random leads: the one where a call waits less for its turn, as far as they tell;
    else by tokens under way and calls in its queue, for each of its slots and for its weight.

    Always taking the least busy of all would send every gateway's calls to the same one at the same moment.
    """
    asked, weights = field.moment.asked, field.plan.weights
    queued_tokens = max(1, expected_size(asked, ()).input_tokens) + (asked.needs.output_tokens or 0)
    scores, waits = [], []
    for position, one in zip(field.positions, field.seen(), strict=True):
        weight, line, load, turn_s = weights[position], one.line, float(one.in_flight_tokens), 0.0
        if line is not None:
            load = (load + line.queued * queued_tokens) / (line.slots or 1)
            turn_s = _turn_s(line)
        scores.append(load / weight if weight else inf)
        waits.append(turn_s / weight if weight else inf)
    open_to = [index for index in field.free if weights[field.positions[index]]] or list(field.free)
    leader, other = _two_of(open_to, field.moment.rng)
    if (waits[other], scores[other]) < (waits[leader], scores[leader]):
        leader, other = other, leader
    order = led_by(leader, by_score(list(zip(waits, scores, strict=True)) if any(waits) else scores))
    why = "the less busy of two" if waits[leader] == waits[other] else "the shorter wait of two"
    return Ranking(order, why, state.owed, state.credit, scores)


def _turn_s(line: Line) -> float:
    """How long until a call has its turn there; 0 where the line is no more than a count of those that wait."""
    if line.wait_s is not None:
        return line.wait_s
    return inf if line.slots is not None and line.is_full else 0.0


def _two_of(among: Sequence[int], rng: Random) -> tuple[int, int]:
    """Two drawn at random; twice the same where there is one only."""
    if len(among) == 1:
        return among[0], among[0]
    first = int(rng.random() * len(among))
    second = int(rng.random() * (len(among) - 1))
    return among[first], among[second + (second >= first)]


def _longest_unseen(field: Field, seen: Sequence[Seen], order: Sequence[int]) -> int | None:
    """Of those that would not lead and have nothing under way, the one that has gone unseen longest. A model is not
    loaded for the sake of knowing it.
    """
    leader = first_of(order, field.free)
    found: list[int] = []
    longest_s = STALE_S
    for index in field.free:
        line = seen[index].line
        if index == leader or seen[index].in_flight or (line is not None and line.is_cold):
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
