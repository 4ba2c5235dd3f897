"""The lines of a price table as its file has them: the words of a deployment's `price`, in USD per million tokens.

Format 2 holds a model on a line: one set of rates, or a list of them in the order of the days from which they hold. It
is read lazily, since a file knows thousands of models and a gateway a few; format 1, which had base rates only, is read
too.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 2
UNIT: Final = "USD per million tokens; request and search per one"
NANO: Final = 1_000_000_000
# What a model may be called, and how often its price may have changed: a table is data from elsewhere.
NAME_CHARS_MAX: Final = 200
_Usd = Decimal | None


class Words(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Rates, absent where nobody published one; `request` and `search` are for one of them."""

    input: _Usd = None
    cached_input: _Usd = None
    cache_write: _Usd = None
    cache_write_1h: _Usd = None
    output: _Usd = None
    reasoning: _Usd = None
    input_audio: _Usd = None
    cached_audio: _Usd = None
    input_image: _Usd = None
    output_audio: _Usd = None
    output_image: _Usd = None
    request: _Usd = None
    search: _Usd = None


RATE_WORDS: Final = Words.__struct_fields__


class Above(Words, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Rates of a request with more input than so many tokens; what is absent is as below."""

    tokens: int


class Service(Words, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Rates of another tier of service. `above` None: nobody says what long prompts cost there, if they cost more
    elsewhere; empty: the same.
    """

    above: tuple[Above, ...] | None = None


class Line(Words, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What one model costs, from the day `begins` on (None: since ever).

    `source` names one of the file's sources, or several joined by `+`. `lacks`: what the provider charges for besides,
    and no line can hold; of rates that change with the hour the line has the dearest.
    """

    source: str
    begins: str | None = msgspec.field(default=None, name="from")
    above: tuple[Above, ...] = ()
    services: dict[str, Service] = msgspec.field(default_factory=dict)
    lacks: tuple[str, ...] = ()


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lines were taken from, and the day on which that was done."""

    package: str
    version: str
    licence: str
    as_of: str


class Shelf(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One provider's models, each undecoded, and what else they are called."""

    aliases: dict[str, str] = msgspec.field(default_factory=dict)
    models: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as a whole, its providers undecoded."""

    format: int
    date: str
    unit: str
    sources: dict[str, Source]
    providers: dict[str, msgspec.Raw]


class Model(msgspec.Struct, frozen=True):
    """One model of a table; `lines` in the order of the days from which they hold."""

    provider: str
    name: str
    lines: tuple[Line, ...]


class Table(msgspec.Struct):
    """A table taken apart, as it is made or brought up to date: by provider the models, and the aliases."""

    date: str
    sources: dict[str, Source]
    models: dict[str, dict[str, tuple[Line, ...]]]
    aliases: dict[str, dict[str, str]]


_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_lines: Final = msgspec.json.Decoder(Line | list[Line])


def decode_lines(raw: msgspec.Raw | bytes) -> tuple[Line, ...]:
    """A model's lines. Raises `ValueError`."""
    try:
        found = _lines.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    lines = (found,) if isinstance(found, Line) else tuple(found)
    days = [line.begins or "" for line in lines]
    if not lines or days != sorted(set(days)):
        raise ValueError("has no rates, or not in the order of the days that they begin")
    return lines


def encode_lines(lines: tuple[Line, ...]) -> bytes:
    return _encode(lines[0] if len(lines) == 1 else lines)


def render(table: Table) -> bytes:
    """The file with one line per model, so that a diff of it reads as a list of price changes."""
    head = TableFile(FORMAT, table.date, UNIT, dict(sorted(table.sources.items())), {})
    parts = [_encode(head).removesuffix(b"}}") + b"\n"]
    shelves = [_shelf(table, provider) for provider in sorted(table.models)]
    return b"".join([*parts, b",\n".join(shelves), b"\n}}\n"])


def _shelf(table: Table, provider: str) -> bytes:
    aliases = dict(sorted(table.aliases.get(provider, {}).items()))
    told = b'"aliases":' + _encode(aliases) + b"," if aliases else b""
    models = sorted(table.models[provider].items())
    lines = b",\n".join(_encode(name) + b":" + encode_lines(found) for name, found in models)
    return _encode(provider) + b":{" + told + b'"models":{\n' + lines + b"\n}}"


def usd(nanousd: int) -> Decimal:
    """An amount as tables write it."""
    exact = Decimal(nanousd).scaleb(-9).normalize()
    return exact.quantize(Decimal(1)) if exact == exact.to_integral_value() else exact


def rate_words(words: Words) -> dict[str, Decimal]:
    """The rates that are there, by their word."""
    return {word: rate for word in RATE_WORDS if (rate := getattr(words, word)) is not None}


def from_format_1(document: Mapping[str, Any]) -> tuple[dict[str, Source], dict[str, Shelf]]:
    """What a file of format 1 holds. Raises `ValueError`."""
    old = msgspec.convert(document, _File1)
    shelves: dict[str, Shelf] = {}
    for line in old.models:
        shelf = shelves.setdefault(line.provider, Shelf())
        rates = {word: None if rate is None else usd(rate) for word, rate in line.rates().items()}
        lacks = ("tiers",) if line.tiered else ()
        known = msgspec.structs.replace(Line(source=line.source, lacks=lacks), **rates)
        shelf.models[line.model] = msgspec.Raw(encode_lines((known,)))
        shelf.aliases.update(dict.fromkeys(line.aliases, line.model))
    return old.sources, shelves


class _Line1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nano-USD per million tokens."""

    provider: str
    model: str
    source: str
    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    output: int | None = None
    tiered: bool = False
    aliases: tuple[str, ...] = ()

    def rates(self) -> dict[str, int | None]:
        return {word: getattr(self, word) for word in ("input", "cached_input", "cache_write", "output")}


class _File1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    date: str
    unit: str
    sources: dict[str, Source]
    models: list[_Line1]
