"""The shape of `deployments` and `routes`: what is called, and what callers ask for."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import amounts
from gateway.config.caching import RouteCache
from gateway.config.failover import (
    CommitSettings,
    HealthSettings,
    HedgeSettings,
    OwnBreaker,
    ResumeWays,
    RetrySettings,
    TimeoutSettings,
)
from gateway.config.fields import Duration, Flag, ModelPattern, Name, Shape, Whole, one_or_more, readable_header
from gateway.config.hardware import GpuSettings
from gateway.config.limits import WHEN_CHARS_MAX
from gateway.config.owners import Limits, OutputTokens
from gateway.config.pricing import AdjustedShape, PriceSettings
from gateway.config.problems import did_you_mean
from gateway.config.residency import DataClasses, RequireSettings
from policies.route_rules import Affinity, AffinityBy, Capability

BY_WORDS: Final = (AffinityBy.KEY.value, AffinityBy.USER.value, AffinityBy.PREFIX.value)


class DeploymentSettings(AdjustedShape):
    """A provider's model and what is known of it."""

    provider: str = Field(description="A name under providers.")
    model: ModelPattern | None = Field(default=None, description="The model's name there; not needed for llama_cpp.")
    context_tokens: Whole | None = Field(
        default=None, ge=1, description="The most tokens of prompt and answer together."
    )
    region: Name | None = Field(default=None, description="Where it runs.")
    price: PriceSettings | None = Field(default=None, description="Instead of the shipped price table.")
    gpu: GpuSettings | None = Field(default=None, description="The hardware of a server of one's own, and its price.")
    max_output_tokens: OutputTokens | None = None
    on_disconnect: Literal["cancel", "drain"] = Field(
        default="cancel", description="When the caller leaves: stop, or read on for a while so that the usage is known."
    )
    limits: Limits = ()
    supports: tuple[Capability, ...] = Field(default=(), description="What the model can do, beyond what is known.")
    lacks: tuple[Capability, ...] = Field(default=(), description="What the model cannot do.")
    data_classes: DataClasses = Field(default=(), description="Classes of data that it may be shown.")
    breaker: OwnBreaker | None = Field(default=None, description="When it is set aside; else as its provider says.")
    health: HealthSettings | None = Field(default=None, description="Ask it now and then; else as its provider says.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if both := set(self.supports) & set(self.lacks):
            raise ValueError(f"both supports and lacks {', '.join(sorted(both))}")
        return self


def _named(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    if not isinstance(value, str | dict | Destination):
        raise ValueError("must be a deployment's or a route's name, or a mapping with one")  # noqa: TRY004 - pydantic wants ValueError
    return {"deployment": value} if isinstance(value, str) else value


class Destination(Shape):
    """A deployment, or a route whose candidates stand in its place. A lone name may be either; a deployment's goes
    first.
    """

    deployment: str | None = Field(default=None, description="A name under deployments.")
    route: str | None = Field(default=None, description="A route's name: its own, or the first of its models.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.deployment is None) == (self.route is None):
            raise ValueError("must name either a deployment or a route")
        return self


class TargetSettings(Destination):
    """A deployment or route and its share of the traffic."""

    weight: Whole = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="For the strategies weighted, sticky and least_busy; 0 takes no share.",
    )


def _affinity(value: object) -> object:
    if isinstance(value, str) and value in BY_WORDS:
        return Affinity(AffinityBy(value))
    if isinstance(value, dict) and value.keys() == {"header"} and isinstance(value["header"], str):
        return Affinity(AffinityBy.HEADER, readable_header(value["header"]))
    near = did_you_mean(value, BY_WORDS) if isinstance(value, str) else ""
    raise ValueError(f"must be {', '.join(BY_WORDS)} or {{header: NAME}}{near}")


class SpillSettings(Shape):
    """Strategy spill: the first target serves as long as it is soon enough, then the next."""

    max_wait_s: Duration = Field(alias="max_wait", description="The longest that a call may be expected to wait there.")
    max_cost_nanousd: (
        Annotated[
            int,
            BeforeValidator(amounts.money_nanousd),
            WithJsonSchema({"type": "string", "pattern": f"^{amounts.SUM}$", "examples": ["0.02 USD"]}),
        ]
        | None
    ) = Field(
        default=None, alias="max_cost", description="A call that is expected to cost more elsewhere waits instead."
    )


class QueueSettings(Shape):
    """Callers wait for their limits instead of being refused at once."""

    max_wait_s: Duration = Field(default=10.0, alias="max_wait", description="The longest that one waits.")
    max_size: Whole = Field(default=200, ge=1, le=100_000, description="How many may wait; more are refused.")


Target = Annotated[
    TargetSettings,
    BeforeValidator(_named, json_schema_input_type=str | TargetSettings),
    Field(description="A deployment's or route's name, or {deployment: NAME or route: NAME, weight}."),
]
By = Annotated[
    Affinity,
    BeforeValidator(_affinity),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(BY_WORDS)},
                {"type": "object", "properties": {"header": {"type": "string"}}, "required": ["header"]},
            ]
        }
    ),
]
Fallbacks = tuple[Annotated[Destination, BeforeValidator(_named, json_schema_input_type=str | Destination)], ...]


class RouteSettings(Shape):
    """A model name that callers send, and the deployments that may answer."""

    name: ModelPattern | None = Field(
        default=None, description="What logs, limits and other routes call it; the first of its models when left out."
    )
    model: Annotated[
        tuple[ModelPattern, ...], BeforeValidator(one_or_more, json_schema_input_type=str | tuple[ModelPattern, ...])
    ] = Field(
        default=(),
        min_length=1,
        description="The model that callers name: one or a list; * stands for anything, ? for a character.",
    )
    when: str | None = Field(
        default=None, max_length=WHEN_CHARS_MAX, description="CEL over request and principal; other calls go on."
    )
    strategy: Literal["ordered", "weighted", "cheapest", "fastest", "least_busy", "sticky", "spill"] = Field(
        default="ordered", description="How the targets are put in order."
    )
    by: By | None = Field(default=None, description="For sticky and weighted: what stays on one target.")
    spill: SpillSettings | None = Field(default=None, description="For strategy spill.")
    targets: tuple[Target, ...] = Field(min_length=1, description="The deployments and routes that serve this route.")
    fallbacks: Fallbacks = Field(default=(), description="For when every target failed, in order.")
    context_fallbacks: Fallbacks = Field(default=(), description="Instead, for what is too long for the targets.")
    content_fallbacks: Fallbacks = Field(default=(), description="For what the targets refuse for its content.")
    require: RequireSettings | None = Field(default=None, description="What binds whoever answers.")
    retry: RetrySettings = Field(default_factory=RetrySettings.model_construct)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings.model_construct)
    hedge: HedgeSettings | None = Field(default=None, description="A second attempt elsewhere when the first is late.")
    commit: CommitSettings | None = Field(default=None, description="Until when nothing is sent to the caller.")
    resume: ResumeWays | None = None
    max_output_tokens: OutputTokens | None = None
    limits: Limits = ()
    queue: QueueSettings | None = Field(default=None, description="Wait for limits; without it a call is refused.")
    cache: RouteCache = None
    cost_in_body: Flag = Field(default=False, description="Answers say in their usage what they cost: usage.cost.")
