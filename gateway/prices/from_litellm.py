"""litellm's `model_prices_and_context_window.json` (MIT) as lines of ours: base rates, tiers, services.

A rate's key says it all: what it is for, from how long a prompt on, in which service. The map has no dates.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.prices.foreign import Found, lacking, rate, text
from gateway.prices.lines import Above, Line, Service
from gateway.prices.whose import PROVIDER_OF_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME: Final = "litellm"
MODES: Final = ("chat", "completion", "responses", "embedding", "rerank")
MILLION: Final = 1_000_000

WORD_OF: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "cache_read_input_audio_token_cost": "cached_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
# Older entries say it under another key.
_CACHED_TOO: Final = "input_cost_per_token_cache_hit"
_PER_ONE: Final = {"input_cost_per_request": "request", "input_cost_per_query": "request"}
_SEARCH: Final = "search_context_cost_per_query"
# What most searches are of where a provider's price depends on how much of a page is read.
_SEARCH_SIZE: Final = "search_context_size_medium"
SERVICE_OF: Final = {"batches": "batch", **{name: name for name in ("flex", "priority", "ultrafast", "balanced")}}
_KEY: Final = re.compile(
    rf"(?P<stem>{'|'.join(sorted(WORD_OF, key=len, reverse=True))})"
    rf"(?:_above_(?P<thousands>[1-9][0-9]{{0,4}})k_tokens)?(?:_(?P<service>{'|'.join(SERVICE_OF)}))?"
)
_COSTS: Final = re.compile(r"cost|uplift_multiplier")
# Where a word is missing its share is paid at this one's rate, so that saying the same again says nothing.
_STANDS_IN: Final = {"reasoning": "output", "input_audio": "input", "input_image": "input", "output_audio": "output"}
_Rates = dict[str, Decimal]


class _Place(NamedTuple):
    """Which of an entry's rates a key names: of a service ("": the standard one), above so many tokens (0: all)."""

    service: str
    above_tokens: int


def looks_like(document: object) -> bool:
    """Whether a JSON document is a mapping of models to what they cost."""
    if not isinstance(document, dict):
        return False
    return any(isinstance(one, dict) and "litellm_provider" in one for one in document.values())


def found_in(document: Mapping[str, Any], source: str = NAME) -> Found:
    """All that the map prices. Raises `ValueError` naming what cannot be."""
    found = Found({}, {})
    for key in sorted(document):
        entry = document[key]
        if key == "sample_spec" or not isinstance(entry, dict) or entry.get("mode") not in MODES:
            continue
        provider, model = name_of(text(key, "a model's name"), text(entry.get("litellm_provider"), f"{key}: provider"))
        line = line_of(key, entry, source)
        if line is not None and model:
            found.models.setdefault(provider, {}).setdefault(model, (line,))
    return found


def name_of(key: str, provider: str) -> tuple[str, str]:
    """The table's provider and the model's name without litellm's prefix (`vertex_ai-anthropic_models` is
    vertex_ai).
    """
    family = provider.split("-", 1)[0] if provider.startswith("vertex_ai") else provider
    for prefix in (provider, family, "bedrock"):
        key = key.removeprefix(f"{prefix}/")
    return PROVIDER_OF_PREFIX.get(family, family), key


def line_of(name: str, entry: Mapping[str, Any], source: str = NAME) -> Line | None:
    """An entry's rates; None where they are zero throughout, which stands for an unknown or a local price."""
    places: dict[_Place, _Rates] = {}
    for place, word, amount in _rates(name, entry):
        places.setdefault(place, {})[word] = amount
    base = places.get(_Place("", 0), {})
    if not any(base.get(word) for word in ("input", "output", "request")):
        return None
    services = {service for service, _ in places if service}
    line = Line(
        source=source,
        above=_tiers(places, ""),
        services={name: _service(places, name) for name in sorted(services) if _Place(name, 0) in places},
        lacks=lacking(key for key in entry if _COSTS.search(key) and entry[key] and not _is_read(key)),
    )
    return msgspec.structs.replace(line, **_telling(base))


def _rates(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[_Place, str, Decimal]]:
    if entry.get(_CACHED_TOO) is not None:
        yield _Place("", 0), "cached_input", rate(entry[_CACHED_TOO], f"{name}: {_CACHED_TOO}", times=MILLION)
    for key, value in entry.items():
        found = _KEY.fullmatch(key)
        if value is None:
            continue
        if found is not None:
            place = _Place(SERVICE_OF.get(found["service"] or "", ""), 1000 * int(found["thousands"] or 0))
            yield place, WORD_OF[found["stem"]], rate(value, f"{name}: {key}", times=MILLION)
        elif key in _PER_ONE:
            yield _Place("", 0), _PER_ONE[key], rate(value, f"{name}: {key}")
        elif key == _SEARCH and isinstance(value, dict) and value.get(_SEARCH_SIZE) is not None:
            yield _Place("", 0), "search", rate(value[_SEARCH_SIZE], f"{name}: {key}")


def _is_read(key: str) -> bool:
    return _KEY.fullmatch(key) is not None or key in (_CACHED_TOO, _SEARCH) or key in _PER_ONE


def _tiers(places: Mapping[_Place, _Rates], service: str) -> tuple[Above, ...]:
    found = sorted((place.above_tokens, words) for place, words in places.items() if place.service == service)
    return tuple(Above(tokens=tokens, **_telling(words)) for tokens, words in found if tokens and any(words.values()))


def _service(places: Mapping[_Place, _Rates], name: str) -> Service:
    return Service(above=_tiers(places, name) or None, **_telling(places[_Place(name, 0)]))


def _telling(words: _Rates) -> _Rates:
    return {word: amount for word, amount in words.items() if amount != words.get(_STANDS_IN.get(word, ""))}
