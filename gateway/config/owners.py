"""The shape of `orgs`, `teams`, `users` and `keys`: who calls, who owns whom, and what each may use."""

from datetime import UTC, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config.fields import Flag, LongCredential, Name, OrgName, Shape, Tag, Whole, one_or_more
from gateway.config.limits import OneOrMoreLimits
from gateway.config.residency import RequireSettings
from gateway.state.keys.records import PriorityWord
from policies.route_rules import Content

DEFAULT_ORG = "default"


def moment(value: object) -> datetime:
    """An ISO date or time as a time in UTC; a date is its first moment. Raises `ValueError`."""
    if isinstance(value, datetime):
        return value
    try:
        parsed = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a date or time such as 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def time_zone(name: str) -> tzinfo:
    """A zone by its IANA name. Raises `ValueError`."""
    if name == "UTC":
        return UTC  # needs no database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the database, a name too long
        raise ValueError("must be a time zone that this machine knows, such as Europe/Berlin or UTC") from None


def _zone_name(name: str) -> str:
    time_zone(name)
    return name


Weight = Annotated[Whole, Field(ge=1, le=1000, description="Its share of a route's queue, against the others'.")]
OutputTokens = Annotated[
    Whole, Field(ge=1, le=10_000_000, description="Stands in for a max_tokens that the caller left out.")
]
Require = Annotated[RequireSettings | None, Field(description="What binds whoever answers its calls.")]
Limits = Annotated[OneOrMoreLimits, Field(description="What it may use at most, one entry or a list.")]


ContentLevel = Annotated[
    Content | None, Field(description="The most that traces may show of what is said; telemetry.content has the bound.")
]


TrustsTrace = Annotated[
    Flag, Field(description="Its calls go on the trace that their traceparent names, and are kept with it.")
]


class OrgSettings(Shape):
    """A tenant. Calendar windows of its limits begin by its own clock."""

    timezone: Annotated[str, AfterValidator(_zone_name)] = Field(
        default="UTC", examples=["Europe/Berlin"], description="In which its days, weeks and months begin."
    )
    weight: Weight = 1
    limits: Limits = ()
    require: Require = None
    content: ContentLevel = None


class TeamSettings(Shape):
    """A team of an org."""

    org: OrgName = Field(default=DEFAULT_ORG, description="A name under orgs.")
    weight: Weight = 1
    limits: Limits = ()
    require: Require = None
    content: ContentLevel = None
    trust_trace_context: TrustsTrace = False


class UserSettings(Shape):
    """A person, or whatever else keys name as their user."""

    org: OrgName = Field(default=DEFAULT_ORG, description="A name under orgs.")
    limits: Limits = ()


class KeySettings(Shape):
    """A virtual key that callers hold."""

    name: Name = Field(description="How logs and the ledger call it, and what its usage is kept under.")
    secret: LongCredential = Field(description="The key itself, best by reference: any 20 characters or more.")
    org: OrgName | None = Field(default=None, description="A name under orgs; the team's, the user's or default.")
    team: Name | None = None
    user: Name | None = None
    tags: Annotated[tuple[Tag, ...], BeforeValidator(one_or_more, json_schema_input_type=Tag | tuple[Tag, ...])] = (
        Field(default=(), max_length=20, description="Whom its cost is charged to, as the ledger tells it.")
    )
    routes: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The routes it may use; all when left out."
    )
    expires: (
        Annotated[datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "examples": ["2027-01-31"]})]
        | None
    ) = Field(default=None, description="When it stops working; a date means 00:00 UTC, no zone means UTC.")
    max_output_tokens: OutputTokens | None = None
    limits: Limits = ()
    require: Require = None
    priority: PriorityWord = Field(default="normal", description="Who is served when not all can be.")
    cache: bool = Field(
        default=True, description="False: its calls are never answered from a route's cache, nor do they fill it."
    )
    content: ContentLevel = None
    trust_trace_context: TrustsTrace = False
    cost_in_body: Flag = Field(default=False, description="Its answers say in their usage what they cost: usage.cost.")
    vouches: bool = Field(
        default=False,
        description="It is a gateway's, which may say of each call whose it is, for the line of a bundled engine.",
    )
