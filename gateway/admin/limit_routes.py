"""The route of limits: every account that anything was counted on, as it stands now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from gateway.admin.answers import Unavailable, as_json
from gateway.admin.routes import Permission, Route, Told
from gateway.admin.shapes import LimitLevel, LimitList, LimitQuery, set_or_none
from gateway.limits.view import SPANNING, LimitsView
from gateway.state.limits.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.admin.answers import Answer
    from gateway.admin.routes import Asked
    from gateway.generation import Generation
    from gateway.keys.view import StoredKeys
    from gateway.limits.view import Level
    from gateway.state.limits.store import LimitStore
    from policies.vocabulary import Limit, Principal

LIMITS: Final = "/admin/v1/limits"
DEFAULT_ORG: Final = "default"


class LimitRoutes:
    """Over the limits of the policy in force and of the keys in memory."""

    def __init__(self, current: Callable[[], Generation], stored: StoredKeys, store: LimitStore) -> None:
        self._current = current
        self._stored = stored
        self._store = store

    def routes(self) -> tuple[Route, ...]:
        told = {200: Told("The limits that something was counted under, by org, scope and holder.", LimitList)}
        return (
            Route(
                "GET",
                LIMITS,
                Permission.LIMITS_READ,
                self._list,
                "Show what is used and left",
                LimitQuery,
                answers=told,
            ),
        )

    async def _list(self, asked: Asked) -> Answer:
        query: LimitQuery = asked.query
        try:
            found = await self._levels(set_or_none(query.org))
        except StoreUnavailable as problem:
            raise Unavailable(f"The state of limits cannot be read: {problem}.", "limits_unavailable") from problem
        wanted = [level for level in found if query.scope in (level.scope, None) or set_or_none(query.scope) is None]
        if (holder := set_or_none(query.holder)) is not None:
            wanted = [level for level in wanted if level.holder == holder]
        wanted.sort(key=lambda level: (level.org or "", level.scope, level.holder, level.limit))
        return as_json(LimitList(limits=wanted))

    async def _levels(self, org: str | None) -> list[LimitLevel]:
        """Each org with its own keys' limits, since keys of two orgs may have one name."""
        generation = self._current()
        view = LimitsView(self._store, generation.calendars)
        own = self._own_limits(generation)
        everyone = generation.limits.limits
        orgs = {DEFAULT_ORG, *generation.config.orgs, *self._stored.orgs, *own} if org is None else {org}
        asked = [view.kept([name], [*everyone, *own.get(name, ())]) for name in sorted(orgs)]
        if org is None:
            asked.append(view.kept(_spanning(generation), everyone))
        return [_told(level) for levels in await asyncio.gather(*asked) for level in levels]

    def _own_limits(self, generation: Generation) -> dict[str, list[Limit]]:
        own: dict[str, list[Limit]] = defaultdict(list)
        principals: Iterable[Principal] = (*generation.keys.ring.principals(), *self._stored.principals())
        for principal in principals:
            if principal.limits:
                own[principal.org] += principal.limits
        return own


def _spanning(generation: Generation) -> list[str]:
    """Where the limits are kept that span tenants."""
    deployments = generation.deployments.values()
    return [*(f"deployment:{d.name}" for d in deployments), *sorted({f"provider:{d.provider}" for d in deployments})]


def _told(level: Level) -> LimitLevel:
    values: dict[str, Any] = level._asdict()
    org = values.pop("tenant")
    return LimitLevel(org=None if level.scope in SPANNING else org, **values)
