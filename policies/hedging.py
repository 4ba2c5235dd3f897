"""How many hedges a route may make: a stated share of its calls, saved up for a while and never borrowed.

A hedge is load that nobody asked for, so it is paid from a budget like a second try: each call adds the share, each
hedge takes one. What is saved is capped, so that a quiet day does not pay for a storm of hedges. When one may start is
for `attempts` to say. Source: Dean and Barroso, The Tail at Scale, CACM 56(2), 2013: hedged requests after the 95th
percentile cost about 5 % more load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from policies.route_rules import HedgeRules

SAVED_MAX: Final = 10.0
SCALE: Final = 1_000_000
"""A share is counted in millionths: the sum of twenty times 0.05 is then exactly one."""


class HedgeBudget(NamedTuple):
    """What a route has saved, in millionths of a hedge. Never more hedges than the share of its calls so far."""

    saved: int = 0


def deposit(budget: HedgeBudget, rules: HedgeRules) -> HedgeBudget:
    """The budget after one more call has begun."""
    return HedgeBudget(min(int(SAVED_MAX * SCALE), budget.saved + round(rules.share_max * SCALE)))


def may_hedge(budget: HedgeBudget) -> bool:
    """Whether a hedge can be paid for; `withdraw` when it is made."""
    return budget.saved >= SCALE


def withdraw(budget: HedgeBudget) -> HedgeBudget:
    """The budget after a hedge."""
    return HedgeBudget(budget.saved - SCALE)
