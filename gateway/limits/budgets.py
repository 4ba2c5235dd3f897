"""How the budgets of teams and orgs stand, looked at now and then for scrapes: the store may be on another machine."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.config.owners import DEFAULT_ORG
from gateway.limits.view import LimitsView
from gateway.signals.limit_metrics import BudgetStanding, watch_budgets
from gateway.state.limits.store import StoreUnavailable
from policies.vocabulary import LimitScope, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.config import Config
    from gateway.generation import Generation
    from gateway.limits.admission import Admission
    from gateway.limits.view import Level
    from gateway.signals.metrics import Registry
    from policies.vocabulary import Limit

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
IDLE_PER_WORK: Final = 100.0
"""Looking takes one part in so many of the time: a store in this process may hold an account for each of many keys."""
HOLDERS_MAX: Final = 2_000
OWNERS: Final = frozenset({LimitScope.TEAM, LimitScope.ORG})
CALLERS: Final = frozenset({LimitScope.KEY, LimitScope.USER})


class Budgets:
    """Process scope. `current` gives the policy in force. What cannot be looked at stands as it did."""

    def __init__(
        self,
        current: Callable[[], Generation],
        admission: Admission,
        registry: Registry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._current = current
        self._clock = clock
        self._admission = admission
        self._standings: list[BudgetStanding] = []
        self._task: asyncio.Task[None] | None = None
        watch_budgets(registry, lambda: self._standings)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="budgets for scrapes")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Find out how they stand."""
        generation = self._current()
        limits = _budgets(generation)
        if not limits:
            self._standings = []
            return
        tenants = sorted({*self._admission.budgeted, *generation.config.orgs, DEFAULT_ORG})
        view = LimitsView(self._admission.store, generation.calendars, self._clock)
        try:
            levels = await view.kept(tenants, limits)
        except StoreUnavailable:
            return
        self._standings = tightest([*_used(levels), *_unused(generation.config, limits)])

    async def _run(self) -> None:
        while True:
            began_s = time.monotonic()
            try:
                await self.look()
            except Exception:
                log.exception("how budgets stand could not be found out")
            await asyncio.sleep(max(LOOK_EVERY_S, IDLE_PER_WORK * (time.monotonic() - began_s)))


def tightest(standings: Iterable[BudgetStanding]) -> list[BudgetStanding]:
    """Of several budgets of one holder the one that is used up most; of too many holders those nearest to theirs."""
    found: dict[tuple[str, str], BudgetStanding] = {}
    for one in standings:
        other = found.get((one.scope, one.holder))
        if other is None or _share(one) > _share(other):
            found[one.scope, one.holder] = one
    return sorted(found.values(), key=_share, reverse=True)[:HOLDERS_MAX]


def _share(one: BudgetStanding) -> float:
    return (one.spent_nanousd + one.reserved_nanousd) / max(1, one.limit_nanousd)


def _budgets(generation: Generation) -> list[Limit]:
    shown = OWNERS | CALLERS if generation.config.telemetry.metrics.key_budgets else OWNERS
    return [one for one in generation.limits.limits if one.resource is Resource.COST and one.scope in shown]


def _used(levels: Iterable[Level]) -> Iterator[BudgetStanding]:
    for one in levels:
        yield BudgetStanding(one.scope, _called(one.tenant, one.scope, one.holder), one.amount, one.used, one.held)


def _unused(config: Config, limits: Iterable[Limit]) -> Iterator[BudgetStanding]:
    """Those who are declared, as if they had spent nothing: whoever has spent something comes before."""
    teams = {name: team.org for name, team in config.teams.items()}
    declared = {LimitScope.TEAM: list(teams), LimitScope.ORG: list(config.orgs)}
    for limit in limits:
        if limit.applies is None:
            for holder in [limit.holder] if limit.holder is not None else declared.get(limit.scope, []):
                tenant = teams.get(holder, DEFAULT_ORG) if limit.scope is LimitScope.TEAM else DEFAULT_ORG
                yield BudgetStanding(limit.scope.value, _called(tenant, limit.scope, holder), limit.amount, 0, 0)


def _called(tenant: str, scope: str, holder: str) -> str:
    """Two orgs may have a team of one name."""
    return holder if scope == LimitScope.ORG or tenant == DEFAULT_ORG else f"{tenant}/{holder}"
