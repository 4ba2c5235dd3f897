"""The shape of what a route does when something is late or fails: retries, time limits, hedges, commits, resumption;
and of how a deployment that fails is set aside and found well again.
"""

from math import inf
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import quantities
from gateway.config.fields import Duration, Flag, Shape, Share, Whole, one_or_more

P95: Final = "p95"


class RetrySettings(Shape):
    """How often one deployment is tried."""

    attempts: Whole = Field(default=2, ge=1, le=6, description="Tries per deployment, the first included.")
    max_wait_s: Duration = Field(
        default=5.0, alias="max_wait", description="The longest Retry-After that is waited for; else on to the next."
    )


class TimeoutSettings(Shape):
    """The time limits of one route."""

    connect_s: Duration = Field(default=5.0, alias="connect", description="To reach the upstream.")
    first_token_s: Duration | None = Field(
        default=None,
        alias="first_token",
        description="To the first content of a stream; left out, what is usual for the deployment, at most 60s.",
    )
    idle_s: Duration = Field(default=60.0, alias="idle", description="Between two pieces of a stream.")
    total_s: Duration = Field(default=600.0, alias="total", description="For the whole call, all attempts together.")
    write_s: Duration = Field(default=30.0, alias="write", description="For a caller that does not read.")


def _late(value: object) -> object:
    if value is None or value == P95 or isinstance(value, float):
        return None if value == P95 else value
    try:
        return quantities.duration_s(value)
    except ValueError as problem:
        raise ValueError(f"must be {P95}, or a duration such as 800ms: {problem}") from None


class HedgeSettings(Shape):
    """A second attempt elsewhere when the first is late; whoever is first answers."""

    after_s: Annotated[
        float | None,
        BeforeValidator(_late),
        WithJsonSchema({"type": "string", "pattern": f"^({P95}|{quantities.DURATION.pattern})$", "default": P95}),
    ] = Field(
        default=None,
        alias="after",
        description="p95: a stream later than 95 % of the deployment's; or a duration, for any call.",
    )
    share_max: Share = Field(default=0.05, alias="at_most", description="The largest share of calls that are hedged.")


class CommitSettings(Shape):
    """Until when nothing is sent to the caller, so that a failure can still move elsewhere unseen."""

    after: Literal["first_token"] | None = Field(default=None, description="The default: the first content.")
    tokens: Whole | None = Field(default=None, ge=1, le=1000, description="So many pieces of content.")
    ms: Whole | None = Field(default=None, ge=1, le=60_000, description="So many milliseconds after the first content.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or None in (getattr(self, name) for name in self.model_fields_set):
            raise ValueError("must be one of {after: first_token}, {tokens: N} or {ms: T}")
        return self


def _once_each(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(words)) < len(words):
        raise ValueError("names the same way twice")
    return words


ResumeWays = Annotated[
    tuple[Literal["prefill", "align"], ...],
    BeforeValidator(one_or_more, json_schema_input_type=str | tuple[Literal["prefill", "align"], ...]),
    AfterValidator(_once_each),
    Field(min_length=1, description="How a stream that broke goes on: prefill, align, or both in that order."),
]


class OwnBreaker(Shape):
    """When a deployment that fails is set aside, and for how long. What is left out is the provider's, else usual."""

    failures: Whole | None = Field(default=None, ge=1, le=1000, description="So many in a row open it; 5.")
    cooldown_s: Duration | None = Field(default=None, alias="cooldown", description="For how long at first; 5s.")
    cooldown_max_s: Duration | None = Field(
        default=None, alias="max_cooldown", description="Each failed probe doubles it up to this; 10s."
    )
    named_max_s: Duration | None = Field(
        default=None, alias="max_retry_after", description="The longest wait that an upstream may ask for; 5m."
    )
    credential_cooldown_s: Duration | None = Field(
        default=None, alias="credential_cooldown", description="After a refused credential; 1m."
    )
    failure_share: Share | None = Field(
        default=None, description="So large a share of recent attempts that failed opens it as well; 50%."
    )
    volume_min: Whole | None = Field(
        default=None, ge=1, le=100_000, alias="of_at_least", description="The fewest recent attempts to judge by; 20."
    )
    probe_s: Duration | None = Field(
        default=None, alias="probe", description="How long the one call that probes it may take; 1m."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if (self.cooldown_s or 0) > (self.cooldown_max_s or inf):
            raise ValueError("has a cooldown longer than its max_cooldown")
        return self


def _path(text: str) -> str:
    if not quantities.PATH.fullmatch(text):
        raise ValueError("must be a path such as /models, without ? and #")
    return text


class HealthSettings(Shape):
    """A deployment that is set aside is asked now and then whether it is well again, so that no call need find out."""

    interval_s: Duration = Field(default=10.0, alias="interval", description="How often; at least 1s.")
    timeout_s: Duration = Field(default=5.0, alias="timeout", description="How long an answer may take.")
    path: Annotated[str, AfterValidator(_path)] = Field(
        default="/models", description="What is asked for, below the provider's base_url; nothing is generated."
    )
    always: Flag = Field(default=False, description="Ask also while it is well.")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.interval_s < 1:
            raise ValueError("has an interval shorter than 1s")
        return self
