"""The glossary as types: what every part of Pointsman means by deployment, route, principal, usage, failure.

Standard library only, and nothing here acts. Units end a name: `_s` seconds, `_tokens`, `_nanousd`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.route_rules import (
    AT_FIRST_TOKEN,
    DEFAULT_BREAKER,
    NO_REQUIREMENTS,
    Affinity,
    BreakerSettings,
    Capability,
    CommitRules,
    HealthRules,
    HedgeRules,
    Priority,
    Requirements,
    Resume,
    SpillRules,
)

if TYPE_CHECKING:
    from policies.cache_rules import CacheRules
    from policies.hardware_cost import Hardware
    from policies.route_rules import Content, QueueRules
    from policies.tariffs import Price


class Endpoint(StrEnum):
    """What a caller asks for; the value is OpenAI's path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    RERANK = "rerank"  # not OpenAI's, but the same shape at everybody who ranks: Cohere, Jina, vLLM, llama.cpp

    __hash__ = str.__hash__  # an enum's own is a Python function, and endpoints are looked up for every call

    @property
    def paths(self) -> tuple[str, ...]:
        """Where callers find it. SDKs disagree on whether `/v1` is part of their base URL; Cohere's ask under `/v2`."""
        paths = (f"/{self.value}", f"/v1/{self.value}")
        return (*paths, "/v2/rerank") if self is Endpoint.RERANK else paths


ONLY_READ: Final = frozenset((Endpoint.EMBEDDINGS, Endpoint.RERANK))
"""Endpoints whose answers hold nothing that was generated, so that only input is paid for."""


class Strategy(StrEnum):
    """How a route orders its targets."""

    ORDERED = "ordered"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    LEAST_BUSY = "least_busy"
    STICKY = "sticky"
    SPILL = "spill"


