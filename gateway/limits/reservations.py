"""Asks the store for room, and tells it from the ledger what it does not know."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from gateway.limits import refusals
from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.store import StoreUnavailable
from policies.limits import Granted, Unknown, window_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.limits.store import LimitStore
    from policies.limits import Ask, Denied

log = logging.getLogger(__name__)

LOOK_UPS_MAX: Final = 3
"""A window may turn between a look-up and the next try; more often than that, something is wrong."""


class Spending(Protocol):
    """The ledger as limits see it: what was used of an account in a calendar window, and whether it takes more."""

    @property
    def takes_billable(self) -> bool: ...

    async def spent(self, account: str, window_start_s: float) -> int: ...


class Reservations:
    """`clock` tells seconds since the epoch, about as the store's does."""

    def __init__(self, store: LimitStore, ledger: Spending, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._ledger = ledger
        self._clock = clock
        self._at_once = store.reserve_now if isinstance(store, InProcessLimitStore) else None

    def reserve_now(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Granted | None:
        """What a store in this process grants at once; None where `reserve` must be awaited for an answer."""
        answer = self._at_once(tenant, reservation, asks) if self._at_once is not None else None
        return answer if type(answer) is Granted else None

    async def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> Granted | Denied:
        """All or nothing. Raises `LimitError` 503 where store or ledger cannot be asked."""
        try:
            answer = await self.store.reserve(tenant, reservation, asks)
            for _ in range(LOOK_UPS_MAX):
                if not isinstance(answer, Unknown):
                    return answer
                await self._look_up(tenant, [asks[number] for number in answer.asks])
                answer = await self.store.reserve(tenant, reservation, asks)
        except StoreUnavailable as error:
            raise refusals.limits_unavailable() from error
        if isinstance(answer, Unknown):
            raise refusals.limits_unavailable()
        return answer

    async def _look_up(self, tenant: str, asks: Sequence[Ask]) -> None:
        for ask in asks:
            window_s = window_of(ask, self._clock())
            try:
                used = await self._ledger.spent(f"{tenant}|{ask.account}", window_s)
            except Exception as error:
                log.exception("what was spent of %s could not be looked up", ask.account)
                raise refusals.ledger_unavailable() from error
            await self.store.hydrate(tenant, ask.account, window_s, used)
