"""What a change of the policy changes whoever calls: deployments, and what routes do when something is late or fails.

Told in the policy file's own words, by path. Who is asked, and what a call is held to, is compared in `differences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config.compile_routes import called
from gateway.config.route_names import route_names
from gateway.usd import usd_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from gateway.explaining.rehearsal import Rehearsal
    from policies.vocabulary import Deployment

Table = dict[str, dict[str, Any]]

PROVIDER: Final = frozenset({"kind", "base_url", "max_connections", "forward_headers", "breaker", "health"})
DEPLOYMENT: Final = frozenset({
    "provider", "model", "region", "supports", "lacks", "data_classes", "max_output_tokens", "on_disconnect", "breaker",
    "health",
})  # fmt: skip
ROUTE: Final = frozenset({
    "when", "strategy", "by", "spill", "context_fallbacks", "content_fallbacks", "retry", "timeouts", "hedge", "commit",
    "resume", "queue", "max_output_tokens",
})  # fmt: skip
KEY: Final = frozenset({"priority", "max_output_tokens"})


def standing(before: Rehearsal, after: Rehearsal) -> list[str]:
    """In the order of the file: providers, deployments, routes, keys."""
    return [
        *_compared("provider", _providers(before), _providers(after), tell_all=False),
        *_compared("deployment", _deployments(before), _deployments(after)),
        *_compared("route", _routes(before), _routes(after)),
        *_compared("key", _keys(before), _keys(after), tell_all=False),
    ]


def _compared(noun: str, old: Table, new: Table, *, tell_all: bool = True) -> Iterator[str]:
    """`tell_all`: also those that only one of them has."""
    if tell_all:
        yield from (f"{noun} {name} is gone" for name in old if name not in new)
        yield from (f"{noun} {name} is new" for name in new if name not in old)
    for name in old:
        if name in new:
            yield from (f"{noun} {name}: {line}" for line in _parts("", old[name], new[name]))


def _parts(path: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for word in dict.fromkeys((*old, *new)):
            yield from _parts(f"{path}.{word}" if path else str(word), old.get(word), new.get(word))
    elif old != new:
        yield f"{path} was {_text(old)}, becomes {_text(new)}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{word} {_text(part)}" for word, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _providers(side: Rehearsal) -> Table:
    found = {}
    for name, settings in side.generation.config.providers.items():
        credentials = [held.name for held in getattr(settings, "api_keys", None) or ()]
        found[name] = _stated(settings, PROVIDER) | {"api_keys": credentials}
    return found


def _deployments(side: Rehearsal) -> Table:
    known: Mapping[str, Deployment] = {d.name: d for d in side.generation.deployments.values()}
    return {
        name: _stated(settings, DEPLOYMENT)
        | {"context_tokens": known[name].context_tokens, "price": _price(known[name])}
        for name, settings in side.generation.config.deployments.items()
    }


def _routes(side: Rehearsal) -> Table:
    config = side.generation.config
    names = route_names(called(config))
    return {name: _stated(route, ROUTE) for name, route in zip(names, config.routes, strict=True)}


def _keys(side: Rehearsal) -> Table:
    return {key.name: _stated(key, KEY) for key in side.generation.config.keys}


def _stated(settings: BaseModel, words: frozenset[str]) -> dict[str, Any]:
    """In the order and the words of the file, secrets left out."""
    return settings.model_dump(mode="json", by_alias=True, include=set(words))


def _price(deployment: Deployment) -> str | None:
    price = deployment.price
    if price is None:
        return None
    rates = (price.input_nanousd, price.output_nanousd)
    return "/".join("?" if rate is None else usd_text(rate) for rate in rates) + " USD per million in/out"
