"""The settings of a route's cache as plain values, and the words for what it does with a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much alike two requests are of which one is served with the other's answer."""

    EXACT = "exact"  # every parameter that can change the answer is the same
    NEAR = "near"  # the last question differs in spaces, case, punctuation or politeness only
    SEMANTIC = "semantic"  # the last question is another wording; all before it is the same


class Sharing(StrEnum):
    """Who is served with whose answers; the first is the default. A key without a team shares with nobody."""

    TEAM = "team"
    KEY = "key"
    USER = "user"
    ORG = "org"
    ALL = "all"


class Bypass(StrEnum):
    """Why the cache leaves a call alone, or which of its levels it closes; the value is shown and counted."""

    OFF = "off"  # by the key
    NO_STORE = "no_store"  # by the caller's Cache-Control
    TEMPERATURE = "temperature"
    TOOL_CALLS = "tool_calls"
    MEDIA = "media"
    PERSONAL = "personal"
    TIME = "time"
    VERBATIM = "verbatim"  # the question is about its own letters, or brings a text that something is done to
    LONG = "long"
    ELSEWHERE = "elsewhere"  # a part of the prompt is not in the request: searches, stored conversations
    UNAVAILABLE = "unavailable"  # the store or the embedder cannot be asked


@dataclass(frozen=True, slots=True)
class ShadowRules:
    """A `share` of would-be hits asks the model all the same, at the operator's cost, to learn how often hits are
    wrong; at most `hourly_max` an hour and `cost_max_nanousd` a day (None: no such bound).
    """

    share: float = 0.01
    hourly_max: int = 60
    cost_max_nanousd: int | None = None


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """A model that says of the doubtful whether two requests want the same answer. `deployment` is a deployment's name;
    candidates up to `risk_max` are worth a question, which may take `within_s`.
    """

    deployment: str
    risk_max: float = 0.6
    within_s: float = 2.0


@dataclass(frozen=True, slots=True)
class SemanticRules:
    """Level 2. `false_hits_max` bounds wrong semantic hits per request of the route. `checks_entities`: questions that
    name different things are never served with each other's answers.
    """

    false_hits_max: float = 0.01
    checks_entities: bool = False
    shadow: ShadowRules | None = None
    judge: JudgeRules | None = None


@dataclass(frozen=True, slots=True)
class ReplayPace:
    """How a hit is streamed: pieces of about `piece_chars`, `pause_s` apart."""

    piece_chars: int = 24
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CacheRules:
    """A route's cache. `near` and `semantic` open the levels above exact. A call that states a temperature above
    `temperature_max` is left alone. `ignored` are members of a request that do not keep two apart, beside those that
    never do. `charges_hits`: limits count a hit as if the model had answered. `tags` go on every entry. Routes
    of the same `group` share answers; without one a route keeps its own.
    """

    ttl_s: float = 3600.0
    near: bool = True
    semantic: SemanticRules | None = None
    sharing: Sharing = Sharing.TEAM
    temperature_max: float = 0.0
    answer_bytes_max: int = 1 << 20
    ignored: frozenset[str] = frozenset()
    pace: ReplayPace = ReplayPace()
    charges_hits: bool = False
    tags: tuple[str, ...] = ()
    group: str = ""
