"""What the policy file may say to litellm: how a model is written, and which settings there are. It imports nothing."""

from __future__ import annotations

from typing import Final

# What an operator may hand on to litellm: how to sign in and where, nothing that changes what litellm does.
_SETTING_PREFIXES: Final = ("aws_", "vertex_", "azure_", "watsonx_", "oci_")
_SETTINGS: Final = frozenset(
    {"api_version", "organization", "project", "region_name", "tenant_id", "client_id", "client_secret"}
)


def is_setting(name: str) -> bool:
    return name in _SETTINGS or name.startswith(_SETTING_PREFIXES)


def provider_of(model: str) -> str | None:
    """`bedrock` of `bedrock/amazon.nova-lite-v1:0`; None for a model that is not written provider/model."""
    provider, _, name = model.partition("/")
    return provider if provider and name else None
