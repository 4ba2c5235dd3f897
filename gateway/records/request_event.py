"""What the one line per request may say: its fields, in the order and under the names that people's queries go by.

docs/logs.md explains each; a test holds the two together. What has no value is left out.
"""

from __future__ import annotations

import msgspec

from gateway.explaining.cache_told import CacheTold  # noqa: TC001 - readers of the line decode it into these
from policies.attempts import AttemptKind


class AttemptEvent(msgspec.Struct, omit_defaults=True, gc=False):
    deployment: str
    outcome: str
    status: int | None
    ms: float
    kind: str = AttemptKind.FIRST.value


class TokensEvent(msgspec.Struct, gc=False):
    """Totals are inclusive: input holds what was cached and cache-written, output holds reasoning."""

    input: int = 0
    cached_input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False


class ComponentsEvent(msgspec.Struct, gc=False):
    """Nano-USD; their sum is the total."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    request: int = 0
    tool: int = 0


class CostEvent(msgspec.Struct, gc=False):
    """`total_nano_usd` is None when nothing that was used has a price; `unpriced` says why something has none.

    `saved_nano_usd` is what a cached answer cost when it was made, None where none was used or nobody knows.
    """

    total_nano_usd: int | None
    components: ComponentsEvent | None = None
    source: str | None = None
    price_id: str | None = None
    price_version: str | None = None
    unpriced: str | None = None
    saved_nano_usd: int | None = None


class TimingEvent(msgspec.Struct, gc=False):
    """Milliseconds. `queue` is the wait for the call's turn under its limits, `auth` all that went before its key was
    known, `ttft` what the caller waited for the first token.
    """

    total: float
    overhead: float
    queue: float
    auth: float | None
    ttft: float | None
    upstream: float


class EngineEvent(msgspec.Struct, gc=False):
    """Milliseconds in an engine of ours; `compute` is this call's share of what the engine spent."""

    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    compute: float = 0.0


class LimitsEvent(msgspec.Struct, gc=False):
    """`decision` is allowed, queued or denied; of a denial, `scope` says whose limit it was."""

    decision: str
    scope: str | None


class MadeForEvent(msgspec.Struct, gc=False):
    """Of a call that a cache made by itself: what for, and the request and its route for whose sake."""

    purpose: str
    request_id: str
    route: str


class BytesEvent(msgspec.Struct, gc=False):
    in_: int = msgspec.field(name="in")
    out: int = 0


class RequestEvent(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    ts: str
    level: str
    event: str
    schema_version: int
    service: str
    instance: str
    worker: int
    request_id: str
    trace_id: str
    span_id: str
    org: str | None = None
    team: str | None = None
    key_id: str | None = None
    key_alias: str | None = None
    end_user_hash: str | None
    route: str | None
    method: str
    status: int
    outcome: str
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    model_requested: str
    model_served: str | None = None
    provider: str | None = None
    deployment: str | None = None
    attempts: list[AttemptEvent] = []
    stream: bool
    finish_reason: str | None = None
    cancelled: bool = False
    tokens: TokensEvent | None = None
    cost: CostEvent | None = None
    timing_ms: TimingEvent
    cache: CacheTold | None = None
    ratelimit: LimitsEvent | None = None
    guardrails: list[str] = []
    bytes: BytesEvent
    ip_trunc: str | None
    user_agent: str | None = None
    endpoint: str
    limit: str | None = None
    replay_of: str | None = None
    engine_ms: EngineEvent | None = None
    made_for: MadeForEvent | None = None
