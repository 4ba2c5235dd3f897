"""Who pays for a semantic hit: each owner has an account on each route, and its own requests pay for its own hits.

An account is kept in requests' worth of the error budget, so that nothing of it hangs on what the budget is today. Each
request adds one, each hit takes its risk divided by the budget, and what is not there is not spent. It begins with
nothing: however many owners a route has, and however often one of them is forgotten, all hits together take no more
than all requests bring. Beyond that stands one credit of the route, which its owners borrow from and pay back: none may
owe more than half of what the others have left of it, so nobody can take it all.

Whoever floods a route, or burns what he has on traps, changes nothing for others. What labels teach of one owner's hits
warns the others, up to a bound that falls with each label of their own; it never makes them bolder.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from policies.caching import Experience

CREDIT: Final = 50.0
"""Requests' worth of the budget that a route's owners may owe together. Where several processes serve, each lends its
part."""
ALONE: Final = CREDIT / 2
"""What an owner may owe that nobody shares the route with."""
SURPLUS_MAX: Final = 1000.0
"""Requests' worth that an account holds at most: harmless requests do not pay for a long row of traps."""
WARNED_MAX: Final = 8
"""Steps by which others' labels may raise an owner's odds: `e` times as high."""
_OWN_LABELS: Final = 20.0  # as many of an owner's own halve what others' labels say


def cost_of(risk: float, false_hits_max: float) -> float:
    """What a hit takes from an account, in requests' worth."""
    if risk <= 0.0:
        return 0.0
    return risk / false_hits_max if false_hits_max > 0.0 else math.inf


def owed(experience: Experience) -> float:
    return max(0.0, -experience.purse)


def as_part(owner: Experience, route: Experience, credit: float = CREDIT) -> Experience:
    """The owner's experience as it is decided by: it may owe what is fair, and is warned by what the route's labels
    say. `route` is what all owners' traffic has taught together; `credit` is this process's part.
    """
    others_owe = max(0.0, route.lent - owed(owner))
    owing_max = max(0.0, credit - others_owe) / 2
    shift = _warned(owner, route)
    lessons = owner.lessons if shift == owner.lessons.shift else replace(owner.lessons, shift=shift)
    return replace(owner, lessons=lessons, owing_max=owing_max)


def _warned(owner: Experience, route: Experience) -> int:
    own, others = owner.lessons.shift, min(route.lessons.shift, WARNED_MAX)
    if others <= max(own, 0):
        return own
    return own + round((others - own) * _OWN_LABELS / (_OWN_LABELS + owner.lessons.labels))
