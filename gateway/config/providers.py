"""The shape of `providers`: a company or a kind of server, and how to reach it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.failover import HealthSettings, OwnBreaker
from gateway.config.fields import (
    Credential,
    CredentialOrNone,
    Flag,
    ForwardedHeader,
    Headers,
    Name,
    SettingValue,
    Shape,
    Url,
    Whole,
    no_entries,
)
from gateway.config.llama_cpp import LlamaCppProvider
from gateway.config.owners import Limits
from gateway.config.pricing import AdjustedShape
from gateway.litellm.names import is_setting
from gateway.secret import Secret

_SETTING: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

# What the driver decides per call; a setting of that name would change requests behind everyone's back.
_OWN_WORDS: Final = (
    "acompletion api_base api_key base_url caching callbacks client custom_llm_provider failure_callback fallbacks "
    "input max_retries messages mock_response model model_list num_retries stream stream_options success_callback "
    "timeout tools"
)
OWN_SETTINGS: Final = frozenset(_OWN_WORDS.split())


def _setting_name(name: str) -> str:
    if not _SETTING.fullmatch(name):
        raise ValueError("is not a setting's name: lower-case words joined by _")
    if name in OWN_SETTINGS:
        raise ValueError("is decided by the gateway, call by call")
    if not is_setting(name):
        raise ValueError("is not a setting of litellm's providers, such as aws_region_name")
    return name


Settings = Annotated[
    Mapping[Annotated[str, AfterValidator(_setting_name)], SettingValue], AfterValidator(MappingProxyType)
]


class CredentialSettings(Shape):
    """One of several credentials of a provider."""

    name: Name = Field(description="How logs and the live view call it.")
    key: Credential = Field(description="A reference such as ${env:OPENAI_API_KEY}.")
    weight: Whole = Field(default=1, ge=1, le=1_000_000, description="Its share of the calls, against the others'.")


class _Keyed(AdjustedShape):
    """What is reached with one credential, or with several side by side."""

    api_key: CredentialOrNone = Field(
        default=None, description="A reference such as ${env:OPENAI_API_KEY}, or the word none."
    )
    api_keys: tuple[CredentialSettings, ...] | None = Field(
        default=None, min_length=1, max_length=100, description="Instead of api_key, several: {name, key, weight}."
    )
    breaker: OwnBreaker | None = Field(default=None, description="When its deployments are set aside.")
    trace: Flag = Field(default=False, description="Tell it which trace a call belongs to: for servers of one's own.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.api_keys is not None and "api_key" in self.model_fields_set:
            raise ValueError("has both api_key and api_keys; api_keys holds them all")
        return self

    def credential(self, name: str) -> Secret | None:
        """The credential that a deployment names; None where there is none."""
        return next((held.key for held in self.api_keys or () if held.name == name), self.api_key)


class OpenAIProvider(_Keyed):
    """Any server that speaks OpenAI's API."""

    kind: Literal["openai"]
    base_url: Url = Field(default="https://api.openai.com/v1", description="Up to and with /v1.")
    headers: Headers = Field(default_factory=no_entries, description="Sent with every request.")
    max_connections: Whole = Field(default=256, ge=1, le=10_000, description="The most connections open at once.")
    forward_headers: tuple[ForwardedHeader, ...] = Field(
        default=(), description="Request headers of callers that go upstream."
    )
    health: HealthSettings | None = Field(
        default=None, description="Ask its deployments now and then whether they are well."
    )
    limits: Limits = ()

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.api_key or self.api_keys) and "authorization" in self.headers:
            raise ValueError("has both api_key and an authorization header; use one (api_key: none for the header)")
        return self


class LitellmProvider(_Keyed):
    """A provider that only litellm speaks. Its deployments' models carry litellm's prefix, e.g. bedrock/..."""

    kind: Literal["litellm"]
    base_url: Url | None = Field(default=None, description="Instead of the provider's usual address.")
    settings: Settings = Field(default_factory=no_entries, description="Passed to litellm, e.g. aws_region_name.")
    limits: Limits = ()


ProviderSettings = Annotated[OpenAIProvider | LlamaCppProvider | LitellmProvider, Field(discriminator="kind")]
KINDS: Final = ("openai", "llama_cpp", "litellm")
