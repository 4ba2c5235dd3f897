"""How many second tries one deployment is given: a fifth of its calls, plus ten a second so that quiet ones may too.

Bounding tries per call does not bound them together: when everything fails, every call retries, and the load that broke
an upstream doubles. A budget shared by all its calls keeps attempts near 1.2 per call however bad it gets, and one
deployment's outage leaves the others theirs. Moving elsewhere is free, as breakers bound that. Source: Finagle's
RetryBudget; here credits are capped instead of expiring.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CREDIT_PER_CALL: Final = 0.2
CREDITS_PER_S: Final = 10.0
CREDITS_MAX: Final = 100.0


class RetryBudget(NamedTuple):
    """Credits as of `at_s`; a second try costs one. In any span, tries <= CREDITS_MAX + 0.2 * calls + 10 * seconds."""

    credits: float = CREDITS_PER_S
    at_s: float = 0.0


def deposit(budget: RetryBudget, now: float, calls: int = 1) -> RetryBudget:
    """The budget after `calls` more calls have begun."""
    credit = min(CREDITS_MAX, _credits_at(budget, now) + CREDIT_PER_CALL * calls)
    return RetryBudget(credit, max(now, budget.at_s))


def may_repeat(budget: RetryBudget, now: float) -> bool:
    """Whether a second try can be paid for; `withdraw` when it is made."""
    return _credits_at(budget, now) >= 1.0


def withdraw(budget: RetryBudget, now: float) -> RetryBudget:
    """The budget after a second try."""
    return RetryBudget(_credits_at(budget, now) - 1.0, max(now, budget.at_s))


def _credits_at(budget: RetryBudget, now: float) -> float:
    return min(CREDITS_MAX, budget.credits + CREDITS_PER_S * max(0.0, now - budget.at_s))
