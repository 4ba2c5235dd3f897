"""The shape of `cache`, of a route and at the top: what is kept, for whom, and how often it may be the wrong one."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import amounts
from gateway.config.fields import (
    AbsolutePath,
    Duration,
    Flag,
    LongCredential,
    Name,
    Number,
    Shape,
    Share,
    Size,
    Tag,
    Whole,
    one_or_more,
)
from gateway.config.quantities import days_s, duration_s
from gateway.secret import Secret
from policies.cache_rules import CacheRules, JudgeRules, ReplayPace, SemanticRules, ShadowRules, Sharing

MINILM: Final = "minilm"
LIFETIME: Final = r"[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h)|[0-9]{1,5}d"
_ASKED_WORDS: Final = (
    "conversation documents functions input instructions messages previous_response_id prompt query response_format "
    "stream text tool_choice tools"
)
ASKED: Final = frozenset(_ASKED_WORDS.split())
"""Members that say what is asked. A cache that ignores one answers another question."""
_MEMBER: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def _on(value: object) -> object:
    """`true` is a mapping that says nothing, `false` none at all."""
    return ({} if value else None) if isinstance(value, bool) else value


def _lifetime(value: object) -> float:
    is_in_days = isinstance(value, str) and value.endswith("d")
    try:
        return days_s(value) if is_in_days else duration_s(value)
    except ValueError as problem:
        raise ValueError(f"{problem}; days are written 30d") from None


def _a_day(value: object) -> int:
    """A sum for a day, with or without saying so."""
    return amounts.money_nanousd(re.sub(r" ?/ ?day$", "", value) if isinstance(value, str) else value)


def _ignorable(name: str) -> str:
    if name in ASKED:
        raise ValueError(f"'{name}' says what is asked: without it one question would get the answer to another")
    if not _MEMBER.fullmatch(name):
        raise ValueError("must be the name of a member of the request's body")
    return name


def _judge(value: object) -> object:
    return {"deployment": value} if isinstance(value, str) else value


def _embedder(value: object) -> object:
    if isinstance(value, str):
        if value != MINILM:
            raise ValueError(f"must be {MINILM} or {{deployment: NAME, window_tokens: N}}")
        return {}
    return value


def _vectors(value: object) -> object:
    if isinstance(value, str):
        if value != "auto":
            raise ValueError("must be auto, {qdrant: URL} or {pgvector: URL}")
        return {}
    return value


def _qdrant_url(secret: Secret) -> Secret:
    if not re.fullmatch(r"(https?://|file:)[\x21-\x7e]{1,1000}|:memory:", secret.reveal()):
        raise ValueError("must look like http://HOST:6333, or file:FOLDER for one in this process")
    return secret


def _postgres_url(secret: Secret) -> Secret:
    if not re.fullmatch(r"postgres(ql)?://[\x21-\x7e]{1,1000}", secret.reveal()):
        raise ValueError("must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    return secret


class ExactSettings(Shape):
    """The levels that compare words: the same request, and one whose last question is written a little differently."""

    ttl_s: Annotated[
        float, BeforeValidator(_lifetime), WithJsonSchema({"type": "string", "pattern": f"^({LIFETIME})$"})
    ] = Field(default=3600.0, alias="ttl", description="How long an answer is kept.")
    near: Flag = Field(
        default=True,
        description="Spaces, case, punctuation and politeness of the last question do not keep two requests apart.",
    )


class ShadowSettings(Shape):
    """Some would-be hits ask the model all the same, at the operator's cost, so that it is known how many are wrong."""

    share: Share = Field(default=0.01, description="Of the semantic hits.")
    hourly_max: Whole = Field(default=60, alias="per_hour", ge=1, le=100_000, description="At most so many.")
    cost_max_nanousd: (
        Annotated[
            int,
            BeforeValidator(_a_day),
            WithJsonSchema({"type": "string", "pattern": f"^{amounts.SUM}( ?/ ?day)?$", "examples": ["1 USD"]}),
        ]
        | None
    ) = Field(default=None, alias="max_cost", description="At most this much a day.")


class JudgeSettings(Shape):
    """A model that is asked of doubtful candidates whether both requests want the same answer."""

    deployment: str = Field(description="A name under deployments.")
    risk_max: Share = Field(default=0.6, alias="max_risk", description="Candidates above are not worth the question.")
    within_s: Duration = Field(default=2.0, alias="within", le=60, description="A later answer counts as no.")


class SemanticSettings(Shape):
    """Answers to other wordings of the same question."""

    false_hits_max: Share = Field(
        default=0.01,
        alias="max_false_hits",
        le=0.5,
        description="The most of the route's requests that may be served a wrong answer.",
    )
    checks_entities: Flag = Field(
        default=False, alias="entities", description="Questions that name different things never share an answer."
    )
    shadow: Annotated[ShadowSettings | None, BeforeValidator(_on, json_schema_input_type=bool | ShadowSettings)] = None
    judge: Annotated[JudgeSettings | None, BeforeValidator(_judge, json_schema_input_type=str | JudgeSettings)] = Field(
        default=None, description="A deployment's name, or {deployment, max_risk, within}."
    )


class StreamSettings(Shape):
    """How a hit is streamed."""

    piece_chars: Whole = Field(default=24, ge=1, le=100_000, description="Characters to an event, about.")
    pause_s: Duration | None = Field(default=None, alias="pause", le=1, description="Between two events; none.")


