"""Whose prices a deployment's model has, and under which names: known from where requests go, never guessed from a
model's name.

The provider is known from the host or from litellm's prefix (`provider_of`); within the provider the name must be
listed, as such or without what marks a snapshot (`spellings`). A self-hosted `gpt-4o` is not OpenAI's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVIDER_OF_HOST: Final = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "cognitiveservices.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "googleapis.com": "google",
    "amazonaws.com": "aws",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.deepinfra.com": "deepinfra",
    "api.perplexity.ai": "perplexity",
    "openrouter.ai": "openrouter",
    "api.cerebras.ai": "cerebras",
    "api.novita.ai": "novita",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.z.ai": "zai",
    "api.minimax.io": "minimax",
    "api.voyageai.com": "voyageai",
    "inference.baseten.co": "baseten",
}
"""Exact hosts, or the parents of a provider's hosts (`eu.api.openai.com`)."""

PROVIDER_OF_PREFIX: Final = {
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "gemini": "google",
    "cohere_chat": "cohere",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "voyage": "voyageai",
    "azure_ai": "azure",
    "github_copilot": "github-copilot",
    "text-completion-openai": "openai",
}
"""Where litellm's word for a provider is not the table's."""

_PROVIDER_OF_KIND: Final = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}

# Within one company, a second list of the same models at the same prices.
_SAME_LIST: Final = {"vertex_ai": "google"}

# What may follow a model's name and mark a dated or numbered snapshot of it, or Bedrock's version of its wrapping.
_SNAPSHOT: Final = re.compile(r"(?:[-@]20\d\d-?[01]\d-?[0-3]\d|-[01]\d-20\d\d|-00\d|-latest|@default)$")
_BEDROCK_VERSION: Final = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$")
_BEDROCK_API: Final = re.compile(r"^(?:converse|converse_like|invoke)/")


def listed_as(kind: str, base_url: str | None, model: str) -> tuple[str, str] | None:
    """The provider and the model that tables would list a deployment's model under, None where nobody can know."""
    provider = provider_of(kind, base_url, model)
    if provider is None:
        return None
    return provider, model.split("/", 1)[1] if kind == "litellm" else model


def names_of(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Every pair of provider and name that a model may be listed under, most particular first."""
    for spelling in spellings(model):
        yield provider, spelling
    if same := _SAME_LIST.get(provider):
        yield from names_of(same, model)


def provider_of(kind: str, base_url: str | None, model: str) -> str | None:
    """Whose prices apply. Known hosts and litellm's prefixes tell; a name that an operator chose for a provider does
    not.
    """
    if base_url is not None and (provider := _provider_at(base_url)) is None:
        return None
    if kind == "litellm":
        prefix, slash, _ = model.partition("/")
        if base_url is not None and prefix == "openai":  # litellm's word for whoever speaks OpenAI's format
            return provider
        return PROVIDER_OF_PREFIX.get(prefix, prefix) if slash else None
    return provider if base_url is not None else _PROVIDER_OF_KIND.get(kind)


def _provider_at(base_url: str) -> str | None:
    """The provider whose host this is, or a parent of it."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return None
    labels = host.split(".")
    for start in range(len(labels) - 1):
        if provider := PROVIDER_OF_HOST.get(".".join(labels[start:])):
            return provider
    return None


def spellings(model: str) -> Iterator[str]:
    """A model's name, then what it may be listed under, most particular first.

    `gpt-4o-2024-08-06` is a snapshot of `gpt-4o`; `anthropic.claude-…-20241022-v2:0` is Bedrock's; the organisation
    and id after a fine-tuned model's base (`ft:gpt-4o:acme::id`) say nothing about its price.
    """
    model = _BEDROCK_API.sub("", model)
    yield model
    if model.startswith("ft:") and model.count(":") > 1:
        model = ":".join(model.split(":", 2)[:2])
        yield model
    for pattern in (_BEDROCK_VERSION, _SNAPSHOT):
        if (shorter := pattern.sub("", model)) != model:
            model = shorter
            yield model
