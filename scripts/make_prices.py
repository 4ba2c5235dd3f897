"""Writes `config/prices/prices-DATE.json` from the installed genai-prices and, for what that lacks, litellm's
bundled map.

Both packages are MIT-licensed and are read as data: litellm is never imported, nothing is fetched. Rates that a
plain line cannot hold (long prompts, hours of the day, one-hour cache writes, batches) are left out, and the line
says `tiered`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
from collections import Counter
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.records.prices import FORMAT, PROVIDER_OF_PREFIX, Line, PriceTable, Source, TableFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SHIPPED = Path(__file__).resolve().parent.parent / "config" / "prices"
UNIT = "nano-USD per million tokens"
NANOUSD = 1_000_000_000
LITELLM_MODES = ("chat", "completion", "responses", "embedding")
RATES = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")


def genai_lines(today: dt.date) -> Iterator[Line]:
    """genai-prices' models at the rates in force on `today`."""
    from genai_prices.data import providers  # noqa: PLC0415 - 0.2 s that --help need not wait for

    for provider in providers:
        shared = _shared_aliases(provider.models)
        for model in provider.models:
            rates, tiered = _rates_today(model.prices, today)
            if rates.get("input_mtok") is None and rates.get("output_mtok") is None:
                continue
            names = sorted(set(plain_names(model.match)) - shared - {model.id})
            yield Line(
                provider=provider.id,
                model=model.id,
                source="genai-prices",
                input=_nanousd(rates.get("input_mtok")),
                cached_input=_nanousd(rates.get("cache_read_mtok")),
                cache_write=_nanousd(rates.get("cache_write_mtok")),
                output=_nanousd(rates.get("output_mtok")),
                tiered=tiered,
                aliases=tuple(names),
            )


def _shared_aliases(models: Iterable[Any]) -> set[str]:
    """Names that would stand for two models, or for one while another bears them: they decide nothing."""
    claims = Counter(name for model in models for name in {*plain_names(model.match), model.id})
    return {name for name, count in claims.items() if count > 1}


def plain_names(match: Any) -> Iterator[str]:  # noqa: ANN401 - genai-prices' clause types share no base
    """The plain names in a match clause. Of `starts with` and `contains` the fragment is kept as a name, not as a
    pattern.
    """
    for clause in getattr(match, "or_", (match,)):
        for field in ("equals", "starts_with", "contains", "ends_with"):
            if name := getattr(clause, field, None):
                yield name.rstrip("-@:").lstrip("/")


def _rates_today(prices: Any, today: dt.date) -> tuple[dict[str, Decimal], bool]:  # noqa: ANN401 - as above
    """The rates in force, and whether there are others beside them. Of rates by the hour the dearest is taken."""
    if not isinstance(prices, list):
        return _base_rates(prices)
    hourly = [option for option in prices if hasattr(option.constraint, "start_time")]
    dated = [
        option for option in prices if option not in hourly and getattr(option.constraint, "start_date", today) <= today
    ]
    rates, tiered = max(
        (_base_rates(option.prices) for option in (dated[-1], *hourly)),
        key=lambda found: found[0].get("output_mtok", Decimal(0)),
    )
    return rates, tiered or bool(hourly)


def _base_rates(price: Any) -> tuple[dict[str, Decimal], bool]:  # noqa: ANN401 - as above
    values = {name: value for name, value in vars(price).items() if name.endswith("_mtok") and value is not None}
    tiered = any(hasattr(value, "tiers") for value in values.values()) or "output_reasoning_mtok" in values
    return {name: getattr(values[name], "base", values[name]) for name in RATES if name in values}, tiered


def litellm_map() -> dict[str, dict[str, Any]]:
    """litellm's bundled price map, read from the installed wheel."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("litellm is not installed here: pip install '.[litellm]'")
    folder = Path(spec.submodule_search_locations[0])
    entries = json.loads((folder / "model_prices_and_context_window_backup.json").read_bytes(), parse_float=Decimal)
    return {str(name): entry for name, entry in entries.items()}


def litellm_lines(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """litellm's token-priced models. A line that is zero throughout stands for an unknown or a local price: left
    out.
    """
    for key, entry in entries.items():
        if entry.get("mode") not in LITELLM_MODES or key == "sample_spec":
            continue
        rates = [_per_million(entry.get(name)) for name in ("input_cost_per_token", "output_cost_per_token")]
        if not any(rates):
            continue
        provider, model = litellm_name(key, entry["litellm_provider"])
        yield Line(
            provider=provider,
            model=model,
            source="litellm",
            input=_nanousd(rates[0]),
            cached_input=_nanousd(_per_million(entry.get("cache_read_input_token_cost"))),
            cache_write=_nanousd(_per_million(entry.get("cache_creation_input_token_cost"))),
            output=_nanousd(rates[1]),
            tiered=any("token_cost_above_" in name or "cost_per_token_above_" in name for name in entry),
        )


def litellm_name(key: str, provider: str) -> tuple[str, str]:
    """The table's provider and the model's name without litellm's prefix (`vertex_ai-anthropic_models` is
    vertex_ai).
    """
    family = provider.split("-", 1)[0] if provider.startswith("vertex_ai") else provider
    for prefix in (provider, family, "bedrock"):
        key = key.removeprefix(f"{prefix}/")
    return PROVIDER_OF_PREFIX.get(family, family), key


def _per_million(usd_per_token: Any) -> Decimal | None:  # noqa: ANN401 - whatever JSON holds
    return None if usd_per_token is None else Decimal(usd_per_token) * 1_000_000


def _nanousd(usd: Decimal | None) -> int | None:
    return None if usd is None else round(usd * NANOUSD)


def build(today: dt.date, entries: Mapping[str, Mapping[str, Any]]) -> TableFile:
    """genai-prices first; of litellm's map what does not resolve there."""
    sources = {name: Source(name, version(name), "MIT", today.isoformat()) for name in ("genai-prices", "litellm")}
    first = TableFile(FORMAT, today.isoformat(), UNIT, sources, list(genai_lines(today)))
    known = PriceTable(first)
    added: dict[tuple[str, str], Line] = {}
    for line in litellm_lines(entries):
        if known.line_of(line.provider, line.model) is None:
            added.setdefault((line.provider, line.model), line)
    models = sorted([*first.models, *added.values()], key=lambda line: (line.provider, line.model))
    return msgspec.structs.replace(first, models=models)


def render(file: TableFile) -> bytes:
    """The file with one line per model, so that a diff reads as a list of price changes."""
    head = msgspec.json.encode(msgspec.structs.replace(file, models=[])).removesuffix(b"]}")
    return head + b"\n" + b",\n".join(map(msgspec.json.encode, file.models)) + b"\n]}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=dt.date.fromisoformat, default=dt.datetime.now(tz=dt.UTC).date())
    parser.add_argument("--into", type=Path, default=SHIPPED)
    options = parser.parse_args()
    file = build(options.date, litellm_map())
    options.into.mkdir(parents=True, exist_ok=True)
    path = options.into / f"prices-{file.date}.json"
    path.write_bytes(render(file))
    sources = Counter(line.source for line in file.models)
    print(f"{path}: {len(file.models)} models, {dict(sources)}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
