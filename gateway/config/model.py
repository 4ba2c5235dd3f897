"""The policy file as one frozen value."""

from typing import Literal

from pydantic import Field

from gateway.config.fields import Shape, Table
from gateway.config.operation import (
    LedgerSettings,
    PricesSettings,
    SecretsSettings,
    ServerSettings,
    StateSettings,
    TelemetrySettings,
)
from gateway.config.providers import ProviderSettings
from gateway.config.routing import DeploymentSettings, KeySettings, RouteSettings


class Config(Shape):
    """Everything an operator decides. Made by `gateway.config.load`, which has checked what one part alone cannot."""

    version: Literal[1] = Field(default=1, description="The version of this file's language.")
    server: ServerSettings = Field(default_factory=ServerSettings.model_construct)
    state: StateSettings = Field(default_factory=StateSettings.model_construct)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings.model_construct)
    secrets: SecretsSettings = Field(default_factory=SecretsSettings.model_construct)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings.model_construct)
    prices: PricesSettings = Field(default_factory=PricesSettings.model_construct)
    providers: Table[ProviderSettings] = Field(
        min_length=1, description="Companies and servers, and how to reach them."
    )
    deployments: Table[DeploymentSettings] = Field(min_length=1, description="What can be called.")
    routes: tuple[RouteSettings, ...] = Field(min_length=1, description="What callers may ask for; first match wins.")
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Virtual keys; none means anyone, and only on loopback."
    )