class CacheSettings(Shape):
    """Answers that are given again. `{}` and `true` keep them for an hour, for the same request."""

    exact: ExactSettings = Field(default_factory=ExactSettings.model_construct)
    semantic: Annotated[
        SemanticSettings | None, BeforeValidator(_on, json_schema_input_type=bool | SemanticSettings)
    ] = Field(default=None, description="Other wordings, too. Needs the extra `semantic`.")
    share: Sharing = Field(
        default=Sharing.TEAM, description="Who gets whose answers; a key without a team keeps its own to itself."
    )
    temperature_max: Number = Field(
        default=0.0,
        alias="max_temperature",
        ge=0,
        le=2,
        description="Calls that state a higher one are left alone; those that state none are not.",
    )
    answer_bytes_max: Size = Field(
        default=1 << 20, alias="max_answer", le=32 << 20, description="Longer answers are not kept."
    )
    ignored: Annotated[
        tuple[Annotated[str, AfterValidator(_ignorable)], ...],
        BeforeValidator(one_or_more, json_schema_input_type=str | tuple[str, ...]),
    ] = Field(default=(), alias="ignore", max_length=50, description="Members that do not keep two requests apart.")
    stream: StreamSettings = Field(default_factory=StreamSettings.model_construct)
    charges_hits: Flag = Field(
        default=False, alias="charge_hits", description="Limits count a hit as if the model had answered."
    )
    tags: Annotated[tuple[Tag, ...], BeforeValidator(one_or_more, json_schema_input_type=Tag | tuple[Tag, ...])] = (
        Field(default=(), max_length=20, description="On every entry, to be found and dropped by.")
    )
    group: Name | None = Field(default=None, description="Routes that say the same one share their answers.")

    def rules(self) -> CacheRules:
        """The same in the policies' vocabulary."""
        semantic = self.semantic
        return CacheRules(
            ttl_s=self.exact.ttl_s,
            near=self.exact.near,
            semantic=None if semantic is None else _semantic(semantic),
            sharing=self.share,
            temperature_max=self.temperature_max,
            answer_bytes_max=self.answer_bytes_max,
            ignored=frozenset(self.ignored),
            pace=ReplayPace(self.stream.piece_chars, self.stream.pause_s or 0.0),
            charges_hits=self.charges_hits,
            tags=self.tags,
            group=self.group or "",
        )


def _semantic(stated: SemanticSettings) -> SemanticRules:
    shadow, judge = stated.shadow, stated.judge
    return SemanticRules(
        stated.false_hits_max,
        stated.checks_entities,
        None if shadow is None else ShadowRules(shadow.share, shadow.hourly_max, shadow.cost_max_nanousd),
        None if judge is None else JudgeRules(judge.deployment, judge.risk_max, judge.within_s),
    )


class EmbedderSettings(Shape):
    """What turns questions into vectors: the bundled model, or a deployment."""

    deployment: str | None = Field(default=None, description="A name under deployments; the bundled model without.")
    window_tokens: Whole | None = Field(
        default=None, ge=16, le=1_000_000, description="Longer questions are not embedded; needed with a deployment."
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.deployment is None) != (self.window_tokens is None):
            missing = "window_tokens" if self.window_tokens is None else "deployment"
            raise ValueError(f"{missing} is missing: a deployment and its window go together")
        return self


class VectorSettings(Shape):
    """Where vectors are searched: beside the answers, or in a database of their own."""

    qdrant: Annotated[Secret, AfterValidator(_qdrant_url), WithJsonSchema({"type": "string"})] | None = Field(
        default=None, description="http://HOST:6333."
    )
    pgvector: Annotated[Secret, AfterValidator(_postgres_url), WithJsonSchema({"type": "string"})] | None = Field(
        default=None, description="postgresql://USER:PASSWORD@HOST/DATABASE with the extension."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.qdrant is not None and self.pgvector is not None:
            raise ValueError("names two databases; give one")
        return self


class AnswersSettings(Shape):
    """Where the answers of all routes are kept; which are, each route says. They live where `state.url` says."""

    embedder: Annotated[
        EmbedderSettings, BeforeValidator(_embedder, json_schema_input_type=Literal["minilm"] | EmbedderSettings)
    ] = Field(
        default_factory=EmbedderSettings.model_construct, description="minilm, or {deployment: NAME, window_tokens: N}."
    )
    entries_max: Whole = Field(
        default=100_000, alias="max_entries", ge=1, le=10_000_000, description="The least worth keeping make room."
    )
    size_max_bytes: Size = Field(default=256 << 20, alias="max_size", ge=1 << 16, description="About, in memory.")
    file: AbsolutePath | None = Field(
        default=None, description="Where what is kept in this process outlives it; without one it does not."
    )
    vectors: Annotated[
        VectorSettings, BeforeValidator(_vectors, json_schema_input_type=Literal["auto"] | VectorSettings)
    ] = Field(default_factory=VectorSettings.model_construct, description="auto, {qdrant: URL} or {pgvector: URL}.")
    encryption_key: LongCredential | None = Field(
        default=None, description="Answers are kept encrypted, each owner's under a key of its own."
    )


RouteCache = Annotated[
    CacheSettings | None,
    BeforeValidator(_on, json_schema_input_type=bool | CacheSettings),
    Field(description="Answers that are given again: true, or how."),
]
