"""What one call holds under its limits, and what its answer tells of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Attempt
    from gateway.limits.demands import Demand
    from gateway.limits.holdings import Holding
    from gateway.limits.plans import Plan
    from gateway.state.answers.store import Used
    from gateway.state.limits.store import LimitStore
    from policies.limits import Account, Ask
    from policies.vocabulary import LimitScope


class Admitted:
    """`latest` is the reservation that further attempts settle. `spanning` are those of the attempt about to be made
    alone; once it is, they are found in `of_attempt`, by its number.

    `told` is what the first answer of the store said; `refused_by` the id of the limit that said no, and
    `refused_scope` whose it was; `is_lost` that a lease ran out under the call, whose `task` was cancelled for it;
    `waited_s` how long its turn took to come.
    """

    __slots__ = (
        "_store",
        "demand",
        "further",
        "holdings",
        "is_lost",
        "latest",
        "of_attempt",
        "refused_by",
        "refused_scope",
        "spanning",
        "task",
        "told",
        "waited_s",
    )

    def __init__(self, store: LimitStore) -> None:
        self._store = store
        self.demand: Demand | None = None
        self.further: Plan | None = None
        self.holdings: list[Holding] = []
        self.latest: Holding | None = None
        self.spanning: list[Holding] = []
        self.of_attempt: dict[int, list[Holding]] = {}
        self.told: tuple[Plan, Sequence[Ask], Sequence[Account]] | None = None
        self.refused_by: str | None = None
        self.refused_scope: LimitScope | None = None
        self.is_lost = False
        self.waited_s = 0.0
        self.task = asyncio.current_task()

    def headers(self, now: float) -> list[tuple[str, str]]:
        """As things stood when the call was admitted or refused; nothing of deployments, which others use too."""
        if self.told is None:
            return []
        plan, asks, accounts = self.told
        return plan.words.pairs(asks, accounts, now)

    def header_lines(self, now: float) -> str:
        """`headers` as they stand in a head."""
        if self.told is None:
            return ""
        plan, asks, accounts = self.told
        return plan.words.lines(asks, accounts, now)

    def settle_counted(self) -> None:
        """What could not be settled at the end of the call, now that its tokens are counted."""
        for holding in self.holdings:
            holding.settle(self._store)

    def charge_hit(self, used: Used | None) -> None:
        """The answer came from a cache, and the route charges hits: the call settles as if the model had answered. What
        the answer took may not be known.
        """
        for holding in self.holdings:
            holding.is_hit, holding.hit = True, used

    def hit_charges(self) -> str | None:
        """As `charges`, of a call without an attempt."""
        found = [charge for one in self.holdings for charge in one.hit_charges()]
        return msgspec.json.encode(found).decode() if found else None

    def charges(self, attempt: Attempt) -> str | None:
        """The calendar accounts that an attempt was charged to, as the ledger has them."""
        found = [charge for one in self.holdings if attempt in one.attempts for charge in one.charges(attempt)]
        return msgspec.json.encode(found).decode() if found else None
