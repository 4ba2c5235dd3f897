"""The shape of `telemetry`: what the gateway tells of its work, to whom, and in whose words."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.config import amounts, quantities
from gateway.config.fields import Duration, Flag, Headers, Name, Shape, Size, Url, no_entries
from gateway.config.metering import MetricsSettings
from gateway.signals.conventions import CostNames, Semconv, UsageShown, Wording
from gateway.signals.sampling import Sampling
from policies.content import least
from policies.route_rules import Content

_NOTHING = (0, "0%")


def ratio(value: object) -> float:
    """A share from 0 to 1, as `5%` or `0.05`. Raises `ValueError`."""
    if value in _NOTHING and not isinstance(value, bool):
        return 0.0
    if isinstance(value, str) and value.endswith("%"):
        return quantities.share(value)
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("must be a share such as 5%, or a number from 0 to 1")
    return found


def _sampled(value: object) -> object:
    """A lone share stands for the whole."""
    return value if isinstance(value, dict) else {"ratio": value}


def _one_or_more_receivers(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _as_text(value: object) -> object:
    """YAML reads 1.41 as a number."""
    return str(value) if isinstance(value, float) else value


Ratio = Annotated[
    float,
    BeforeValidator(ratio),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{quantities.SHARE.pattern}$", "examples": ["5%"]},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    ),
]
Money = Annotated[
    int,
    BeforeValidator(amounts.money_nanousd),
    WithJsonSchema({"type": "string", "pattern": f"^{amounts.SUM}$", "examples": ["0.10 USD"]}),
]


class SampleSettings(Shape):
    """Which traces a destination gets. What is not kept costs next to nothing, since nothing was built of it."""

    ratio: Ratio = Field(default=1.0, description="Share of all calls.")
    slow_s: Duration = Field(default=30.0, alias="slow", description="Beside them, calls that took so long.")
    cost_nanousd: Money | None = Field(default=None, alias="cost", description="Beside them, calls that cost so much.")
    errors: Flag = Field(default=True, description="Beside them, calls that failed or took more than one attempt.")

    @property
    def rules(self) -> Sampling:
        return Sampling(self.ratio, self.slow_s, self.cost_nanousd, self.errors)


class OtlpSettings(Shape):
    """Where traces go."""

    name: Name | None = Field(default=None, description="How metrics and logs call it; its profile by default.")
    endpoint: Url = Field(description="OTLP over HTTP; /v1/traces is appended.")
    headers: Headers = Field(default_factory=no_entries, description="Sent with every export, e.g. a token.")
    profile: Literal["plain", "openinference", "mlflow", "langfuse"] = Field(
        default="plain", description="Whose names for tokens and costs it gets beside OpenTelemetry's."
    )
    sample: Annotated[SampleSettings, BeforeValidator(_sampled, json_schema_input_type=SampleSettings | Ratio)] = Field(
        default_factory=SampleSettings.model_construct, description="Which calls' traces: a share, or rules."
    )

    @property
    def called(self) -> str:
        return self.name or self.profile


class ContentSettings(Shape):
    """What spans show of prompts and answers: nothing, keyed digests, text without secrets and persons, or all."""

    default: Content = Field(default=Content.NONE, description="For keys of which neither they nor their owners say.")
    most: Content = Field(default=Content.REDACTED, alias="max", description="Nobody gets more, whatever they say.")
    bytes_max: Size = Field(
        # One pattern over hostile text holds the interpreter for half a millisecond per KiB.
        default=32 << 10,
        ge=256,
        le=64 << 10,
        alias="max_bytes",
        description="Of a request, and of its answer.",
    )

    @model_validator(mode="after")
    def _within_the_bound(self) -> Self:
        if least(self.default, self.most) is not self.default:
            raise ValueError(f"default: {self.default} is more than max: {self.most} allows")
        return self


class TelemetrySettings(Shape):
    """What the gateway tells of its work."""

    otlp: Annotated[
        tuple[OtlpSettings, ...],
        BeforeValidator(_one_or_more_receivers, json_schema_input_type=OtlpSettings | tuple[OtlpSettings, ...]),
    ] = Field(default=(), max_length=8, description="Export traces: one destination, or a list of them.")
    semconv: Annotated[Literal["1.41", "latest"], BeforeValidator(_as_text)] = Field(
        default="1.41", description="Which version of OpenTelemetry's names for generative AI."
    )
    cost_semconv: Literal["none", "defacto", "pr443"] = Field(
        default="defacto",
        description="A cost's name beside pointsman.cost.*: defacto is gen_ai.usage.cost, pr443 its .amount and so on.",
    )
    usage_attributes: Literal["always", "never", "when_root"] = Field(
        default="always",
        description="gen_ai.usage.* on attempts. when_root: not in traces that callers began, who may count as well.",
    )
    metrics: MetricsSettings = Field(default_factory=MetricsSettings.model_construct)
    content: ContentSettings = Field(default_factory=ContentSettings.model_construct)
    cost_header: Flag = Field(
        default=True, description="Callers are told what their calls cost: x-pointsman-cost-usd, a comment in streams."
    )
    log: Literal["json", "text", "auto"] = Field(default="auto", description="auto: text on a terminal, else json.")

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [one.called for one in self.otlp]
        if len(set(names)) < len(names):
            raise ValueError("has two destinations of one name in otlp; give them names")
        return self

    @property
    def wording(self) -> Wording:
        return Wording(Semconv(self.semconv), CostNames(self.cost_semconv), UsageShown(self.usage_attributes))
