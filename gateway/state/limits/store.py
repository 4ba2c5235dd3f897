"""Where limits are kept: what a store must do, and the one that keeps them in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from policies.limits import Account, Answer, Ask, Hold, Kind

LEASE_S = 30.0
"""How long a reservation outlives its last renewal; stores renew what they granted every third of it."""


class StoreUnavailable(Exception):  # noqa: N818 - it says what is wrong
    """The store cannot be asked: nothing is known to have been reserved."""


class Kept(NamedTuple):
    """One account as operators see it."""

    tenant: str
    account: str
    state: Account
    kind: Kind


class LimitStore(Protocol):
    """Accounts and reservations, each tenant's apart from the others'.

    A reservation's id is the caller's choice and makes `reserve` idempotent: asked again, it answers as it did.
    `settle` and `release` return at once and never raise; a store that must travel sends them in the order of the
    calls, before any later `reserve` of the same tenant. Everything granted is renewed by the store until it is
    settled.
    """

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Answer:
        """Hold all that is asked for or nothing. Raises `StoreUnavailable`."""

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> None:
        """What each hold came to, once: later ones change nothing."""

    def release(self, tenant: str, reservation: str) -> None:
        """The call is over though its tokens are not counted yet: give back what is held at once only."""

    async def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> None:
        """Begin a calendar account at what the ledger says, unless somebody has begun it meanwhile."""

    async def correct(self, kept: Kept, spent: int) -> bool:
        """Set what is used of a calendar account to what the ledger says, if it is still exactly as it was seen.

        Whether it was. Raises `StoreUnavailable`.
        """

    async def view(self, tenants: Sequence[str]) -> list[Kept]:
        """Every account of these tenants, after reaping. Raises `StoreUnavailable`."""

    def on_lost(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with a reservation's id when its lease ran out under it: its call must stop."""

    def on_freed(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with a tenant when something of it was given back, for those who wait."""

    def mark_waiting(self, tenant: str, for_s: float) -> None:
        """Somebody here waits so long for this tenant: whoever else gives something of it back says so here, too."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...
