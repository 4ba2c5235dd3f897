"""How much a gateway takes of its limits at once, so that it need not travel for each call of a busy account set.

A chunk is reserved like one large call and served from locally: what is held stays within the limit, so the excess is
none, and what lies unused with N gateways is at most N chunks. Hence chunks are small beside the limit (a hundredth)
and beside the traffic (a quarter of a second of it), kept for a second at most, and not taken at all near the limit,
where one gateway's leftover would be another's refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.limits import as_of, remaining

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.limits import Account, Ask

SHARE: Final = 0.01
TRAFFIC_S: Final = 0.25
CHUNK_S: Final = 1.0
IDLE_S: Final = 0.25


class Pace(NamedTuple):
    """How many calls a second came lately, and how many since the count began."""

    per_s: float = 0.0
    calls: int = 0
    since_s: float = 0.0


def paced(pace: Pace, now: float) -> Pace:
    """One more call. The rate is that of the last quarter of a second or more; where nobody came, it begins anew."""
    elapsed_s = now - pace.since_s
    if not 0.0 <= elapsed_s <= CHUNK_S:
        return Pace(0.0, 1, now)
    if elapsed_s < TRAFFIC_S:
        return pace._replace(calls=pace.calls + 1)
    return Pace(pace.calls / elapsed_s, 1, now)


def calls_in_chunk(asks: Sequence[Ask], pace: Pace) -> int:
    """How many calls like this one a chunk should be for; none where it would not be for two."""
    calls = int(pace.per_s * TRAFFIC_S)
    for ask in asks:
        if ask.amount:
            calls = min(calls, int(ask.limit * SHARE) // ask.amount)
    return calls if calls > 1 else 0


def is_roomy(asks: Sequence[Ask], accounts: Sequence[Account | None], nodes: int, now: float) -> bool:
    """Whether twice what all gateways would take in such chunks is left in every account."""
    for ask, account in zip(asks, accounts, strict=True):
        current = as_of(account, ask, now)
        if current is None or remaining(ask, current) < 2 * nodes * ask.amount:
            return False
    return True


def is_due(taken_s: float, served_s: float, now: float) -> bool:
    """Whether a chunk is to be given back: old, or idle; or from a time that the clock no longer knows."""
    return not taken_s <= now < taken_s + CHUNK_S or now >= served_s + IDLE_S


def is_worth_shrinking(live: int, calls: int) -> bool:
    """Whether half of a retired chunk or more is done with: to replace it then costs each call a constant share."""
    return 0 < 2 * live <= calls
