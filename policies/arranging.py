"""From the places of a route to one order of deployments: what is nested stands at its place, each deployment once."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from policies.choosing import NOT_SEEN, Refused, Rejection
from policies.route_plan import RouteState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from policies.choosing import Asked, LiveNumbers, Seen
    from policies.route_plan import RoutePlan
    from policies.vocabulary import Deployment, Strategy


class Kind(Enum):
    """What some fallbacks are declared for."""

    CONTEXT = "context"
    CONTENT = "content"


class Moment(NamedTuple):
    """What one decision is made from. `capable` None: every deployment of the route is; `aside` are set aside now."""

    asked: Asked
    live: LiveNumbers
    now: float
    rng: Random
    capable: frozenset[str] | None
    aside: frozenset[str]
    strategies: Strategies


class Field(NamedTuple):
    """The targets that a call could go to, side by side: their `positions` in the plan, and who leads each of them.

    `free` are the indexes of those that are not set aside; where all are, all count as free.
    """

    plan: RoutePlan
    positions: Sequence[int]
    leaders: Sequence[Deployment]
    free: Sequence[int]
    moment: Moment

    def seen(self) -> list[Seen]:
        """What is known of each leader."""
        live = self.moment.live
        return [live.get(leader.id, NOT_SEEN) for leader in self.leaders]


class Ranking(NamedTuple):
    """Indexes of a field in the order to try, and the route's `owed` and `credit` after it.

    `scores` go by index too. `refused` are those that are no candidates after all. `stands` is who stands for the route
    where it is a target itself, if not the leader. `wakes` is whom the strategy passed over only because
    its model is not loaded.
    """

    order: Sequence[int]
    why: str
    owed: tuple[int, ...]
    credit: int
    scores: Sequence[float] = ()
    refused: tuple[tuple[int, Refused, str], ...] = ()
    stands: int | None = None
    wakes: int | None = None


Strategies: TypeAlias = "Mapping[Strategy, Callable[[Field, RouteState], Ranking]]"


class Arranged(NamedTuple):
    """A route's deployments in the order to try, the first `primaries` of them targets, and its state after that.

    `stands` is who stands for it outside, None where that is the first that is not set aside. `wakes` is the id of one
    whose model should be loaded.
    """

    order: tuple[Deployment, ...]
    primaries: int
    state: RouteState
    scores: tuple[tuple[str, float], ...] = ()
    why: str = ""
    rejected: tuple[Rejection, ...] = ()
    stands: Deployment | None = None
    wakes: str | None = None


class Entry(NamedTuple):
    """What stands at one place in this call. `state` is what its own plan comes to if the call goes there."""

    position: int
    order: tuple[Deployment, ...]
    state: RouteState | None = None
    stands: Deployment | None = None
    wakes: str | None = None


def by_score(scores: Sequence[float] | Sequence[tuple[float, float]]) -> list[int]:
    """Indexes, the lowest score first."""
    return sorted(range(len(scores)), key=scores.__getitem__)


def first_of(order: Sequence[int], among: Sequence[int]) -> int:
    """The first in an order of those `among` it."""
    if len(among) == len(order):
        return order[0]
    allowed = set(among)
    return next(index for index in order if index in allowed)


def led_by(leader: int, order: Sequence[int]) -> list[int]:
    """The order with this one put first."""
    return [leader, *(index for index in order if index != leader)]


def arrange(state: RouteState, moment: Moment) -> Arranged:
    """The order of a route's targets and fallbacks for one call."""
    plan = state.plan
    if not plan.flat:
        return _arrange_nested(state, moment)
    capable = moment.capable
    if capable is None:
        positions, leaders, fallbacks = plan.positions, plan.leaders, plan.fallbacks.deployments
    else:
        positions = tuple([p for p in plan.positions if plan.leaders[p].id in capable])
        leaders = tuple([plan.leaders[p] for p in positions])
        fallbacks = tuple([d for d in plan.fallbacks.deployments if d.id in capable])
    if not leaders:
        return Arranged(fallbacks, 0, state)
    field = Field(plan, positions, leaders, _free(leaders, moment.aside), moment)
    ranking = moment.strategies[plan.route.strategy](field, state)
    targets = [leaders[index] for index in ranking.order]
    ids = plan.ids if len(leaders) == len(plan.ids) else [leader.id for leader in leaders]
    return Arranged(
        (*targets, *fallbacks),
        len(targets),
        RouteState(plan, ranking.owed, ranking.credit, state.inner),
        tuple(zip(ids, ranking.scores, strict=True)) if ranking.scores else (),
        ranking.why,
        tuple([Rejection(leaders[i], why, detail) for i, why, detail in ranking.refused]),
        None if ranking.stands is None else leaders[ranking.stands],
        None if ranking.wakes is None else leaders[ranking.wakes].id,
    )


