"""The routes of decisions: where the latest calls of this process went, and why."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.admin.shapes import ModelPattern, Name
from gateway.errors import RequestError
from gateway.explaining.decisions import Decision
from gateway.explaining.recent import RecentDecisions

DECISIONS: Final = "/admin/v1/decisions"


class DecisionQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    route: ModelPattern | UnsetType = UNSET
    key: Name | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    errors: Annotated[bool, Meta(description="Those only that went wrong here or upstream.")] = False


class DecisionList(Struct, frozen=True, kw_only=True):
    """The newest first."""

    decisions: list[Decision]


class DecisionRoutes:
    def __init__(self, recent: RecentDecisions) -> None:
        self._recent = recent

    def routes(self) -> tuple[Route, ...]:
        several = {200: Told("The latest calls and where they went.", DecisionList)}
        one = {200: Told("Where one call went, and why.", Decision)}
        read = Permission.DECISIONS_READ
        return (
            Route("GET", DECISIONS, read, self._list, "List the latest decisions", DecisionQuery, answers=several),
            Route("GET", f"{DECISIONS}/{{request_id}}", read, self._show, "Explain one call", answers=one),
        )

    async def _list(self, asked: Asked) -> Answer:
        query: DecisionQuery = asked.query
        route = None if query.route is UNSET else query.route
        key = None if query.key is UNSET else query.key
        found = self._recent.latest(query.limit, route, key, failed=query.errors)
        return as_json(msgspec.to_builtins(DecisionList(decisions=found)))

    async def _show(self, asked: Asked) -> Answer:
        found = self._recent.of(asked.names["request_id"])
        if found is None:
            raise RequestError(
                "Nothing is known of this call (any more): the latest are kept, by the process that served them.",
                status=404,
                code="decision_not_found",
            )
        return as_json(msgspec.to_builtins(found))