class OnDisconnect(StrEnum):
    """What becomes of an attempt whose caller has left."""

    CANCEL = "cancel"
    DRAIN = "drain"  # read on for a bounded time, so that the upstream's own count of the tokens arrives


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The five time limits of a route. `first_token_s` and `idle_s` bind streams only."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    write_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A provider's model behind one endpoint and credential: the thing that is called.

    Where a provider has several credentials, a deployment of the policy file becomes one of these for each: the same
    `name`, told apart by `credential` and `id`. Limits, ledger and metrics go by `name`; breakers, pools and the
    history of a call by `id`. `has` and `lacks` are what is known of the model, and what is in neither is unknown.
    `data_classes` are those that it may be shown beside data of no class. `takes_trace`: it is told which trace a call
    belongs to. `hardware` is what it runs on where that is our own. `billed_price` stands in for a `price` that nobody
    knows where the provider says what it bills: a margin is put on that, too.
    """

    name: str
    provider: str
    kind: str
    model: str
    endpoints: frozenset[Endpoint] = frozenset(Endpoint)
    region: str | None = None
    context_tokens: int | None = None
    price: Price | None = None
    output_tokens_default: int | None = None
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    credential: str = ""
    credential_weight: int = 1
    has: frozenset[Capability] = frozenset()
    lacks: frozenset[Capability] = frozenset()
    data_classes: frozenset[str] = frozenset()
    breaker: BreakerSettings = DEFAULT_BREAKER
    health: HealthRules | None = None
    takes_trace: bool = False
    hardware: Hardware | None = None
    billed_price: Price | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.name}@{self.credential}" if self.credential else self.name)


@dataclass(frozen=True, slots=True)
class Target:
    """One candidate of a route: a deployment, or another route whose candidates stand in its place."""

    to: Destination
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """A public model name and the candidates that may answer for it. `name` is the route's own, else its first model
    pattern, numbered where an earlier route has it. One without `models` is reached through other routes only.

    `when` None: every call of the name. `context_fallbacks` take what is too long for the others, `content_fallbacks`
    what they refuse for its content; without the former `fallbacks` do, without the latter nobody. An upstream's
    Retry-After is waited for up to `retry_wait_max_s`. `learns_first_token`: nobody stated `timeouts.first_token_s`, so
    a call that could go elsewhere waits as long as is usual for the deployment.
    """

    name: str
    models: tuple[str, ...]
    strategy: Strategy
    targets: tuple[Target, ...]
    fallbacks: tuple[Destination, ...] = ()
    retry_attempts: int = 2
    timeouts: Timeouts = field(default_factory=Timeouts)
    output_tokens_default: int | None = None
    queue: QueueRules | None = None
    when: Predicate | None = None
    context_fallbacks: tuple[Destination, ...] = ()
    content_fallbacks: tuple[Destination, ...] = ()
    requires: Requirements = NO_REQUIREMENTS
    retry_wait_max_s: float = 5.0
    learns_first_token: bool = False
    affinity: Affinity | None = None
    spill: SpillRules | None = None
    hedge: HedgeRules | None = None
    commit: CommitRules = AT_FIRST_TOKEN
    resume: tuple[Resume, ...] = ()
    cache: CacheRules | None = None
    cost_in_body: bool = False


Destination = Deployment | Route


class LimitScope(StrEnum):
    """Whose use a limit counts. The last two span tenants and are taken per attempt, the others per call."""

    KEY = "key"
    USER = "user"
    TEAM = "team"
    ORG = "org"
    ROUTE = "route"
    DEPLOYMENT = "deployment"
    PROVIDER = "provider"


class Resource(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CONCURRENT = "concurrent"
    COST = "cost"


class Period(StrEnum):
    """A calendar window, in the time zone of the org."""

    DAY = "day"
    WEEK = "week"  # from Monday, as ISO 8601 has it
    MONTH = "month"


class Subject(NamedTuple):
    """What a `when` is asked about: one request, and who sent it. `members` is the body's JSON by top-level name.

    `headers` are looked up by lower-case name. `tokens` bounds those of the prompt from above, `images` counts its
    pictures; both are asked for only by who needs them. `now_s` is seconds since the epoch. `known` keeps what one
    condition has read for those after it; None: nothing is kept.
    """

    principal: Principal
    endpoint: Endpoint
    model: str
    stream: bool
    members: Mapping[str, bytes | memoryview]
    headers: Mapping[str, str] = MappingProxyType({})
    tokens: Callable[[], int] = int  # which is 0
    images: Callable[[], int] = int
    now_s: float = 0.0
    known: dict[str, object] | None = None


Predicate = Callable[[Subject], bool]


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one resource that each holder of a scope may use in a window.

    `id` says the limit apart from its amount, so that usage outlives a change of the amount. `amount` counts requests,
    tokens, calls at once, or nano-USD. `window`: seconds in which the amount comes back steadily (a rate), a calendar
    period, or None for what is held at once. `applies` None: to every call. `holder`: the only one it binds, by name;
    None binds each.
    """

    id: str
    scope: LimitScope
    resource: Resource
    amount: int
    window: float | Period | None
    applies: Predicate | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as a virtual key yields it. `routes` None means every route.

    `org` is the tenant: limits that bind together are kept together under it. `limits` are the key's own, beside those
    of the policy. `output_tokens_default` stands in for a `max_tokens` that the caller left out. `requires` binds every
    deployment that may answer, `priority` says who goes first when not all can be served. `vouches`: it is a gateway,
    which may say of each call whose it is. `uses_cache` False: it is never answered from one, nor fills it.
    `trusts_trace`: its calls go on the trace that they say they are part of. `content`: how much of what is said may be
    exported, None as much as everybody's.
    """

    key_id: str
    key_name: str
    team: str | None = None
    user: str | None = None
    routes: frozenset[str] | None = None
    org: str = "default"
    tags: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    output_tokens_default: int | None = None
    requires: Requirements = NO_REQUIREMENTS
    priority: Priority = Priority.NORMAL
    vouches: bool = False
    uses_cache: bool = True
    trusts_trace: bool = False
    content: Content | None = None
    cost_in_body: bool = False


class FailureKind(StrEnum):
    """What went wrong with an attempt; the value is also a metric label."""

    CONNECT = "connect"  # name, socket or TLS: nothing was sent
    POOL = "pool"  # no connection came free in time: nothing was sent
    RESET = "reset"  # the connection died after the request was sent and before an answer was complete
    STATUS = "status"  # the upstream answered with an error status
    BAD_RESPONSE = "bad_response"  # an answer that is not what was asked for: HTML, broken JSON, no framing
    TRUNCATED = "truncated"  # a stream that ended without its end marker
    IN_BAND = "in_band"  # an error event inside a stream, or an error object under status 200
    FIRST_TOKEN = "first_token_timeout"  # noqa: S105 - a label, not a secret
    IDLE = "idle_timeout"
    TOTAL = "total_timeout"
    WRITE = "write_timeout"
    CRASHED = "crashed"  # the bundled engine's worker died under this request, which may be what killed it
    LOST = "lost"  # it died under others while this request waited: nothing was generated
    BUSY = "busy"  # an engine of ours has no place for it in time, or no model loaded: nothing was generated
    LIMITED = "limited"  # one of our limits on this deployment or its provider is reached: nothing was sent


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, in plain values.

    `status`, `code` and `param` (the member of the request that is to blame) are what the upstream said; `message` is
    safe to show (no host, no secret, at most 2 KiB); `retry_after_s` is None where the upstream named no wait;
    `maybe_billed` says that tokens may have been generated.
    """

    kind: FailureKind
    message: str = ""
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    maybe_billed: bool = False
    param: str | None = None
