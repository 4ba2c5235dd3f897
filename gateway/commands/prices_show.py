"""`pointsman prices show`: what a model or a deployment costs, since when and until when, and who says so."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.commands.asked_policy import policy_of
from gateway.config.compile import deployments
from gateway.config.compile_prices import tables_of
from gateway.config.owners import moment
from gateway.config.problems import did_you_mean
from gateway.errors import StartError
from gateway.prices.lines import RATE_WORDS, usd
from gateway.prices.table import PriceTables
from gateway.prices.whose import listed_as
from gateway.scrubbing import printable
from gateway.state.ledger.prices import rates_of
from gateway.tables import table, terminal_width
from policies.adjusting import mark
from policies.rates import base_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gateway.config import Config
    from gateway.prices.lines import Line, Model
    from gateway.prices.table import PriceTable
    from policies.tariffs import Price, Rates, Tier
    from policies.vocabulary import Deployment

OK: Final = 0
REFUSED: Final = 2


class Question(NamedTuple):
    """What is asked for: a model of the tables, a deployment, all of a policy's, or neither: the tables themselves."""

    model: str | None
    deployment: str | None
    config: Path | None
    at: str | None


class Asked(NamedTuple):
    """The same with all that is needed to answer it."""

    config: Config | None
    tables: PriceTables
    at_s: float


class Listing(NamedTuple):
    """A model as a table has it."""

    model: Model
    price: Price
    table_date: str


class NothingToShow(Exception):  # noqa: N818 - it says why
    pass


def run(question: Question, *, as_json: bool) -> int:
    """Exit code 2 where there is nothing to show; why stands on standard error."""
    try:
        asked = _asked(question)
        told = _told(question, asked)
    except (NothingToShow, StartError, OSError, ValueError) as problem:
        sys.stderr.write(f"pointsman prices show: {problem}\n")
        return REFUSED
    document, text = told
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() if as_json else text)
    sys.stdout.write("\n")
    return OK


def _asked(question: Question) -> Asked:
    try:
        at_s = time.time() if question.at is None else moment(question.at).timestamp()
    except ValueError as problem:
        raise NothingToShow(f"--at {problem}") from None
    config = None if question.config is None else policy_of(question.config)
    if question.config is not None and config is None:
        raise NothingToShow(f"{question.config} cannot be used")
    return Asked(config, PriceTables.load(None, at_s) if config is None else tables_of(config, at_s), at_s)


def _told(question: Question, asked: Asked) -> tuple[Any, str]:
    if question.model is not None:
        found = _listings(question.model, asked)
        return [_document(one) for one in found], "\n\n".join(map(_text, found))
    if asked.config is None:
        return _tables_document(asked), _tables_text(asked)
    known = {one.name: one for one in deployments(asked.config, asked.tables.price_of, None, asked.at_s).values()}
    if question.deployment is None:
        rows = [_row(one) for one in known.values()]
        return {name: _price_document(one.price) for name, one in known.items()}, table(_HEADS, rows, terminal_width())
    deployment = known.get(question.deployment)
    if deployment is None:
        near = did_you_mean(question.deployment, known)
        raise NothingToShow(f"there is no deployment {printable(question.deployment)!r}{near}")
    if deployment.price is None:
        raise NothingToShow(f"{deployment.name} has no price: {why_none(deployment, asked.config, asked.tables)}")
    return _price_document(deployment.price), f"{deployment.name}\n{_price_text(deployment.price)}"


def _listings(name: str, asked: Asked) -> list[Listing]:
    """Every model of this name, of the first table that has it: `openai/gpt-4o` is OpenAI's alone."""
    provider, _, rest = name.partition("/")
    names: set[str] = set()
    for one in asked.tables.tables:
        places = one.aliases().keys()
        found = _listed(one, [provider], rest) if provider in places else []
        if found := found or _listed(one, places, name):
            return found
        names |= {model.name for model in one.models()}
    raise NothingToShow(f"no table has a model {printable(name)!r}{did_you_mean(rest or name, names)}")


def _listed(one: PriceTable, providers: Iterable[str], name: str) -> list[Listing]:
    models = ((provider, one.model_of(provider, name)) for provider in providers)
    return [
        Listing(model, one.price(model), one.date) for provider, model in models if model and model.provider == provider
    ]


def why_none(deployment: Deployment, config: Config, tables: PriceTables) -> str:
    """Why a deployment has no price."""
    provider = config.providers[deployment.provider]
    base_url = None if provider.kind == "llama_cpp" else provider.base_url
    listed = listed_as(provider.kind, base_url, deployment.model)
    if listed is None:
        what = (
            "its provider is none that publishes prices, and the policy states none (price, or gpu with tokens_per_s)"
        )
    else:
        names = {model.name for one in tables.tables for model in one.models() if model.provider == listed[0]}
        near = did_you_mean(listed[1], names)
        what = f"no table lists {printable(listed[1])!r} of {printable(listed[0])}{near}"
    return f"{what}; with prices.unknown: {config.prices.unknown}"


