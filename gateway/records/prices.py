"""The price table that ships with Pointsman, and which of its lines a deployment's tokens cost.

Read once at the start for the configured deployments and then dropped: the file holds thousands of models, a gateway
a few. `scripts/make_prices.py` writes the file; arithmetic is `policies.pricing`'s.

How a model finds its line: the provider is known from where requests go (`provider_of`), never guessed from a
model's name; within the provider the name must be listed, as such or without what marks a snapshot (`spellings`). No
line, no price: an unknown price is None and never zero, and a self-hosted `gpt-4o` is not OpenAI's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from gateway.data_files import data_dir
from policies.vocabulary import Price

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT: Final = 1

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


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One model's rates in nano-USD per million tokens, absent where none is published.

    `tiered`: the provider has further rates (long prompts, times of day, reasoning); the table holds the base rate,
    or of rates that change with the hour the dearest.
    """

    provider: str
    model: str
    source: str
    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    output: int | None = None
    tiered: bool = False
    aliases: tuple[str, ...] = ()


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that the lines were taken from, and the day on which that was done."""

    package: str
    version: str
    licence: str
    as_of: str


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as a whole."""

    format: int
    date: str
    unit: str
    sources: dict[str, Source]
    models: list[Line]


class PriceTable:
    """Looks prices up. Keep it no longer than the configuration takes to build."""

    def __init__(self, file: TableFile) -> None:
        self._date = file.date
        self._sources = file.sources
        self._lines = {(line.provider, alias): line for line in file.models for alias in line.aliases}
        self._lines.update({(line.provider, line.model): line for line in file.models})

    @classmethod
    def load(cls, path: Path | None = None) -> PriceTable:
        """The table at `path`, or the newest that ships. Raises `FileNotFoundError`, or `ValueError` for a broken
        file.
        """
        path = path or newest_table()
        try:
            file = msgspec.json.decode(path.read_bytes(), type=TableFile)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path} is not a price table: {error}") from error
        if file.format != FORMAT:
            raise ValueError(f"{path} has price table format {file.format}; this Pointsman reads format {FORMAT}")
        return cls(file)

    def price_of(self, kind: str, base_url: str | None, model: str) -> Price | None:
        """The price of `model` at a provider of this kind, reached at `base_url` (None: the kind's own address)."""
        listed = listed_as(kind, base_url, model)
        line = None if listed is None else self.line_of(*listed)
        return None if line is None else self._price(line)

    def line_of(self, provider: str, model: str) -> Line | None:
        """The table's line for a provider's model: by its name, else by the name of which it is a snapshot."""
        return next((line for name in names_of(provider, model) if (line := self._lines.get(name))), None)

    def _price(self, line: Line) -> Price:
        source = self._sources[line.source]
        tier = ", base of several rates" if line.tiered else ""
        return Price(
            id=f"{line.provider}/{line.model}@{self._date}",
            source=f"{source.package} {source.version}{tier}",
            as_of=source.as_of,
            input_nanousd=line.input,
            cached_input_nanousd=line.cached_input,
            cache_write_nanousd=line.cache_write,
            output_nanousd=line.output,
        )


def newest_table() -> Path:
    """The shipped table with the latest date in its name."""
    tables = sorted((data_dir() / "prices").glob("prices-*.json"))
    if not tables:
        raise FileNotFoundError(f"no price table in {data_dir() / 'prices'}: run scripts/make_prices.py")
    return tables[-1]


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
