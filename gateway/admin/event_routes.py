"""The route of events: calls as they end, for who watches."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.answers import Answer, Unavailable, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.records.live_events import LiveEvents, Page
from gateway.records.request_event import RequestEvent
from gateway.signals.telemetry import FAULTS, NANO, Outcome

EVENTS: Final = "/admin/v1/events"
WATCHERS_MAX: Final = 16

Word = Annotated[str, Meta(min_length=1, max_length=200)]
Cursor = Annotated[
    str,
    Meta(pattern="^[0-9a-f:,-]*$", max_length=4000, description="Of the answer before; without it, from now on."),
]


class EventQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events, where several are named those that meet all. `min_cost` is in USD; `errors` leaves what went well
    and what callers did wrong.
    """

    after: Cursor | UnsetType = UNSET
    wait_s: Annotated[float, Meta(ge=0, le=25, description="How long to wait for one.")] = 0.0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    route: Word | UnsetType = UNSET
    team: Word | UnsetType = UNSET
    key: Word | UnsetType = UNSET
    model: Word | UnsetType = UNSET
    deployment: Word | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    min_cost: Annotated[float, Meta(ge=0, le=1e6)] | UnsetType = UNSET
    min_ms: Annotated[float, Meta(ge=0, le=1e9)] | UnsetType = UNSET
    errors: bool = False


class EventList(Struct, frozen=True, kw_only=True):
    """The oldest first. `missed`: how many went by between this and the answer before, as the asker came too late."""

    events: list[RequestEvent]
    cursor: str
    missed: int


class _Cost(Struct):
    total_nano_usd: int | None = None


class _Timing(Struct):
    total: float = 0.0


class _Line(Struct):
    """What of an event can be asked for."""

    outcome: str
    timing_ms: _Timing
    model_requested: str = ""
    route: str | None = None
    team: str | None = None
    key_alias: str | None = None
    deployment: str | None = None
    cost: _Cost | None = None


_READ: Final = msgspec.json.Decoder(_Line)


class EventRoutes:
    def __init__(self, events: LiveEvents) -> None:
        self._events = events
        self._watching = 0

    def routes(self) -> tuple[Route, ...]:
        told = {200: Told("The calls that ended since.", EventList)}
        read = Permission.DECISIONS_READ
        return (Route("GET", EVENTS, read, self._list, "Follow calls as they end", EventQuery, answers=told),)

    async def _list(self, asked: Asked) -> Answer:
        query: EventQuery = asked.query
        if self._watching >= WATCHERS_MAX:
            raise Unavailable(f"{WATCHERS_MAX} are watching already.", "too_many_watchers")
        after = None if query.after is UNSET else query.after
        self._watching += 1
        try:
            page = await self._events.after(after, Wanted(query), query.limit, query.wait_s)
        finally:
            self._watching -= 1
        return as_json(page_of(page))


def page_of(page: Page) -> dict[str, object]:
    """As `EventList` is written; the events are JSON already."""
    return {"events": page.events, "cursor": page.cursor, "missed": page.missed}


class Wanted:
    """Whether a line is one that a query asks for."""

    def __init__(self, query: EventQuery) -> None:
        names = ("route", "team", "deployment", "outcome")
        self._equal = [(name, getattr(query, name)) for name in names if getattr(query, name) is not UNSET]
        self._equal += [] if query.key is UNSET else [("key_alias", query.key)]
        self._equal += [] if query.model is UNSET else [("model_requested", query.model)]
        self._nanousd = None if query.min_cost is UNSET else query.min_cost * NANO
        self._ms = 0.0 if query.min_ms is UNSET else query.min_ms
        self._errors = query.errors
        self._takes_all = not (self._equal or self._nanousd or self._ms or self._errors)

    def __call__(self, line: bytes) -> bool:
        if self._takes_all:
            return True
        told = _READ.decode(line)
        if any(getattr(told, name) != value for name, value in self._equal):
            return False
        if self._errors and told.outcome not in FAULTS:
            return False
        if self._nanousd and (told.cost is None or (told.cost.total_nano_usd or 0) < self._nanousd):
            return False
        return told.timing_ms.total >= self._ms
