"""The route of usage: what was spent, from the ledger's sums."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.config.owners import moment
from gateway.errors import RequestError
from gateway.state.database import Database
from gateway.state.ledger.hardware_report import Idle, idle_by
from gateway.state.ledger.reports import ALL_TIME_MS, GROUPS, MONTH, Span, Spend, checked, month_span, spend_by

USAGE: Final = "/admin/v1/usage"

_GROUP: Final = f"({'|'.join(GROUPS)})"
Groups = Annotated[
    str,
    Meta(pattern=f"^{_GROUP}(,{_GROUP}){{0,2}}$", description="One to three groupings, such as team,model; each once."),
]
Day = Annotated[
    str,
    Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}", max_length=40, description="An ISO date, or a time; UTC by default."),
]
Month = Annotated[
    str, Meta(pattern=f"^{MONTH}$", description="A whole month in UTC, such as 2026-10; instead of since and until.")
]


class UsageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Groups = "key"
    since: Day | UnsetType = UNSET
    until: Day | UnsetType = UNSET
    month: Month | UnsetType = UNSET


class Usage(Struct, frozen=True, kw_only=True):
    """The spend of each group, dearest first (days in order), and of all. Several tags: in the line of each.

    `idle` is what hardware of one's own cost that nobody used, in no total; `hardware` all of it beside what was
    charged, null where there is none.
    """

    by: list[str]
    groups: list[Spend]
    total: Spend
    idle: list[Idle]
    hardware: Idle | None


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
        by, span = _groupings(query.by), span_of(query.since, query.until, query.month)
        async with self._ledger.read() as connection:
            groups, total = await spend_by(connection, by, span)
            idle, hardware = await idle_by(connection, by, span)
        told = Usage(by=list(by), groups=groups, total=total, idle=idle, hardware=hardware)
        return as_json(msgspec.to_builtins(told))


def _groupings(text: str) -> tuple[str, ...]:
    try:
        return checked(text.split(","))
    except ValueError as problem:
        raise RequestError(f"{problem}.", param="by") from problem


def span_of(since: str | UnsetType, until: str | UnsetType, month: str | UnsetType) -> Span:
    """The span that is asked for. Raises `RequestError`."""
    if month is not UNSET:
        if since is not UNSET or until is not UNSET:
            raise RequestError("month is a span of its own: leave since and until out.", param="month")
        return month_span(month)
    return Span(_at("since", since, ALL_TIME_MS[0]), _at("until", until, ALL_TIME_MS[1]))


def _at(name: str, text: str | UnsetType, otherwise: int) -> int:
    if text is UNSET:
        return otherwise
    try:
        return max(0, int(moment(text).timestamp() * 1000))
    except (ValueError, OverflowError) as problem:
        raise RequestError(f"{name} must be a date or time such as 2026-11-01.", param=name) from problem
