"""What the admin API takes and answers of caches: no text of a prompt or an answer, unless it is asked for."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.shapes import Moment, OrgName, Tag

Owner = Annotated[
    str,
    Meta(
        pattern="^(all|(team|key|user|org):[!-~]{1,300})$",
        max_length=310,
        description="As entries have it: team:ORG/TEAM, key:ORG/ID, user:ORG/USER, org:ORG or all.",
    ),
]
EntryId = Annotated[str, Meta(pattern="^ce_[0-9A-Za-z_-]{1,64}$", max_length=67)]
RouteName = Annotated[str, Meta(pattern="^[!-~]{1,200}$", max_length=200, description="A route's name.")]


class CacheStock(Struct, frozen=True, kw_only=True):
    """What the store holds. Null where a store cannot tell."""

    kind: str
    entries: int | None
    size_bytes: int | None
    vectors: int | None
    evicted: int
    expired: int
    unsent: int


class CacheOfRoute(Struct, frozen=True, kw_only=True):
    """What became of a route's calls since this process began, and how its level 2 stands; null where it has none.

    `risk_bar` is the highest risk that is served now, as the curve has it before labels correct it. `expected` and
    `observed_max` are wrong semantic hits per request: as reckoned when they were served, and by the labels so far,
    on the cautious side, null where there are none.
    """

    route: str
    hits: dict[str, int]
    joined: int
    misses: int
    bypassed: int
    saved_nanousd: int
    saved_tokens: int
    false_hits_max: float | None
    risk_bar: float | None
    expected: float | None
    observed_max: float | None
    labels_good: int
    labels_bad: int
    over_budget: bool


class CacheStats(Struct, frozen=True, kw_only=True):
    """`store` is null where no route has a cache."""

    store: CacheStock | None
    routes: list[CacheOfRoute]


class CacheToDrop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries that are all of what is said; `all` alone means every one."""

    id: EntryId | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET
    route: RouteName | UnsetType = UNSET
    owner: Owner | UnsetType = UNSET
    org: OrgName | UnsetType = UNSET
    stored_before_ms: Moment | UnsetType = UNSET
    all: bool = False


class CacheDropped(Struct, frozen=True, kw_only=True):
    dropped: int


class CacheQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    route: RouteName | UnsetType = UNSET
    owner: Owner | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET
    id: EntryId | UnsetType = UNSET
    text: Annotated[bool, Meta(description="Question and answer too; takes the permission cache:read_text.")] = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class CacheEntry(Struct, frozen=True, kw_only=True):
    """One answer that is kept, and what became of it. `question` and `answer` are null unless they are asked for."""

    id: str
    owner: str
    route: str
    endpoint: str
    model: str
    deployment: str
    stored_at_ms: int
    expires_at_ms: int
    tags: list[str]
    embedder: str
    request_id: str
    size_bytes: int
    hits: int
    good: int
    bad: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int | None
    question: str | None = None
    answer: str | None = None


class CacheEntryList(Struct, frozen=True, kw_only=True):
    """The newest first."""

    entries: list[CacheEntry]


class CachePart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of so many parts of what is kept: each entry is in exactly one."""

    part: Annotated[int, Meta(ge=0, le=4095)] = 0
    parts: Annotated[int, Meta(ge=1, le=4096)] = 1


class CacheExport(Struct, frozen=True, kw_only=True):
    """`lines` are entries as JSON; a file has the heading before them."""

    heading: str
    lines: list[str]


class CacheToImport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines of an exported file, and its heading."""

    heading: Annotated[str, Meta(max_length=1000)]
    lines: Annotated[list[str], Meta(max_length=10_000)]


class RefusedLine(Struct, frozen=True, kw_only=True):
    """`line` counts from 1."""

    line: int
    why: str


class CacheImported(Struct, frozen=True, kw_only=True):
    """Entries that have expired meanwhile are refused."""

    kept: int
    refused: list[RefusedLine]
