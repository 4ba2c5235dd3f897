"""One thing that a call asks its limits for: a reservation that may be tried again until it is granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.limits.holdings import Holding
from gateway.limits.refusals import too_large
from policies.estimate import Amounts
from policies.limits import Denied, Granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.errors import RequestError
    from gateway.limits.demands import Demand
    from gateway.limits.plans import EdgesOf, Plan
    from gateway.limits.reservations import Reservations
    from policies.limits import Account, Ask
    from policies.vocabulary import Deployment

ONE_CALL = Amounts(1, 0, 0, 0, 1, 0)


class Place(NamedTuple):
    """Whose accounts, under which id, for the dearest of whom."""

    tenant: str
    reservation: str
    candidates: Sequence[Deployment]


class Claim:
    """`reservation` is the id that the next try goes by."""

    __slots__ = (
        "_candidates",
        "_demand",
        "_edges_of",
        "_id",
        "_reservations",
        "_tries",
        "asks",
        "plan",
        "reservation",
        "tenant",
    )

    def __init__(
        self, reservations: Reservations, place: Place, plan: Plan, demand: Demand | None, edges_of: EdgesOf
    ) -> None:
        self.tenant, self._id, self._candidates = place
        self.reservation = self._id
        self.plan = plan
        self.asks: Sequence[Ask] = ()
        self._demand = demand if plan.weighs else None
        self._reservations = reservations
        self._edges_of = edges_of
        self._tries = 0

    @property
    def accounts(self) -> frozenset[str]:
        """Everything that it asks for, apart from other tenants'."""
        return frozenset([f"{self.tenant}|{term.account}" for term in self.plan.terms])

    @property
    def tokens(self) -> int:
        """How much service it asks for, as far as that is known."""
        return 1 if self._demand is None else self._demand.input_tokens + self._demand.output_tokens

    async def reserve(self) -> Granted | Denied:
        """Raises `RequestError` for what can never fit, `LimitError` where nobody can be asked.

        The prompt's cheap bound comes first. Where that is too much it is counted, once, and asked for anew.
        """
        if not self._fits() and not await self._sharpened():
            raise self._never_fits()
        answer = await self._reservations.reserve(self.tenant, self.reservation, self.asks)
        if isinstance(answer, Denied):
            self._tries += 1
            self.reservation = f"{self._id}={self._tries}"  # an id stands for the amounts that were asked under it
            if self.plan.could_fit(answer) and await self._sharpened():
                answer = await self._reservations.reserve(self.tenant, self.reservation, self.asks)
        return answer

    async def look(self) -> tuple[Sequence[Ask], Sequence[Account]]:
        """The accounts as they are; nothing is taken. Raises `LimitError` where nobody can be asked."""
        asks = self.plan.looks(self._edges_of)
        reservation = f"{self._id}?"
        answer = await self._reservations.reserve(self.tenant, reservation, asks)
        if isinstance(answer, Granted):
            self._reservations.store.settle(self.tenant, reservation, answer.holds, [0] * len(answer.holds))
        return asks, answer.accounts

    def holding(self, granted: Granted) -> Holding:
        return Holding(self.tenant, self.reservation, self.plan, granted)

    def give_back(self, granted: Granted) -> None:
        """Nothing of it was used."""
        self._reservations.store.settle(self.tenant, self.reservation, granted.holds, [0] * len(granted.holds))

    def short(self, denied: Denied) -> frozenset[str]:
        return frozenset(f"{self.tenant}|{self.asks[number].account}" for number in denied.short)

    def _fits(self) -> bool:
        """Make the asks; false where one is beyond its limit."""
        asks = self.plan.asks(self._amounts(), self._edges_of)
        if asks is not None:
            self.asks = asks
        return asks is not None

    def _amounts(self) -> Amounts:
        return ONE_CALL if self._demand is None else self._demand.amounts(self.plan, self._candidates)

    async def _sharpened(self) -> bool:
        """Whether the exact count is less than the bound was, and fits."""
        demand = self._demand
        return demand is not None and not demand.is_exact and await demand.sharpen() and self._fits()

    def _never_fits(self) -> RequestError:
        demand, amounts = self._demand, self._amounts()
        term = self.plan.too_large(amounts)
        assert term is not None  # noqa: S101 - else it had fitted
        added = demand.output.added if demand is not None and demand.output is not None else None
        return too_large(term, amounts[term.field], added)
