"""`pointsman prices diff OLD NEW`: what became dearer or cheaper between two tables, or two days of one."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.commands.asked_policy import policy_of
from gateway.config.compile_prices import tables_of
from gateway.errors import StartError
from gateway.prices.comparing import compared, in_force
from gateway.prices.table import PriceTable, PriceTables, day_s
from gateway.prices.updating import BYTES_MAX
from gateway.prices.whose import listed_as
from gateway.tables import table, terminal_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Config
    from gateway.prices.comparing import Change, ModelName, RateChange
    from gateway.prices.lines import Line

OK: Final = 0
REFUSED: Final = 2
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Question(NamedTuple):
    """Two tables or days, and whether only the models of a policy are of interest."""

    old: str
    new: str
    config: Path | None
    is_configured_only: bool


class Side(NamedTuple):
    """One state of prices: the tables in the order in which they are asked, and the moment."""

    tables: tuple[PriceTable, ...]
    at_s: float


def run(question: Question, *, as_json: bool) -> int:
    """Exit code 0, whatever changed; 2 where a file cannot be read."""
    try:
        changes = _changes(question)
    except (OSError, ValueError, StartError) as problem:
        sys.stderr.write(f"pointsman prices diff: {problem}\n")
        return REFUSED
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document(changes)), indent=2).decode() + "\n")
    else:
        sys.stdout.write(text(changes) + "\n")
    return OK


def _changes(question: Question) -> list[Change]:
    config = None if question.config is None else policy_of(question.config)
    if question.config is not None and config is None:
        raise ValueError(f"{question.config} cannot be used")
    old, new = (_side(word, config) for word in (question.old, question.new))
    only = _configured(config, (*old.tables, *new.tables)) if config and question.is_configured_only else None
    return compared(_lines(old), _lines(new), only)


def _side(word: str, config: Config | None) -> Side:
    """A day means the tables in use, on that day."""
    if _DAY.fullmatch(word):
        tables = PriceTables.load() if config is None else tables_of(config)
        return Side(tables.tables, day_s(word))
    return Side((read_table(Path(word)),), time.time())


def read_table(path: Path) -> PriceTable:
    """Raises `OSError`, or `ValueError` naming the file."""
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise ValueError(f"{path} is larger than {BYTES_MAX >> 20} MiB")
    try:
        return PriceTable.of_bytes(content)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def _lines(side: Side) -> dict[ModelName, Line]:
    found: dict[ModelName, Line] = {}
    for one in reversed(side.tables):
        found |= in_force(one.models(), side.at_s)
    return found


def _configured(config: Config, tables: Sequence[PriceTable]) -> set[ModelName]:
    """What the policy's deployments are listed as."""
    found: set[ModelName] = set()
    for name, settings in config.deployments.items():
        provider = config.providers[settings.provider]
        base_url = None if provider.kind == "llama_cpp" else provider.base_url
        listed = listed_as(provider.kind, base_url, settings.model or name)
        models = [one.model_of(*listed) for one in tables] if listed is not None else []
        found |= {(model.provider, model.name) for model in models if model is not None}
    return found


def text(changes: Sequence[Change]) -> str:
    """For people: a line for each rate, and how many models there are of each kind."""
    if not changes:
        return "nothing changed"
    rows = [
        [f"{one.provider}/{one.model}", one.kind, rate.word, _usd(rate.before), _usd(rate.after), _percent(rate)]
        for one in changes
        for rate in one.rates
    ]
    kinds = {kind: sum(one.kind == kind for one in changes) for kind in sorted({one.kind for one in changes})}
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    heads = ("model", "change", "rate", "before", "after", "percent")
    return f"{table(heads, rows, terminal_width())}\n{told} (USD per million tokens; request and search for one)"


def document(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {
            "provider": one.provider,
            "model": one.model,
            "change": one.kind,
            "rates": [
                {
                    "rate": rate.word,
                    "before_usd": _usd(rate.before),
                    "after_usd": _usd(rate.after),
                    "percent": _percent(rate),
                }
                for rate in one.rates
            ],
        }
        for one in changes
    ]


def _usd(rate: object) -> str | None:
    return None if rate is None else f"{rate:f}"


def _percent(rate: RateChange) -> str | None:
    return None if rate.percent is None else f"{rate.percent:+.1f}%"