_HEADS: Final = ("deployment", "input", "cached", "output", "USD per million", "as of", "version", "id")


def _row(deployment: Deployment) -> list[object]:
    price = deployment.price
    if price is None:
        return [deployment.name, *[None] * 3, "unpriced", None, None, None]
    rates = (price.input_nanousd, price.cached_input_nanousd, price.output_nanousd)
    shown = [None if rate is None else f"{usd(rate):f}" for rate in rates]
    return [deployment.name, *shown, price.source, price.as_of or None, price.version or None, price.id]


def _text(found: Listing) -> str:
    model, price = found.model, found.price
    lines = [
        f"{printable(model.provider)}/{printable(model.name)}, table of {printable(found.table_date)}",
        _price_text(price),
    ]
    if len(model.lines) > 1:
        lines += ["history", *(f"  {_line_text(line)}" for line in model.lines)]
    if lacks := sorted({word for line in model.lines for word in line.lacks}):
        lines.append(f"charged besides, and not in the table: {printable(', '.join(lacks), 300)}")
    return "\n".join(lines)


def _line_text(line: Line) -> str:
    rates = ", ".join(f"{word} {getattr(line, word):f}" for word in RATE_WORDS if getattr(line, word) is not None)
    tiers = "".join(f", above {tier.tokens:,} other rates" for tier in line.above)
    return f"{line.begins or 'before'}: {rates}{tiers} ({printable(line.source)})"


def _price_text(price: Price) -> str:
    columns = list(_columns(price))
    words = [word for word in RATE_WORDS if any(_rate(rates, word) is not None for _, rates in columns)]
    rows = [[word, *(_shown(_rate(rates, word)) for _, rates in columns)] for word in words]
    heads = ["USD per million tokens", *(printable(head) for head, _ in columns)]
    about = [("source", price.source), ("version", price.version), ("as of", price.as_of), ("id", price.id)]
    if price.adjusted is not None:
        about.append(("adjusted", f"{mark(price.adjusted)} of what is published"))
    lines = [f"{name:<8}  {printable(value)}" for name, value in about if value]
    lines.append(table(heads, rows, terminal_width()))
    if price.rare is not None and (price.rare.request_nanousd is not None or price.rare.search_nanousd is not None):
        lines.append("request and search: USD for one")
    if price.later is not None:
        lines.append(f"from {_day(price.later[0])} on\n{_price_text(price.later[1])}")
    return "\n".join(lines)


def _columns(price: Price) -> Iterator[tuple[str, Rates]]:
    yield "standard", base_rates(price)
    yield from _tier_columns("", price.tiers)
    for name, tariff in price.services:
        yield name, tariff.rates
        yield from _tier_columns(f"{name} ", tariff.tiers)


def _tier_columns(prefix: str, tiers: tuple[Tier, ...]) -> Iterator[tuple[str, Rates]]:
    return ((f"{prefix}above {tier.above_input_tokens:,}", tier.rates) for tier in tiers)


def _rate(rates: Rates, word: str) -> int | None:
    side = rates if f"{word}_nanousd" in rates._fields else rates.rare
    found: int | None = getattr(side, f"{word}_nanousd", None)
    return found


def _shown(nanousd: int | None) -> str | None:
    return None if nanousd is None else f"{usd(nanousd):f}"


def _document(found: Listing) -> dict[str, Any]:
    """In nano-USD, as the ledger keeps prices; `history` is as the table has it, in USD."""
    history = msgspec.to_builtins(found.model.lines, builtin_types=())
    names = {"provider": found.model.provider, "model": found.model.name, "table": found.table_date}
    return names | {"price": _price_document(found.price), "history": history}


def _price_document(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    told: dict[str, Any] = {"id": price.id} | msgspec.json.decode(rates_of(price))
    if price.later is not None:
        told["later"] = {"from": _day(price.later[0]), "price": _price_document(price.later[1])}
    return told


def _day(unix_s: float) -> str:
    at = datetime.fromtimestamp(unix_s, UTC)
    return f"{at:%Y-%m-%d}" if unix_s % 86_400 == 0 else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _tables_document(asked: Asked) -> list[dict[str, Any]]:
    return [
        {
            "date": one.date,
            "sources": msgspec.to_builtins(one.sources),
            "models": sum(1 for _ in one.models()),
            "providers": sorted(one.aliases()),
        }
        for one in asked.tables.tables
    ]


def _tables_text(asked: Asked) -> str:
    rows = [
        [
            one["date"],
            one["models"],
            len(one["providers"]),
            [f"{s['package']} {s['version']}" for s in one["sources"].values()],
        ]
        for one in _tables_document(asked)
    ]
    told = table(("table", "models", "providers", "sources"), rows, terminal_width())
    return f"{told}\n`pointsman prices show MODEL` has the rates of one."
