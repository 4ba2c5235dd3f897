"""Limits as operators see them: how much of each is used, held and left, and when all of it is there again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.limits.plans import ask_of, term_of
from policies.limits import as_of, remaining, reset_s
from policies.vocabulary import LimitScope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.state.limits.store import Kept, LimitStore
    from policies.calendars import Calendars
    from policies.limits import Account
    from policies.vocabulary import Limit

SPANNING = (LimitScope.DEPLOYMENT, LimitScope.PROVIDER)


class Level(NamedTuple):
    """One holder under one limit. Amounts are in the limit's own unit (nano-USD for cost); `window` is None for what is
    held at once.
    """

    tenant: str
    scope: str
    holder: str
    limit: str
    resource: str
    window: float | str | None
    amount: int
    used: int
    held: int
    remaining: int
    reset_s: float


class LimitsView:
    """Over the store of the process and the calendars of one policy. Raises `StoreUnavailable`."""

    def __init__(self, store: LimitStore, calendars: Calendars, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._calendars = calendars
        self._clock = clock

    async def kept(self, tenants: Sequence[str], limits: Iterable[Limit]) -> list[Level]:
        """Every holder that these tenants have used anything of `limits` for; what no limit asks for is left out."""
        known = {(limit.id, limit.holder): limit for limit in limits}
        levels = []
        for one in await self._store.view(tenants):
            found = _limit_of(one, known)
            if found is not None:
                levels.append(self._level(one.tenant, *found, one.state))
        return levels

    def _level(self, tenant: str, limit: Limit, holder: str, state: Account) -> Level:
        now = self._clock()
        ask = ask_of(term_of(limit, holder), 0, lambda period: self._calendars.edges(period, tenant, now))
        account = as_of(state, ask, now) or state
        return Level(
            tenant,
            limit.scope.value,
            holder,
            limit.id,
            limit.resource.value,
            limit.window,
            limit.amount,
            round(account.used),
            account.held,
            remaining(ask, account),
            reset_s(ask, account, now),
        )


def _limit_of(one: Kept, known: dict[tuple[str, str | None], Limit]) -> tuple[Limit, str] | None:
    """An account is named after its limit and holder; ids of limits hold no colon, names of holders may.

    Owners' own limits share their ids: the same resource and window of another owner is another amount.
    """
    limit_id, _, holder = one.account.partition(":")
    limit = known.get((limit_id, holder)) or known.get((limit_id, None))
    return None if limit is None else (limit, holder)
