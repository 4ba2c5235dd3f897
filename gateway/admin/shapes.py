"""What the admin API takes and answers, as msgspec structs: they read requests, and its description is made of them.

Patterns are the policy file's (`gateway.config.fields`). Times are Unix milliseconds, money is nano-USD.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.state.keys.records import ContentWord, Key, Member, Org, PriorityWord

LIMIT_ENTRY = "LimitEntry"
"""The component that says how limits are written; the policy file's own schema."""

Name = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}$", max_length=100, description="Letters, digits and . _ : @ / -"),
]
OrgName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$", max_length=100, description="Letters, digits and . _ @ -")
]
Region = Annotated[Name, Meta(description="Binds whoever answers: eu is met by eu, and by eu-west-1 and the like.")]
Tag = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._:@/=-]{0,99}$", max_length=100, description="For chargeback.")
]
Env = Annotated[str, Meta(pattern="^[a-z0-9]{1,16}$", max_length=16, description="A word inside the key.")]
ModelPattern = Annotated[
    str, Meta(pattern="^[!-~]{1,200}$", max_length=200, description="A model name or pattern of a route.")
]
Network = Annotated[str, Meta(min_length=2, max_length=60, description="CIDR, such as 10.0.0.0/8.")]
Moment = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Unix milliseconds.")]
UsesCache = Annotated[bool, Meta(description="False: its calls are never answered from a cache, nor do they fill it.")]
ContentLevel = Annotated[
    ContentWord, Meta(description="The most that traces may show of what is said; no more than its owners let.")
]
CostInBody = Annotated[bool, Meta(description="True: its answers say in their usage what they cost, usage.cost.")]
TrustsTrace = Annotated[
    bool, Meta(description="True: its calls go on the trace that their traceparent names, and are kept with it.")
]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Weight = Annotated[int, Meta(ge=1, le=1000, description="Its share of a queue against the others'.")]
Zone = Annotated[str, Meta(min_length=1, max_length=100, description="An IANA time zone, such as Europe/Berlin.")]
LimitEntry = Annotated[
    dict[str, Any], Meta(extra_json_schema={"$ref": f"#/components/schemas/{LIMIT_ENTRY}"}, min_length=1)
]
Routes = Annotated[tuple[ModelPattern, ...], Meta(min_length=1, max_length=100)]
Networks = Annotated[tuple[Network, ...], Meta(min_length=1, max_length=100)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=20)]
DataClasses = Annotated[tuple[Name, ...], Meta(max_length=20, description="Whoever answers must be cleared for all.")]
Limits = Annotated[tuple[LimitEntry, ...], Meta(max_length=100, description="As a key's limits in the policy file.")]


class KeyToCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. Null and absent mean: no restriction, no owner."""

    name: Name
    org: OrgName = "default"
    env: Env = "live"
    team: Name | None = None
    user: Name | None = None
    routes: Routes | None = None
    networks: Networks | None = None
    tags: Tags = ()
    limits: Limits = ()
    output_tokens_default: Tokens | None = None
    priority: PriorityWord = "normal"
    uses_cache: UsesCache = True
    content: ContentLevel | None = None
    cost_in_body: CostInBody = False
    trust_trace_context: TrustsTrace = False
    require_region: Region | None = None
    require_data_classes: DataClasses = ()
    not_before_ms: Moment | None = None
    expires_at_ms: Moment | None = None


class KeyToChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is absent stays. A key never changes its org or environment."""

    name: Name | UnsetType = UNSET
    team: Name | UnsetType | None = UNSET
    user: Name | UnsetType | None = UNSET
    routes: Routes | UnsetType | None = UNSET
    networks: Networks | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    output_tokens_default: Tokens | UnsetType | None = UNSET
    priority: PriorityWord | UnsetType = UNSET
    uses_cache: UsesCache | UnsetType = UNSET
    content: ContentLevel | UnsetType | None = UNSET
    cost_in_body: CostInBody | UnsetType = UNSET
    trust_trace_context: TrustsTrace | UnsetType = UNSET
    require_region: Region | UnsetType | None = UNSET
    require_data_classes: DataClasses | UnsetType = UNSET
    not_before_ms: Moment | UnsetType | None = UNSET
    expires_at_ms: Moment | UnsetType | None = UNSET


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the secret before goes on working; 0 ends it at once."""

    overlap_s: Annotated[float, Meta(ge=0, le=2_592_000)]


class Leaked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole key as it was found."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]


class IssuedKey(Struct, frozen=True, kw_only=True):
    """A key and its secret, which is shown this once."""

    key: Key
    secret: str


class KeyList(Struct, frozen=True, kw_only=True):
    """In the order of creation. `cursor` asks for the next part; null at the end."""

    keys: list[Key]
    cursor: str | None


class KeyQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: OrgName | UnsetType = UNSET
    team: Name | UnsetType = UNSET
    user: Name | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET
    revoked: bool | UnsetType = UNSET
    cursor: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$", description="Of the list before.")] | UnsetType = (
        UNSET
    )
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class OrgToCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant."""

    name: OrgName
    timezone: Zone = "UTC"
    weight: Weight = 1


class OrgToChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is absent stays."""

    timezone: Zone | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET


class MemberToCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team or a user."""

    name: Name
    org: OrgName = "default"


class OrgList(Struct, frozen=True, kw_only=True):
    orgs: list[Org]


class TeamList(Struct, frozen=True, kw_only=True):
    teams: list[Member]


class UserList(Struct, frozen=True, kw_only=True):
    users: list[Member]


class MemberQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: OrgName | UnsetType = UNSET


Scope = Literal["key", "user", "team", "org", "route", "deployment", "provider"]


class LimitQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: OrgName | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    holder: Name | UnsetType = UNSET


class LimitLevel(Struct, frozen=True, kw_only=True):
    """One holder under one limit. `amount`, `used`, `held` and `remaining` count what `resource` says: nano-USD for
    cost. `window` is seconds for a rate, a calendar's word, or null for what is held at once.
    """

    org: str | None
    scope: Scope
    holder: str
    limit: str
    resource: str
    window: float | str | None
    amount: int
    used: int
    held: int
    remaining: int
    reset_s: float


class LimitList(Struct, frozen=True, kw_only=True):
    limits: list[LimitLevel]


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong: `param` is the path of the field that is to blame."""

    message: str
    type: str
    param: str | None
    code: str


class Problems(Struct, frozen=True, kw_only=True):
    error: Problem


def given(value: Struct) -> dict[str, Any]:
    """The fields that are set, as plain values."""
    return dict(msgspec.to_builtins(value))


def set_or_none(value: Any) -> Any:  # noqa: ANN401 - any field
    return None if value is UNSET else value
