"""The shape of the sections about the gateway itself: where it listens, what it keeps secret and reports."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.config.fields import (
    AbsolutePath,
    Duration,
    Listen,
    LongCredential,
    ReadableHeader,
    Shape,
    Size,
    Whole,
)
from gateway.config.quantities import Address
from gateway.secret import Secret
from policies.route_rules import ReplayRules, ShedRules


class TlsSettings(Shape):
    """Certificate and key with which callers are served."""

    cert: AbsolutePath = Field(description="PEM file with the certificate and its chain.")
    key: AbsolutePath = Field(description="PEM file with the private key.")


class ShedSettings(Shape):
    """When calls are refused so that the others are served, lowest priority first."""

    delay_max_s: Duration = Field(
        default=0.25, alias="max_delay", description="The longest that work may wait for the process's attention."
    )
    calls_max: Whole | None = Field(default=None, ge=1, le=1_000_000, alias="max_calls", description="Calls at once.")

    @property
    def rules(self) -> ShedRules:
        return ShedRules(self.delay_max_s, self.calls_max)


class IdempotencySettings(Shape):
    """Answers to calls with an Idempotency-Key, kept for whoever sends the same call again."""

    ttl_s: Duration = Field(default=86_400.0, alias="ttl", description="For how long.")
    bytes_max: Size = Field(default=64 << 20, alias="max_bytes", description="In how much memory, all together.")

    @property
    def rules(self) -> ReplayRules:
        return ReplayRules(self.ttl_s, self.bytes_max)


class ServerSettings(Shape):
    """The two listeners."""

    listen: Listen = Field(default=Address("127.0.0.1", 8080), description="Where callers connect.")
    admin: Listen = Field(default=Address("127.0.0.1", 8081), description="Health, metrics and live state.")
    workers: Whole = Field(default=1, ge=1, le=64, description="Processes that serve; several need a shared state.")
    drain_s: Duration = Field(
        default=30.0, alias="drain", description="How long calls in flight may still take after SIGTERM."
    )
    max_body_bytes: Size = Field(default=32 << 20, alias="max_body", description="The largest request body.")
    tls: TlsSettings | None = Field(default=None, description="Serve HTTPS; plain HTTP without it.")
    when_headers: tuple[ReadableHeader, ...] = Field(
        default=(), max_length=50, description="Request headers that conditions may read, as request.headers['x-tier']."
    )
    shed: ShedSettings = Field(default_factory=ShedSettings.model_construct)
    idempotency: IdempotencySettings = Field(default_factory=IdempotencySettings.model_construct)


class SecretsSettings(Shape):
    """The gateway's own secrets."""

    pepper: (
        Annotated[LongCredential, Field(description="Key of the hashes of virtual keys; as peppers: [...].")] | None
    ) = None
    peppers: tuple[LongCredential, ...] = Field(
        default=(), description="Instead of pepper, several: the first hashes new keys, the others know theirs."
    )
    admin_token: Annotated[LongCredential, Field(description="Bearer token of the admin listener.")] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.pepper is not None and self.peppers:
            raise ValueError("has both pepper and peppers; peppers: [NEW, OLD] holds both")
        return self

    @property
    def newest_first(self) -> tuple[Secret, ...]:
        """Every pepper that is configured."""
        return self.peppers if self.pepper is None else (self.pepper,)
