"""A price table brought up to date from a file: what changed begins today, what was stays as history.

The file is somebody else's and hostile until proven otherwise: bounded in size, every name and rate looked at, and
refused whole where one of them cannot be.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.prices import from_genai, from_litellm
from gateway.prices.foreign import Found, rate, text
from gateway.prices.lines import Line, Service, Source, Table, Words, rate_words
from gateway.prices.table import PriceTable, day_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BYTES_MAX: Final = 32 << 20
MODELS_MAX: Final = 50_000
TIERS_MAX: Final = 20
LINES_MAX: Final = 200
"""Of one model: a price that changes weekly for four years."""


class Read(NamedTuple):
    """What a file was found to be, and what it says."""

    form: str
    found: Found
    sources: Mapping[str, Source]


def as_table(found: Found, date: str, sources: Mapping[str, Source]) -> Table:
    return Table(date, dict(sources), found.models, found.aliases)


def read(content: bytes, today: str) -> Read:
    """What a file says. Raises `ValueError` where it is none of the formats or holds what cannot be."""
    if len(content) > BYTES_MAX:
        raise ValueError(f"is larger than {BYTES_MAX >> 20} MiB")
    try:
        document = msgspec.json.Decoder(float_hook=Decimal).decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error
    read = _read(content, document, today)
    models = sum(map(len, read.found.models.values()))
    if not models or models > MODELS_MAX:
        raise ValueError(f"prices {models:,} models; 1 to {MODELS_MAX:,} are taken")
    return read


def _read(content: bytes, document: Any, today: str) -> Read:  # noqa: ANN401 - whatever JSON holds
    if isinstance(document, dict) and "format" in document:
        table = PriceTable.of_bytes(content)
        return Read("a Pointsman price table", _checked(table), table.sources)
    for form in (from_genai, from_litellm):
        if form.looks_like(document):
            source = {form.NAME: Source(form.NAME, today, "MIT", today)}
            try:
                return Read(f"JSON of {form.NAME}", form.found_in(document), source)
            except (AttributeError, TypeError, ArithmeticError, RecursionError) as error:
                raise ValueError(f"is not what it looks like: {error}") from error
    raise ValueError("is neither a Pointsman price table nor litellm's nor genai-prices' JSON")


def _checked(table: PriceTable) -> Found:
    """All of a table's lines, looked at one by one."""
    day_s(table.date)
    found = Found({}, table.aliases())
    for model in table.models():
        name = f"{text(model.provider, 'a provider')}/{text(model.name, 'a model')}"
        check_lines(name, model.lines)
        found.models.setdefault(model.provider, {})[model.name] = model.lines
    return found


def check_lines(name: str, lines: tuple[Line, ...]) -> None:
    """Raises `ValueError` for rates that cannot be and days out of order."""
    if not 0 < len(lines) <= LINES_MAX:
        raise ValueError(f"{name}: has {len(lines)} lines; 1 to {LINES_MAX} are taken")
    begins = [0.0 if line.begins is None else day_s(line.begins) for line in lines]
    if begins != sorted(set(begins)):
        raise ValueError(f"{name}: its lines are not in the order of their days")
    for line in lines:
        for service in line.services:
            text(service, f"{name}: a service")
        for words in _all_words(name, line):
            for word, amount in rate_words(words).items():
                rate(amount, f"{name}: {word}")


def _all_words(name: str, line: Line) -> Iterator[Words]:
    sides: tuple[Line | Service, ...] = (line, *line.services.values())
    for told in sides:
        yield told
        tiers = told.above or ()
        lengths = {tier.tokens for tier in tiers}
        if len(lengths) < len(tiers) or any(tokens < 0 for tokens in lengths) or len(tiers) > TIERS_MAX:
            raise ValueError(f"{name}: its tiers are too many, below no tokens, or twice of one length")
        yield from tiers


def updated(old: Table, new: Read, today: str) -> Table:
    """The old table with what the new file says from `today` on. What the file does not name stays as it is."""
    names = _names_of_sources(old, new)
    sources = {**old.sources, **{names[name]: source for name, source in new.sources.items()}}
    models = {provider: dict(known) for provider, known in old.models.items()}
    for provider, found in new.found.models.items():
        known = models.setdefault(provider, {})
        for name, lines in found.items():
            told = tuple(_renamed(line, names) for line in lines)
            known[name] = continued(known.get(name, ()), told, today)
    aliases = {provider: dict(known) for provider, known in old.aliases.items()}
    for provider, more in new.found.aliases.items():
        aliases.setdefault(provider, {}).update(more)
    every = (line for known in models.values() for found in known.values() for line in found)
    used = {word for line in every for word in line.source.split("+")}
    return Table(today, {name: source for name, source in sources.items() if name in used}, models, aliases)


def continued(old: tuple[Line, ...], new: tuple[Line, ...], today: str) -> tuple[Line, ...]:
    """A model's lines up to today as they were, then from today on what the new ones say.

    Where they say the same of today and nothing of later, all stays: a source without dates does not undo an announced
    change.
    """
    past = tuple(line for line in old if (line.begins or "") <= today)
    current = next((line for line in reversed(new) if (line.begins or "") <= today), None)
    coming = tuple(line for line in new if (line.begins or "") > today)
    if not past:
        return new
    if current is None or rates_of(past[-1]) == rates_of(current):
        return (*past, *(coming or old[len(past) :]))
    before = past[:-1] if past[-1].begins == today else past
    if not before:
        return (current, *coming)
    if rates_of(before[-1]) == rates_of(current):
        return (*before, *coming)
    return (*before, msgspec.structs.replace(current, begins=today), *coming)


def rates_of(line: Line) -> Line:
    """A line without its day and its source: what it costs."""
    return msgspec.structs.replace(line, begins=None, source="", lacks=())


def _renamed(line: Line, names: Mapping[str, str]) -> Line:
    source = "+".join(names.get(word, word) for word in line.source.split("+"))
    return msgspec.structs.replace(line, source=source)


def _names_of_sources(old: Table, new: Read) -> dict[str, str]:
    """What the new file's sources are called beside the old ones: another version of one is another source."""
    return {
        name: name if old.sources.get(name, source) == source else f"{name}-{source.version}"
        for name, source in new.sources.items()
    }
