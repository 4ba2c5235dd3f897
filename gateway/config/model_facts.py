"""What is publicly known of providers' models: what each can do, and how much it reads and writes.

`scripts/make_models.py` writes the table from the same sources as the prices, and a model finds its line as it finds
its price. What the table does not say is unknown, which is something else than lacking: a deployment is passed over
only for what its model is known to lack. The operator's own word, in the policy file, goes before all of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.data_files import newest_table
from gateway.prices.lines import Source  # noqa: TC001 - msgspec reads the annotation
from gateway.prices.whose import listed_as, names_of
from policies.route_rules import Capability

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1


class ModelFacts(NamedTuple):
    """What is known of one model; a capability in neither set is unknown, as are tokens that are None.

    `context_tokens` bounds prompt and answer together from above: what does not fit into it fits nowhere.
    """

    has: frozenset[Capability] = frozenset()
    lacks: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    output_tokens_max: int | None = None


FactsOf = Callable[[str, str | None, str], ModelFacts]
"""Provider kind, base URL (None: the kind's own address) and model to what is known of it."""

UNKNOWN: Final = ModelFacts()

_TEXT_ONLY: Final = frozenset({Capability.IMAGES, Capability.AUDIO, Capability.FILES})

BUNDLED: Final = ModelFacts(
    has=frozenset(
        {
            Capability.TOOLS,
            Capability.JSON_MODE,
            Capability.JSON_SCHEMA,
            Capability.STREAM,
            Capability.CHOICES,
            Capability.LOGPROBS,
            Capability.PREFILL,
        }
    ),
    lacks=_TEXT_ONLY,
)
"""The engine that Pointsman brings along, whatever model it runs: it reads text, goes on from the beginning
of an answer, calls tools, if need be as it is told in plain words, and can be held to a grammar."""

# Providers with an API of their own, which the table describes; what their imitation of OpenAI's keeps is less.
_OWN_API: Final = frozenset({"anthropic", "google", "vertex_ai", "aws", "cohere"})
_KEPT_BY_IMITATIONS: Final = frozenset({Capability.TOOLS, Capability.IMAGES})

# They go on from an assistant's message only where it bears a mark that others refuse.
_PREFILL_WANTS_A_MARK: Final = frozenset({"mistral", "codestral", "deepseek"})


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One model as the file has it."""

    provider: str
    model: str
    has: tuple[Capability, ...] = ()
    lacks: tuple[Capability, ...] = ()
    context_tokens: int | None = None
    output_tokens_max: int | None = None


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as a whole."""

    format: int
    date: str
    sources: dict[str, Source]
    models: list[Line]


class ModelTable:
    """Looks models up. Reads its file with the first model that could be in it, so most local set-ups never do."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lines: dict[tuple[str, str], Line] | None = None

    def facts_of(self, kind: str, base_url: str | None, model: str) -> ModelFacts:
        """What is known of `model` at a provider of this kind, reached at `base_url`.

        Raises `FileNotFoundError`, or `ValueError` for a broken file.
        """
        if kind == "llama_cpp":
            return BUNDLED
        listed = listed_as(kind, base_url, model)
        line = None if listed is None else self.line_of(*listed)
        return UNKNOWN if listed is None or line is None else _as_reached(line, kind, listed[0])

    def line_of(self, provider: str, model: str) -> Line | None:
        """The table's line for a provider's model."""
        if self._lines is None:
            self._lines = {(line.provider, line.model): line for line in load(self._path).models}
        lines = self._lines
        return next((line for name in names_of(provider, model) if (line := lines.get(name))), None)


def load(path: Path | None = None) -> TableFile:
    """The file at `path`, or the newest that ships. Raises `FileNotFoundError`, or `ValueError` for a broken one."""
    path = path or newest_table("models")
    try:
        file = msgspec.json.decode(path.read_bytes(), type=TableFile)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a table of models: {error}") from error
    if file.format != FORMAT:
        raise ValueError(f"{path} has model table format {file.format}; this Pointsman reads format {FORMAT}")
    return file


def _as_reached(line: Line, kind: str, provider: str) -> ModelFacts:
    """What is left of a model's abilities on the way that its deployment takes."""
    has = frozenset(line.has)
    if kind == "openai" and provider in _OWN_API:
        has &= _KEPT_BY_IMITATIONS
    elif provider in _PREFILL_WANTS_A_MARK:
        has -= {Capability.PREFILL}
    return ModelFacts(has, frozenset(line.lacks), line.context_tokens, line.output_tokens_max)
