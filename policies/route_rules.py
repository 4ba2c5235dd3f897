"""The settings of routing, failover and overload as plain values: hedges, commits, stickiness, residency, breakers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple


class Capability(StrEnum):
    """What a request may need of a model; the value is the word of the policy file."""

    TOOLS = "tools"
    IMAGES = "images"
    AUDIO = "audio"
    FILES = "files"
    JSON_MODE = "json_mode"  # an answer that is JSON
    JSON_SCHEMA = "json_schema"  # an answer that keeps to a schema
    STREAM = "stream"
    CHOICES = "n"  # more than one answer
    LOGPROBS = "logprobs"
    REASONING = "reasoning"
    PREFILL = "prefill"  # goes on where an assistant message at the end of the conversation stops

    __hash__ = str.__hash__


class Requirements(NamedTuple):
    """What binds every deployment that may see a call, fallbacks and hedges included. All of it must be met.

    A deployment in region `eu-west-1` is also in `eu`. A class of data is met by a deployment that names it.
    """

    regions: frozenset[str] = frozenset()
    data_classes: frozenset[str] = frozenset()


class Priority(IntEnum):
    """Who is served when not all can be: higher goes first."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


class Needs(NamedTuple):
    """What one request asks of a deployment. Tokens are upper bounds; `output_tokens` None: nobody set a limit.

    `is_counted`: its text was counted; else the bytes of its body stand for tokens.
    """

    capabilities: frozenset[Capability] = frozenset()
    input_tokens: int = 0
    output_tokens: int | None = None
    requires: Requirements = Requirements()
    is_counted: bool = False


class AffinityBy(StrEnum):
    """What a route keeps together on one target."""

    KEY = "key"
    USER = "user"  # the request's own `user`, else the key's
    HEADER = "header"  # a header that names the session
    PREFIX = "prefix"  # the beginning of the conversation, which caches of prompts go by


LOAD_MAX: Final = 1.25
"""Of the mean load, where a route says nothing of it."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """Calls that share this go to the same target. `header`: which one, lower case. With strategy `sticky` a target
    takes at most `load_max` times the mean load before the next one in its own order does; with `weighted` the same
    share of callers stays the same callers.
    """

    by: AffinityBy
    header: str = ""
    load_max: float = LOAD_MAX


@dataclass(frozen=True, slots=True)
class SpillRules:
    """The first target serves until a call would wait there longer than `wait_max_s`; then the next one does, unless
    the call would be expected to cost more than `cost_max_nanousd` there (None: whatever it costs).
    """

    wait_max_s: float
    cost_max_nanousd: int | None = None


@dataclass(frozen=True, slots=True)
class HedgeRules:
    """A second attempt elsewhere when the first is later than `after_s` (None: the deployment's live 95th percentile of
    time to first token), for at most `share_max` of a route's calls.
    """

    share_max: float = 0.05
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class CommitRules:
    """Until when nothing is sent to the caller, so that any failure can move elsewhere unseen: the first content, and
    after it so many more events with content (`tokens`, the first included) or so much time (`hold_s`).
    """

    tokens: int = 1
    hold_s: float = 0.0


class Resume(StrEnum):
    """How a stream that broke after some of it was sent may go on."""

    PREFILL = "prefill"  # a model that accepts it continues the text that was sent
    ALIGN = "align"  # another answers afresh, and what follows the text that was sent is forwarded if it begins with it


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` in a row open the breaker for `cooldown_s`; each failed probe doubles that, up to `cooldown_max_s`. So
    do failures mixed with successes, once `failure_share` of at least `volume_min` recent attempts have failed.

    A refused credential is set aside for `credential_cooldown_s`; a 429 for its Retry-After, at most `named_max_s`.
    """

    failures: int = 5
    cooldown_s: float = 5.0
    cooldown_max_s: float = 10.0
    named_max_s: float = 300.0
    credential_cooldown_s: float = 60.0
    probe_s: float = 60.0
    failure_share: float = 0.5
    volume_min: int = 20


@dataclass(frozen=True, slots=True)
class HealthRules:
    """An active probe every `interval_s` of a deployment that is set aside (with `always`, of one that is well, too):
    a GET of `path` below the provider's address, which costs nothing. It never generates.
    """

    interval_s: float = 10.0
    timeout_s: float = 5.0
    path: str = "/models"
    always: bool = False


@dataclass(frozen=True, slots=True)
class ShedRules:
    """When calls are refused so that the others are served, lowest priority first: as soon as work waits longer than
    `delay_max_s` for the process's attention, or more than `calls_max` calls are in it (None: no such number).
    """

    delay_max_s: float = 0.25
    calls_max: int | None = None


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """For how long, and in how much memory, answers to calls with an `Idempotency-Key` are kept."""

    ttl_s: float = 86_400.0
    bytes_max: int = 64 << 20


class Content(StrEnum):
    """How much of prompts and answers may be exported with traces, least first."""

    NONE = "none"
    HASH = "hash"
    REDACTED = "redacted"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How a route lets callers wait for their limits instead of refusing them."""

    max_wait_s: float
    max_size: int


NO_REQUIREMENTS: Final = Requirements()
NO_NEEDS: Final = Needs()
AT_FIRST_TOKEN: Final = CommitRules()
DEFAULT_BREAKER: Final = BreakerSettings()
