"""genai-prices' JSON (github.com/pydantic/genai-prices, MIT, its formats 1 and 2) as lines of ours, dates kept.

What a line cannot hold is named in `lacks`; of rates that change with the hour of the day the dearest are taken.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.prices.foreign import Found, lacking, rate, text
from gateway.prices.lines import Above, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

NAME: Final = "genai-prices"
_THOUSAND: Final = 1000

WORD_OF: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cached_audio",
    "input_image_mtok": "input_image",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "requests_kcount": "request",
    "web_searches_kcount": "search",
}
PER_THOUSAND: Final = frozenset({"requests_kcount", "web_searches_kcount"})


def looks_like(document: object) -> bool:
    """Whether a JSON document is a list of providers with their models."""
    return isinstance(document, list) and all(isinstance(one, dict) and "models" in one for one in document)


def found_in(document: Iterable[Mapping[str, Any]], source: str = NAME) -> Found:
    """All that the document prices. Raises `ValueError` naming what cannot be."""
    found = Found({}, {})
    for provider in document:
        name = text(provider.get("id"), "a provider's id")
        models = provider.get("models")
        if not isinstance(models, list):
            raise ValueError(f"{name}: its models are no list")  # noqa: TRY004 - what is wrong with a file is one kind of error
        shared = _shared(models)
        for model in models:
            _take(found, name, model, shared, source)
    return found


def _take(found: Found, provider: str, model: Mapping[str, Any], shared: set[str], source: str) -> None:
    model_id = text(model.get("id"), f"{provider}: a model's id")
    lines = tuple(_lines(f"{provider}/{model_id}", model.get("prices"), source))
    if not lines:
        return
    found.models.setdefault(provider, {})[model_id] = lines
    for alias in sorted(set(_plain_names(model.get("match"))) - shared - {model_id}):
        found.aliases.setdefault(provider, {})[text(alias, f"{provider}/{model_id}: a name")] = model_id


def _shared(models: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names that would stand for two models, or for one while another bears them: they decide nothing."""
    claims = Counter(name for model in models for name in {*_plain_names(model.get("match")), str(model.get("id"))})
    return {name for name, count in claims.items() if count > 1}


def _plain_names(match: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON holds
    """The plain names in a match clause. Of `starts with` and `contains` the fragment is kept as a name, not as a
    pattern.
    """
    if not isinstance(match, dict):
        return
    clauses = match.get("or")
    for clause in clauses if isinstance(clauses, list) else [match]:
        for field in ("equals", "starts_with", "contains", "ends_with"):
            name = clause.get(field) if isinstance(clause, dict) else None
            if isinstance(name, str) and (plain := name.rstrip("-@:").lstrip("/")):
                yield plain


def _lines(name: str, prices: Any, source: str) -> Iterator[Line]:  # noqa: ANN401 - as above
    """One line for each moment from which other rates hold."""
    if isinstance(prices, dict):
        prices = [{"prices": prices}]
    if not isinstance(prices, list):
        raise ValueError(f"{name}: its prices are neither a mapping nor a list")  # noqa: TRY004 - as above
    dated: list[tuple[str | None, Any]] = []
    hourly: list[tuple[str | None, Any]] = []
    for option in prices:
        constraint = option.get("constraint") or {}
        (hourly if "start_time" in constraint else dated).append((constraint.get("start_date"), option.get("prices")))
    for begins, rates in dated or [(None, None)]:
        options = [_line(name, one, source) for one in (rates, *(hours for _, hours in hourly)) if one]
        options = [line for line in options if line.input is not None or line.output is not None]
        if options:
            dearest = max(options, key=lambda line: (line.output or 0, line.input or 0))
            more = ("hours",) if hourly else ()
            yield msgspec.structs.replace(dearest, begins=begins, lacks=(*dearest.lacks, *more))


def _line(name: str, prices: Mapping[str, Any], source: str) -> Line:
    base: dict[str, Decimal] = {}
    above: dict[int, dict[str, Decimal]] = {}
    for key, value in prices.items():
        word = WORD_OF.get(key)
        if word is None or value is None:
            continue
        share = _THOUSAND if key in PER_THOUSAND else 1
        if isinstance(value, dict):
            base[word] = rate(value.get("base"), f"{name}: {key}", share)
            for tier in value.get("tiers") or ():
                tokens = tier.get("start")
                if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
                    raise ValueError(f"{name}: {key} has a tier without a whole number of tokens")
                above.setdefault(tokens, {})[word] = rate(tier.get("price"), f"{name}: {key}", share)
        else:
            base[word] = rate(value, f"{name}: {key}", share)
    tiers = tuple(Above(tokens=tokens, **words) for tokens, words in sorted(above.items()))
    lacks = lacking(key for key, value in prices.items() if key not in WORD_OF and value is not None)
    return msgspec.structs.replace(Line(source=source, above=tiers, lacks=lacks), **base)
