"""The shape of `deployments` and `routes`: what is called, and what callers ask for."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.config.fields import Duration, ModelPattern, Name, Shape, Usd, Whole, one_or_more
from gateway.config.owners import Limits, OutputTokens


def _target(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    if not isinstance(value, str | dict | TargetSettings):
        raise ValueError("must be a deployment's name, or {deployment, weight}")  # noqa: TRY004 - pydantic wants ValueError
    return {"deployment": value} if isinstance(value, str) else value


class PriceSettings(Shape):
    """What a deployment's tokens cost, in USD per million tokens."""

    input_nanousd: Usd = Field(alias="input", description="Prompt tokens.")
    cached_input_nanousd: Usd | None = Field(
        default=None, alias="cached_input", description="Prompt tokens read from a cache."
    )
    cache_write_nanousd: Usd | None = Field(
        default=None, alias="cache_write", description="Prompt tokens written to a cache."
    )
    output_nanousd: Usd | None = Field(default=None, alias="output", description="Generated tokens.")


class DeploymentSettings(Shape):
    """A provider's model and what is known of it."""

    provider: str = Field(description="A name under providers.")
    model: ModelPattern | None = Field(default=None, description="The model's name there; not needed for llama_cpp.")
    context_tokens: Whole | None = Field(
        default=None, ge=1, description="The most tokens of prompt and answer together."
    )
    region: Name | None = Field(default=None, description="Where it runs.")
    price: PriceSettings | None = Field(default=None, description="Instead of the shipped price table.")
    max_output_tokens: OutputTokens | None = None
    on_disconnect: Literal["cancel", "drain"] = Field(
        default="cancel", description="When the caller leaves: stop, or read on for a while so that the usage is known."
    )
    limits: Limits = ()


class TargetSettings(Shape):
    """A deployment and its share of the traffic."""

    deployment: str = Field(description="A name under deployments.")
    weight: Whole = Field(default=1, ge=0, le=1_000_000, description="For strategy weighted; 0 takes no share.")


class RetrySettings(Shape):
    """How often one deployment is tried."""

    attempts: Whole = Field(default=2, ge=1, le=6, description="Tries per deployment, the first included.")


class TimeoutSettings(Shape):
    """The time limits of one route."""

    connect_s: Duration = Field(default=5.0, alias="connect", description="To reach the upstream.")
    first_token_s: Duration = Field(default=60.0, alias="first_token", description="To the first content of a stream.")
    idle_s: Duration = Field(default=60.0, alias="idle", description="Between two pieces of a stream.")
    total_s: Duration = Field(default=600.0, alias="total", description="For the whole call, all attempts together.")
    write_s: Duration = Field(default=30.0, alias="write", description="For a caller that does not read.")


class QueueSettings(Shape):
    """Callers wait for their limits instead of being refused at once."""

    max_wait_s: Duration = Field(default=10.0, alias="max_wait", description="The longest that one waits.")
    max_size: Whole = Field(default=200, ge=1, le=100_000, description="How many may wait; more are refused.")


Target = Annotated[
    TargetSettings,
    BeforeValidator(_target, json_schema_input_type=str | TargetSettings),
    Field(description="A deployment's name, or {deployment, weight}."),
]


class RouteSettings(Shape):
    """A model name that callers send, and the deployments that may answer."""

    model: Annotated[
        tuple[ModelPattern, ...], BeforeValidator(one_or_more, json_schema_input_type=str | tuple[ModelPattern, ...])
    ] = Field(min_length=1, description="The model that callers name: one or a list; * stands for anything.")
    strategy: Literal["ordered", "weighted"] = Field(default="ordered", description="How the targets are put in order.")
    targets: tuple[Target, ...] = Field(min_length=1, description="The deployments that serve this route.")
    fallbacks: tuple[str, ...] = Field(default=(), description="Deployments for when every target failed, in order.")
    retry: RetrySettings = Field(default_factory=RetrySettings.model_construct)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings.model_construct)
    max_output_tokens: OutputTokens | None = None
    limits: Limits = ()
    queue: QueueSettings | None = Field(default=None, description="Wait for limits; without it a call is refused.")
