"""What one node may grant by itself while the shared store cannot be asked: its part of each rate, and no money.

With N nodes each enforcing limit / N on an account of its own, the fleet grants at most capacity + refill * T in an
outage of T seconds on top of what was granted before it: the accounts begin anew, once. A calendar window is another
matter: how much of it is left only the store knows, so a call under one is refused. `OPEN` is for those to whom an
answer is worth more than a limit: everything passes, and is charged when the store is back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from policies.limits import EXACT_MAX, Account, Ask, Denied, Granted, Hold, Kind, hold_of, window_of
from policies.route_rules import BreakerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.limits import Answer


class WhenDown(StrEnum):
    """What becomes of calls while the store cannot be asked."""

    LOCAL = "local"
    CLOSED = "closed"
    OPEN = "open"


class DegradedRules(NamedTuple):
    """`nodes` are all processes that share the store. The breaker opens after so many failures in a row."""

    nodes: int = 1
    when_down: WhenDown = WhenDown.LOCAL
    breaker: BreakerSettings = BreakerSettings(failures=3, cooldown_s=0.5, cooldown_max_s=5.0, probe_s=5.0)


def shares(asks: Sequence[Ask], rules: DegradedRules) -> tuple[Ask, ...] | None:
    """What to ask of this node's own accounts instead; None where the call must be refused."""
    is_open = rules.when_down is WhenDown.OPEN
    if rules.when_down is WhenDown.CLOSED or (not is_open and any(ask.kind == Kind.CALENDAR for ask in asks)):
        return None
    return tuple(
        [
            ask._replace(
                limit=EXACT_MAX - 1 if is_open else ask.limit // rules.nodes, rate_per_s=ask.rate_per_s / rules.nodes
            )
            for ask in asks
            if ask.kind != Kind.CALENDAR
        ]
    )


def as_whole(answer: Answer, asks: Sequence[Ask], rules: DegradedRules, now: float) -> Answer:
    """The node's own answer in the terms of the whole limits, as if every node had done what this one did."""
    if not isinstance(answer, Granted | Denied):
        return answer
    own = iter(answer.accounts)
    accounts = tuple(
        [_begun(ask, now) if ask.kind == Kind.CALENDAR else _times(next(own), rules.nodes) for ask in asks]
    )
    if isinstance(answer, Denied):
        counted = [index for index, ask in enumerate(asks) if ask.kind != Kind.CALENDAR]
        return Denied(tuple([counted[index] for index in answer.short]), accounts, answer.wait_s)
    return Granted(tuple(map(hold_of, asks, accounts)), accounts)


def own_part(holds: Sequence[Hold], actual: Sequence[int]) -> list[int]:
    """What was used of the node's own accounts, in the order of `shares`."""
    return [used for hold, used in zip(holds, actual, strict=False) if hold.kind != Kind.CALENDAR]


def _times(account: Account, nodes: int) -> Account:
    return Account(account.used * nodes, account.at_s, account.held * nodes)


def _begun(ask: Ask, now: float) -> Account:
    return Account(0.0, window_of(ask, now), ask.amount)