def _arrange_nested(state: RouteState, moment: Moment) -> Arranged:
    plan = state.plan
    targets, rejected = _entries(state, moment, range(len(plan.positions)))
    fallbacks, unmet = _entries(state, moment, range(plan.fallbacks.begin, plan.fallbacks.end))
    rejected += unmet
    owed, credit, why = state.owed, state.credit, ""
    scores: tuple[tuple[str, float], ...] = ()
    stands = wakes = None
    if targets:
        leaders = [entry.stands or _leader(entry.order, moment.aside) for entry in targets]
        field = Field(plan, [entry.position for entry in targets], leaders, _free(leaders, moment.aside), moment)
        ranking = moment.strategies[plan.route.strategy](field, state)
        owed, credit, why = ranking.owed, ranking.credit, ranking.why
        if ranking.scores:
            scores = tuple([(leader.id, score) for leader, score in zip(leaders, ranking.scores, strict=True)])
        rejected += [Rejection(d, why, detail) for i, why, detail in ranking.refused for d in targets[i].order]
        stands = None if ranking.stands is None else leaders[ranking.stands]
        wakes = None if ranking.wakes is None else leaders[ranking.wakes].id
        targets = [targets[index] for index in ranking.order]
    order = {d.id: d for entry in targets for d in entry.order}
    primaries = len(order)
    for entry in fallbacks:
        for deployment in entry.order:
            order.setdefault(deployment.id, deployment)
    leading = _leading((*targets, *fallbacks), moment.aside)
    after = RouteState(plan, owed, credit, _with_turn(leading, state.inner))
    wakes = wakes or (leading and leading.wakes)
    return Arranged(tuple(order.values()), primaries, after, scores, why, tuple(rejected), stands, wakes)


def declared_for(kind: Kind, state: RouteState, moment: Moment) -> tuple[tuple[Deployment, ...], tuple[Rejection, ...]]:
    """The fallbacks for one kind of failure, each once: the route's own, then those of the routes inside it; and who of
    them was refused.
    """
    plan = state.plan
    which = plan.context if kind is Kind.CONTEXT else plan.content
    if which.is_empty:
        return (), ()
    if plan.flat:
        if moment.capable is None:
            return which.deployments, ()
        return tuple([d for d in which.deployments if d.id in moment.capable]), ()
    entries, rejected = _entries(state, moment, range(which.begin, which.end))
    found = {d.id: d for entry in entries for d in entry.order}
    for inner in state.inner:
        if inner is not None and _holds(inner.plan, moment.asked):
            deployments, refused = declared_for(kind, inner, moment)
            rejected += refused
            for deployment in deployments:
                found.setdefault(deployment.id, deployment)
    return tuple(found.values()), tuple(rejected)


def _holds(plan: RoutePlan, asked: Asked) -> bool:
    return plan.route.when is None or plan.route.name in asked.met


def _entries(state: RouteState, moment: Moment, positions: Iterable[int]) -> tuple[list[Entry], list[Rejection]]:
    """What stands at these places, the empty ones left out; and who was refused because of a `when`."""
    found, rejected = [], []
    for position in positions:
        place, inner = state.plan.places[position], state.inner[position]
        if inner is None:
            if moment.capable is None or place.deployments[0].id in moment.capable:
                found.append(Entry(position, place.deployments))
            continue
        if not _holds(inner.plan, moment.asked):
            rejected += [Rejection(d, Refused.WHEN, inner.plan.route.name) for d in place.deployments]
            continue
        arranged = arrange(inner, moment)
        rejected += arranged.rejected
        if arranged.order:
            found.append(Entry(position, arranged.order, arranged.state, arranged.stands, arranged.wakes))
    return found, rejected


def _leading(entries: Sequence[Entry], aside: frozenset[str]) -> Entry | None:
    """Where the call goes: the first that is not set aside."""
    return next((e for e in entries if any(d.id not in aside for d in e.order)), entries[0] if entries else None)


def _with_turn(leading: Entry | None, before: tuple[RouteState | None, ...]) -> tuple[RouteState | None, ...]:
    """The places' states after a call: a turn was taken only where it goes."""
    if leading is None or leading.state is None:
        return before
    return (*before[: leading.position], leading.state, *before[leading.position + 1 :])


def _leader(order: Sequence[Deployment], aside: frozenset[str]) -> Deployment:
    return next((d for d in order if d.id not in aside), order[0]) if aside else order[0]


def _free(leaders: Sequence[Deployment], aside: frozenset[str]) -> Sequence[int]:
    every = range(len(leaders))
    return every if not aside else [index for index in every if leaders[index].id not in aside] or every
