"""Writes `config/prices/prices-DATE.json` from the installed genai-prices and litellm's bundled map.

Both packages are MIT-licensed and are read as data: litellm is never imported, nothing is fetched. genai-prices goes
first, since it keeps the dates of changes; litellm adds the models that it lacks and, where both say the same of a
model's plain rates, what only litellm knows of it: services, rare rates, and tiers of models that genai-prices has none
for and never had.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
from collections import Counter
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.prices import from_genai, from_litellm
from gateway.prices.lines import RATE_WORDS, Line, Source, Table, render
from gateway.prices.table import PriceTable
from gateway.prices.updating import as_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.prices.foreign import Found

PLAIN = ("input", "output")
SHIPPED = Path(__file__).resolve().parent.parent / "config" / "prices"


def genai_document() -> list[dict[str, Any]]:
    """The installed genai-prices as its JSON has it."""
    from genai_prices.data import providers  # noqa: PLC0415 - 0.2 s that --help need not wait for

    return [
        {
            "id": provider.id,
            "models": [
                {"id": model.id, "match": _plain(model.match), "prices": _plain(model.prices)}
                for model in provider.models
            ],
        }
        for provider in providers
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - genai-prices' types share no base
    """A value of genai-prices' classes in the words of its JSON."""
    if value is None or isinstance(value, str | int | Decimal):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return {name.rstrip("_"): _plain(one) for name, one in vars(value).items() if one is not None}


def litellm_map() -> dict[str, dict[str, Any]]:
    """litellm's bundled price map, read from the installed wheel."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("litellm is not installed here: pip install '.[litellm]'")
    folder = Path(spec.submodule_search_locations[0])
    content = (folder / "model_prices_and_context_window_backup.json").read_bytes()
    decoder = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=Decimal)
    return decoder.decode(content)


def build(today: dt.date, document: Iterable[Mapping[str, Any]], entries: Mapping[str, Mapping[str, Any]]) -> Table:
    """genai-prices first; of litellm's map what it lacks."""
    first, more = from_genai.found_in(document), from_litellm.found_in(entries)
    sources = {
        name: Source(name, version(name), "MIT", today.isoformat()) for name in (from_genai.NAME, from_litellm.NAME)
    }
    known = PriceTable.of_bytes(render(as_table(first, today.isoformat(), sources)))
    for exactly in (True, False):  # a model's own entry goes before those of its snapshots
        _add(first, more, known, today, exactly=exactly)
    return as_table(first, today.isoformat(), sources)


def _add(first: Found, more: Found, known: PriceTable, today: dt.date, *, exactly: bool) -> None:
    for provider, models in more.models.items():
        for name, (line,) in models.items():
            found = known.model_of(provider, name)
            if found is None:
                first.models.setdefault(provider, {}).setdefault(name, (line,))
            elif (found.name == name) is exactly:
                own = first.models[found.provider]
                own[found.name] = supplemented(own[found.name], line, today)


def supplemented(lines: tuple[Line, ...], other: Line, today: dt.date) -> tuple[Line, ...]:
    """A model's lines with what only `other` knows of the rates in force, where both agree on the plain ones."""
    at = max((at for at, line in enumerate(lines) if (line.begins or "") <= today.isoformat()), default=0)
    line = lines[at]
    if any((getattr(line, word) or 0) != (getattr(other, word) or 0) for word in PLAIN):
        return lines
    had_tiers = any(one.above for one in lines)
    rates = {word: value for word in RATE_WORDS if (value := _either(line, other, word)) is not None}
    merged = Line(
        source=line.source,
        begins=line.begins,
        above=line.above if had_tiers else other.above,
        services=line.services or other.services,
        lacks=line.lacks,
        **rates,
    )
    if merged == line:
        return lines
    source = line.source if other.source in line.source else f"{line.source}+{other.source}"
    return (*lines[:at], msgspec.structs.replace(merged, source=source), *lines[at + 1 :])


def _either(line: Line, other: Line, word: str) -> Decimal | None:
    stated: Decimal | None = getattr(line, word)
    told: Decimal | None = None if word in PLAIN else getattr(other, word)
    return told if stated is None else stated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=dt.date.fromisoformat, default=dt.datetime.now(tz=dt.UTC).date())
    parser.add_argument("--into", type=Path, default=SHIPPED)
    options = parser.parse_args()
    table = build(options.date, genai_document(), litellm_map())
    options.into.mkdir(parents=True, exist_ok=True)
    path = options.into / f"prices-{table.date}.json"
    path.write_bytes(render(table))
    lines = [lines for models in table.models.values() for lines in models.values()]
    sources = Counter(found[-1].source for found in lines)
    print(f"{path}: {len(lines)} models, {dict(sources)}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
