"""One target first, and others only where it would be too late and they are not too dear: local first, then out."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from policies.arranging import Ranking, led_by
from policies.choosing import Refused
from policies.expectations import expected_nanousd, expected_size, expected_wait_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.arranging import Field
    from policies.choosing import Seen
    from policies.expectations import Expected
    from policies.route_plan import RouteState


def spill(field: Field, state: RouteState) -> Ranking:
    """The first target until a call would wait there too long, then the next one that costs no more than the guard.

    Other targets that are beyond the guard, or of unknown price where there is one, are no candidates at all: not when
    the first is down either, for which there are fallbacks. A route inside costs what its leader does. A first target
    that is passed over as its model is not loaded is woken, so that calls to come find it there.
    """
    moment, rules = field.moment, field.plan.route.spill
    seen = field.seen()
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
    wakes = None
    if leader is None:
        why = "all are late, and the guard keeps the call here" if refused else "all are late"
    elif leader == home:
        why = "in time"
    elif _is_cold(seen[home]):
        why, wakes = "the first is not loaded; it is being loaded meanwhile", home
    else:
        why = "the wait at the first is too long"
    order = led_by(home if leader is None else leader, order)
    return Ranking(order, why, state.owed, state.credit, waits, refused, wakes=wakes)


def _is_cold(seen: Seen) -> bool:
    return seen.line is not None and seen.line.is_cold


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
