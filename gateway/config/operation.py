"""The shape of the sections about the gateway itself: where it listens, keeps things and reports."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from gateway.config.fields import (
    AbsolutePath,
    Duration,
    Headers,
    Listen,
    LongCredential,
    Number,
    Shape,
    Size,
    Url,
    Whole,
    absolute,
    no_entries,
)
from gateway.config.quantities import Address


def _sqlite_path(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path):
        return absolute(value, info)
    if not isinstance(value, str) or not value.startswith("sqlite:///") or value.endswith("/"):
        raise ValueError("must be sqlite:///FILE, or sqlite:////FILE for an absolute path")
    if "?" in value or "#" in value:
        raise ValueError("must name a file only, without ? or #")
    return absolute(value.removeprefix("sqlite:///"), info)


class TlsSettings(Shape):
    """Certificate and key with which callers are served."""

    cert: AbsolutePath = Field(description="PEM file with the certificate and its chain.")
    key: AbsolutePath = Field(description="PEM file with the private key.")


class ServerSettings(Shape):
    """The two listeners."""

    listen: Listen = Field(default=Address("127.0.0.1", 8080), description="Where callers connect.")
    admin: Listen = Field(default=Address("127.0.0.1", 8081), description="Health, metrics and live state.")
    workers: Whole = Field(default=1, ge=1, le=1, description="Processes; this version has one.")
    drain_s: Duration = Field(
        default=30.0, alias="drain", description="How long calls in flight may still take after SIGTERM."
    )
    max_body_bytes: Size = Field(default=32 << 20, alias="max_body", description="The largest request body.")
    tls: TlsSettings | None = Field(default=None, description="Serve HTTPS; plain HTTP without it.")


class StateSettings(Shape):
    """Where limits and other shared state live."""

    url: Literal["memory://"] = Field(default="memory://", description="memory:// keeps it in this process.")


class LedgerSettings(Shape):
    """Where every attempt is written down."""

    path: Annotated[
        Path,
        BeforeValidator(_sqlite_path),
        WithJsonSchema({"type": "string", "pattern": "^sqlite:///."}),
    ] = Field(
        default=Path("pointsman.db"),
        alias="url",
        validate_default=True,
        json_schema_extra={"default": "sqlite:///pointsman.db"},
        description="sqlite:///FILE; a relative FILE starts from the policy file's folder.",
    )


class SecretsSettings(Shape):
    """The gateway's own secrets."""

    pepper: Annotated[LongCredential, Field(description="Key of the hashes of virtual keys.")] | None = None
    admin_token: Annotated[LongCredential, Field(description="Bearer token of the admin listener.")] | None = None


class OtlpSettings(Shape):
    """Where traces go."""

    endpoint: Url = Field(description="OTLP over HTTP; /v1/traces is appended.")
    headers: Headers = Field(default_factory=no_entries, description="Sent with every export, e.g. a token.")
    sample: Number = Field(default=1.0, ge=0, le=1, description="Share of calls whose traces are kept.")


class TelemetrySettings(Shape):
    """What the gateway tells of its work."""

    otlp: OtlpSettings | None = Field(default=None, description="Export traces.")
    log: Literal["json", "text", "auto"] = Field(default="auto", description="auto: text on a terminal, else json.")


class PricesSettings(Shape):
    """What happens when nobody knows a deployment's price."""

    unknown: Literal["auto", "allow"] = Field(
        default="auto", description="The call runs and its cost is flagged as unpriced."
    )
