"""The policy file as one frozen value."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.config.caching import AnswersSettings
from gateway.config.fields import OrgName, Shape, Table
from gateway.config.limits import LimitSettings
from gateway.config.llama_cpp import EnginesSettings
from gateway.config.operation import SecretsSettings, ServerSettings
from gateway.config.owners import KeySettings, OrgSettings, TeamSettings, UserSettings
from gateway.config.pricing import PricesSettings
from gateway.config.providers import ProviderSettings
from gateway.config.routing import DeploymentSettings, RouteSettings
from gateway.config.storage import LedgerSettings, StateSettings
from gateway.config.telemetry import TelemetrySettings


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


class Config(Shape):
    """Everything an operator decides. Made by `gateway.config.load`, which has checked what one part alone cannot."""

    version: Literal[1] = Field(default=1, description="The version of this file's language.")
    server: ServerSettings = Field(default_factory=ServerSettings.model_construct)
    state: StateSettings = Field(default_factory=StateSettings.model_construct)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings.model_construct)
    secrets: SecretsSettings = Field(default_factory=SecretsSettings.model_construct)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings.model_construct)
    prices: PricesSettings = Field(default_factory=PricesSettings.model_construct)
    cache: AnswersSettings = Field(default_factory=AnswersSettings.model_construct)
    engines: EnginesSettings = Field(default_factory=EnginesSettings.model_construct)
    providers: Table[ProviderSettings] = Field(
        min_length=1, description="Companies and servers, and how to reach them."
    )
    deployments: Table[DeploymentSettings] = Field(min_length=1, description="What can be called.")
    routes: tuple[RouteSettings, ...] = Field(min_length=1, description="What callers may ask for; first match wins.")
    orgs: Annotated[Mapping[OrgName, OrgSettings], AfterValidator(MappingProxyType)] = Field(
        default_factory=_none, description="Tenants; one that is called default is always there."
    )
    teams: Table[TeamSettings] = Field(default_factory=_none, description="Teams, and the orgs they belong to.")
    users: Table[UserSettings] = Field(default_factory=_none, description="Users of whom something is to be said.")
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Virtual keys; none means anyone, and only on loopback."
    )
    limits: tuple[LimitSettings, ...] = Field(
        default=(), description="All that match a call apply, in one reservation."
    )
