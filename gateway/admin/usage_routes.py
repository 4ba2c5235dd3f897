"""The route of usage: what was spent, from the ledger's sums."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.config.owners import moment
from gateway.errors import RequestError
from gateway.state.database import Database
from gateway.state.ledger.reports import ALL_TIME_MS, Span, Spend, spend_by

USAGE: Final = "/admin/v1/usage"

Day = Annotated[
    str,
    Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}", max_length=40, description="An ISO date, or a time; UTC by default."),
]


class UsageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Literal["key", "team", "user", "org", "route", "deployment", "provider", "model", "day", "tag"] = "key"
    since: Day | UnsetType = UNSET
    until: Day | UnsetType = UNSET


class Usage(Struct, frozen=True, kw_only=True):
    """The spend of each group, dearest first (days in order), and of all. Several tags: in the line of each."""

    by: str
    groups: list[Spend]
    total: Spend


class UsageRoutes:
    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger

    def routes(self) -> tuple[Route, ...]:
        told = {200: Told("What was spent.", Usage)}
        return (
            Route("GET", USAGE, Permission.USAGE_READ, self._report, "Show what was spent", UsageQuery, answers=told),
        )

    async def _report(self, asked: Asked) -> Answer:
        query: UsageQuery = asked.query
        since, until = _at("since", query.since, ALL_TIME_MS[0]), _at("until", query.until, ALL_TIME_MS[1])
        async with self._ledger.read() as connection:
            groups, total = await spend_by(connection, query.by, Span(since, until))
        return as_json(msgspec.to_builtins(Usage(by=query.by, groups=groups, total=total)))


def _at(name: str, text: str | UnsetType, otherwise: int) -> int:
    if text is UNSET:
        return otherwise
    try:
        return max(0, int(moment(text).timestamp() * 1000))
    except (ValueError, OverflowError) as problem:
        raise RequestError(f"{name} must be a date or time such as 2026-11-01.", param=name) from problem
