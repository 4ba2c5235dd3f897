"""One reservation of a call, from its grant until it is settled with what its attempts came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.records.settlement import must_count, price_of, used_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Attempt
    from gateway.limits.plans import Plan
    from gateway.state.answers.store import Used
    from gateway.state.limits.store import LimitStore
    from policies.limits import Granted, Hold
    from policies.usage import Usage

_UNKNOWN: Final = (1, None, None, None, 0, None)

Charge = tuple[str, float, int]
"""An account as "tenant|account", where its calendar window began, and the amount."""


class Holding:
    """`attempts` are those that settle it, in order: each later reservation takes over from the one before. With
    `is_hit` a cache's answer settles it instead, by `hit`, which is what that took when it was made.
    """

    __slots__ = (
        "_released",
        "_used",
        "attempts",
        "has_calendar",
        "hit",
        "holds",
        "is_hit",
        "is_open",
        "plan",
        "reservation",
        "tenant",
    )

    def __init__(self, tenant: str, reservation: str, plan: Plan, granted: Granted) -> None:
        self.tenant = tenant
        self.reservation = reservation
        self.holds: Sequence[Hold] = granted.holds
        self.attempts: list[Attempt] = []
        self.is_hit = False
        self.hit: Used | None = None
        self.is_open = True
        self.has_calendar = plan.has_calendar
        self.plan = plan
        self._released = False
        self._used: list[int] = []

    def end(self, store: LimitStore) -> None:
        """Settle, or, as long as tokens must still be counted, give back at least what is held at once."""
        if not self.is_open:
            return
        for attempt in self.attempts:
            if must_count(attempt):
                self._release(store)
                return
        self.settle(store)

    def settle(self, store: LimitStore) -> None:
        """Once and for all. Without an attempt nothing was used: a call refused later on, or a cache's answer that is
        not charged for.
        """
        if self.is_open:
            self.is_open = False
            if len(self.attempts) == 1:
                self._used = actual = self.used_by(self.attempts[0])
            elif self.is_hit and not self.attempts:
                self._used = actual = self._used_by_hit()
            else:
                used = [self.used_by(attempt) for attempt in self.attempts]
                actual = [sum(column) for column in zip(*used, strict=True)] or [0] * len(self.holds)
            store.settle(self.tenant, self.reservation, self.holds, actual)

    def used_by(self, attempt: Attempt) -> list[int]:
        """What one of its attempts came to, hold by hold. A call counts as one request, with its first attempt; what
        nobody could count is charged as it was reserved.
        """
        first = +(attempt is self.attempts[0])
        usage, plan = used_by(attempt), self.plan
        used: tuple[int | None, ...] = (first, None, None, None, 0, None)
        if usage is not None:
            tokens = usage.input_tokens + usage.output_tokens
            cost = _cost_nanousd(attempt, usage) if plan.has_budget else 0
            used = (first, tokens, usage.input_tokens, usage.output_tokens, 0, cost)
        return self._by_hold(used)

    def charges(self, attempt: Attempt) -> list[Charge]:
        """The calendar accounts that this attempt was charged to."""
        if not self.has_calendar:
            return []
        return self._charged(self._used or self.used_by(attempt))

    def _used_by_hit(self) -> list[int]:
        """As `used_by`. An answer without a known cost was let through without one when it was made."""
        used = self.hit
        amounts: tuple[int | None, ...] = _UNKNOWN
        if used is not None:
            tokens = used.input_tokens + used.output_tokens
            amounts = (1, tokens, used.input_tokens, used.output_tokens, 0, used.cost_nanousd or 0)
        return self._by_hold(amounts)

    def _by_hold(self, amounts: tuple[int | None, ...]) -> list[int]:
        """What is None is charged as it was reserved."""
        return [
            hold.amount if (amount := amounts[field]) is None else amount
            for field, hold in zip(self.plan.fields, self.holds, strict=True)
        ]

    def hit_charges(self) -> list[Charge]:
        """The calendar accounts that a cache's answer was charged to."""
        if not self.is_hit or self.attempts or not self.has_calendar:
            return []
        return self._charged(self._used_by_hit())

    def _charged(self, used: Sequence[int]) -> list[Charge]:
        return [
            (f"{self.tenant}|{hold.account}", hold.window_s, amount)
            for hold, amount in zip(self.holds, used, strict=True)
            if hold.window_s
        ]

    def _release(self, store: LimitStore) -> None:
        if not self._released:
            self._released = True
            store.release(self.tenant, self.reservation)


def _cost_nanousd(attempt: Attempt, usage: Usage) -> int | None:
    """None where a price leaves open what a part of this costs. What has no price at all was let through."""
    cost, _ = price_of(usage, attempt)
    if cost is not None:
        return cost.total_nanousd
    return 0 if attempt.deployment.price is None else None
