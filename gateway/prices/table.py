"""Price tables: the one that ships with Pointsman, one that the operator brought up to date, and what a model costs.

Read once at the start for the configured deployments and then dropped. Only the lines that are asked for are decoded:
`scripts/make_prices.py` writes thousands. No line, no price: an unknown price is None and never zero.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.data_files import newest_table
from gateway.prices.lines import (
    FORMAT,
    NANO,
    Model,
    Shelf,
    Source,
    Table,
    TableFile,
    decode_lines,
    from_format_1,
    rate_words,
)
from gateway.prices.making import Named, ServiceWords, Terms, price_of, terms_of
from gateway.prices.whose import listed_as, names_of
from policies.rounding import half_even
from policies.tariffs import PriceSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal
    from pathlib import Path

    from gateway.prices.lines import Line, Words
    from policies.tariffs import Price

RATE_MAX_USD: Final = 1_000_000
_FORMAT_1: Final = 1
_DAY_CHARS: Final = len("2026-12-01")

# Anthropic's page on prompt caching (platform.claude.com, read 2026-11): reading costs a tenth of input, writing for
# five minutes 1.25 times it, for an hour twice. Only for its own models where a line has no rate of their own.
_SHARES_OF_INPUT: Final = {
    "anthropic": {"cached_input": (1, 10), "cache_write": (5, 4), "cache_write_1h": (2, 1)},
}


class _Head(msgspec.Struct):
    format: int
    date: str


class BrokenTable(ValueError):  # noqa: N818 - it names what is broken
    """A table can be used but for a line that was asked for."""


class PriceTable:
    """Looks prices up, as they are at `now_s`. Keep it no longer than the configuration takes to build."""

    def __init__(
        self, date: str, sources: dict[str, Source], shelves: dict[str, msgspec.Raw | Shelf], now_s: float | None = None
    ) -> None:
        self.date = date
        self.sources = sources
        self._shelves = shelves
        self._now_s = time.time() if now_s is None else now_s

    @classmethod
    def load(cls, path: Path | None = None, now_s: float | None = None) -> PriceTable:
        """The table at `path`, or the newest that ships. Raises `OSError`, or `ValueError` for a broken file."""
        path = path or newest_table("prices")
        try:
            return cls.of_bytes(path.read_bytes(), now_s)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error

    @classmethod
    def of_bytes(cls, content: bytes, now_s: float | None = None) -> PriceTable:
        """Raises `ValueError`, which says what a file with this content is not."""
        try:
            file = msgspec.json.decode(content, type=TableFile)
        except (msgspec.DecodeError, RecursionError) as error:
            return cls(*_of_another_format(content, error), now_s)
        if file.format != FORMAT:
            raise ValueError(_wrong(file.format))
        return cls(file.date, file.sources, dict(file.providers), now_s)

    def price_of(self, kind: str, base_url: str | None, model: str) -> Price | None:
        """The price of `model` at a provider of this kind, reached at `base_url` (None: the kind's own address).

        Raises `ValueError` where the line is broken.
        """
        listed = listed_as(kind, base_url, model)
        found = None if listed is None else self.model_of(*listed)
        return None if found is None else self.price(found)

    def model_of(self, provider: str, name: str) -> Model | None:
        """The table's lines for a provider's model: by its name, else by the name of which it is a snapshot."""
        return next((found for names in names_of(provider, name) if (found := self._listed(*names))), None)

    def price(self, model: Model) -> Price:
        """What a model of this table costs at the table's moment."""
        return price_of(self.terms(model), self._now_s)

    def terms(self, model: Model) -> list[Terms]:
        """All that the table knows of a model, in the order of time. Raises `ValueError`."""
        return [self._terms(model, line) for line in model.lines]

    def models(self) -> Iterator[Model]:
        """Every model. Raises `ValueError` at the first that is broken."""
        for provider in self._shelves:
            for name in self._shelf(provider).models:
                if found := self._line(provider, name):
                    yield found

    def aliases(self) -> dict[str, dict[str, str]]:
        """By provider, what models are called besides."""
        return {provider: dict(self._shelf(provider).aliases) for provider in self._shelves}

    def table(self) -> Table:
        """All of it, decoded. Raises `ValueError` at the first line that is broken."""
        models: dict[str, dict[str, tuple[Line, ...]]] = {}
        for model in self.models():
            models.setdefault(model.provider, {})[model.name] = model.lines
        return Table(self.date, self.sources, models, self.aliases())

    def _listed(self, provider: str, name: str) -> Model | None:
        if provider not in self._shelves:
            return None
        shelf = self._shelf(provider)
        return self._line(provider, name if name in shelf.models else shelf.aliases.get(name, name))

    def _line(self, provider: str, name: str) -> Model | None:
        raw = self._shelf(provider).models.get(name)
        try:
            return None if raw is None else Model(provider, name, decode_lines(raw))
        except ValueError as error:
            raise ValueError(f"has a broken line for {provider}/{name}: {error}") from error

    def _shelf(self, provider: str) -> Shelf:
        shelf = self._shelves[provider]
        if isinstance(shelf, msgspec.Raw):
            try:
                shelf = self._shelves[provider] = msgspec.json.decode(shelf, type=Shelf)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ValueError(f"has a broken list of {provider}'s models: {error}") from error
        return shelf

    def _terms(self, model: Model, line: Line) -> Terms:
        name = f"{model.provider}/{model.name}@{self.date}"
        sources = [self.sources[word] for word in line.source.split("+") if word in self.sources]
        version = " + ".join(f"{source.package} {source.version}" for source in sources)
        named = Named(name, PriceSource.TABLE.value, version, sources[0].as_of if sources else self.date)
        return terms_of(
            named,
            _nanousd(line, model.provider),
            [(tier.tokens, _nanousd(tier, model.provider)) for tier in line.above],
            {name: _service(told, model.provider) for name, told in line.services.items()},
            None if line.begins is None else day_s(line.begins),
        )


class PriceTables:
    """Tables in the order in which they are asked: the operator's own, where there is one, before the shipped."""

    def __init__(self, tables: Sequence[PriceTable]) -> None:
        self.tables = tuple(tables)

    @classmethod
    def load(cls, own: Path | None = None, now_s: float | None = None) -> PriceTables:
        """Raises `OSError` or `ValueError`."""
        shipped = PriceTable.load(now_s=now_s)
        return cls((shipped,) if own is None else (PriceTable.load(own, now_s), shipped))

    @property
    def date(self) -> str:
        """The day of the table that is asked first."""
        return self.tables[0].date

    def price_of(self, kind: str, base_url: str | None, model: str) -> Price | None:
        """As of the first table that has it. Raises `BrokenTable`."""
        for table in self.tables:
            try:
                price = table.price_of(kind, base_url, model)
            except ValueError as error:
                raise BrokenTable(f"the table of {table.date} {error}") from error
            if price is not None:
                return price
        return None


def _of_another_format(
    content: bytes, error: msgspec.DecodeError | RecursionError
) -> tuple[str, dict[str, Source], dict[str, msgspec.Raw | Shelf]]:
    """What a file of format 1 holds. Raises `ValueError` where it is none."""
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.format == _FORMAT_1:
            sources, shelves = from_format_1(msgspec.json.decode(content))
            return head.date, sources, dict(shelves)
    except (msgspec.DecodeError, RecursionError) as worse:
        raise ValueError(f"is not a price table: {worse}") from worse
    raise ValueError(f"is not a price table: {error}" if head.format == FORMAT else _wrong(head.format)) from error


def _wrong(form: int) -> str:
    return f"has price table format {form}; this Pointsman reads formats 1 and {FORMAT}"


def day_s(date: str) -> float:
    """The first moment of a day in UTC, in Unix seconds. Raises `ValueError`."""
    is_usual = len(date) == _DAY_CHARS and date[4] == date[7] == "-"  # ISO has other ways to write a day
    try:
        return datetime.fromisoformat(date if is_usual else "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ValueError(f"has a day that is none, such as 2026-12-01: {date[:20]!r}") from None


def _service(told: Words, provider: str) -> ServiceWords:
    above = getattr(told, "above", None)
    tiers = None if above is None else [(tier.tokens, _nanousd(tier, provider)) for tier in above]
    return ServiceWords(_nanousd(told, provider), tiers)


def _nanousd(words: Words, provider: str) -> dict[str, int]:
    """The rates by their word in whole nano-USD, with what is known of a provider where the line says nothing."""
    rates = {word: _whole(word, rate) for word, rate in rate_words(words).items()}
    if "input" in rates:
        for word, (share, of) in _SHARES_OF_INPUT.get(provider, {}).items():
            rates.setdefault(word, half_even(rates["input"] * share, of))
    return rates


def _whole(word: str, usd: Decimal) -> int:
    if not usd.is_finite() or not 0 <= usd <= RATE_MAX_USD:
        raise ValueError(f"has a rate that cannot be: {word} {usd:.30}")
    return round(usd * NANO)
