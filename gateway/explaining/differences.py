"""What a change of the policy changes, and for whom: the same questions put to both.

For each key and each model that either policy has, requests of several shapes are rehearsed; where their fates differ,
the difference is told once, for all shapes and keys that share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.explaining.decisions import decision_of
from gateway.explaining.rehearsal import NoSuchKey, Question, Rehearsal, body_of
from policies.vocabulary import Route, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.explaining.rehearsal import Rehearsed
    from policies.limit_index import Bound
    from policies.vocabulary import Destination, Limit

HELLO: Final = [{"role": "user", "content": "Hello."}]
_PICTURE: Final = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
_TOOL: Final = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "plain": {"messages": HELLO},
    "stream": {"messages": HELLO, "stream": True},
    "tools": {"messages": HELLO, "tools": [_TOOL]},
    "images": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, _PICTURE]}]},
    "json": {"messages": HELLO, "response_format": {"type": "json_object"}},
    "long": {"messages": [{"role": "user", "content": "word " * 60_000}]},
}


class Fate(NamedTuple):
    """What becomes of one request: who is asked, in order, or how it is refused; and what it is held to."""

    route: str | None
    order: tuple[str, ...]
    error: str | None
    limits: tuple[str, ...]


class Change(NamedTuple):
    """One difference and whom it meets: keys, models and shapes; `what` tells before and after."""

    what: str
    keys: tuple[str, ...]
    models: tuple[str, ...]
    shapes: tuple[str, ...]


async def changes(before: Rehearsal, after: Rehearsal) -> list[Change]:
    """In the order in which the policies name keys and models."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for key in _keys(before, after):
        for model in _models(before, after):
            for shape, request in SHAPES.items():
                body = body_of({"model": model, **request})
                old, new = await _fate(before, key, body), await _fate(after, key, body)
                if old != new:
                    for what in _told(old, new):
                        found.setdefault(what, []).append((key or "anyone", model, shape))
    return [Change(what, *map(_distinct, zip(*where, strict=True))) for what, where in found.items()]


async def _fate(rehearsal: Rehearsal, key: str | None, body: bytes) -> Fate:
    try:
        rehearsed = await rehearsal.ask(Question(body, key=key))
    except NoSuchKey:
        return Fate(None, (), "invalid_api_key", ())
    return _fate_of(rehearsed)


def _fate_of(rehearsed: Rehearsed) -> Fate:
    decision = decision_of(rehearsed.call)
    if rehearsed.error is not None:
        return Fate(decision.route, (), rehearsed.error.code, ())
    asked = [c for c in decision.candidates if c.place is not None and c.part in ("target", "fallback")]
    targets = dict.fromkeys(c.deployment for c in asked if c.part == "target")
    fallbacks = dict.fromkeys(c.deployment for c in asked if c.part == "fallback")
    order = (*_targets(rehearsed.call.route, list(targets)), *(name for name in fallbacks if name not in targets))
    return Fate(decision.route, order, None, tuple(map(_bound, rehearsed.bounds)))


def _targets(route: Route | None, names: list[str]) -> list[str]:
    """Where a strategy goes by live numbers or by turns, that these are asked, and not in which order."""
    if route is None or route.strategy in (Strategy.ORDERED, Strategy.SPILL):
        return names
    if route.strategy is not Strategy.WEIGHTED:
        return [f"{name} ({route.strategy})" for name in sorted(names)]
    shares = _shares(route, names)
    return [f"{name} ({100 * shares.get(name, 0.0):.3g}%)" for name in sorted(names)]


def _shares(route: Route, names: list[str]) -> dict[str, float]:
    """Of those `names` that may answer, who is asked first how often: all there is to tell of a route without weights
    is that its first does, and of one that goes by live numbers, that each may.
    """
    below = {target.to.name: _leading(target.to, names) for target in route.targets}
    if route.strategy is not Strategy.WEIGHTED:
        found = [shares for shares in below.values() if shares]
        first = found[:1] if route.strategy in (Strategy.ORDERED, Strategy.SPILL) else found
        return _mixed([(1.0 / len(first), shares) for shares in first])
    weights = {target.to.name: target.weight for target in route.targets if below[target.to.name]}
    total = sum(weights.values()) or 1
    return _mixed([(weight / total, below[name]) for name, weight in weights.items()])


def _leading(to: Destination, names: list[str]) -> dict[str, float]:
    if isinstance(to, Route):
        return _shares(to, names)
    return {to.name: 1.0} if to.name in names else {}


def _mixed(parts: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part, shares in parts:
        for name, share in shares.items():
            found[name] = found.get(name, 0.0) + part * share
    return found


def _bound(bound: Bound) -> str:
    limit, holder = bound
    return f"{limit.amount} {limit.resource.value} {_window(limit)} for {limit.scope.value} {holder}"


def _window(limit: Limit) -> str:
    if limit.window is None:
        return "at once"
    return f"per {limit.window:g} s" if isinstance(limit.window, float | int) else f"per {limit.window.value}"


def _told(old: Fate, new: Fate) -> Iterable[str]:
    if old.error != new.error:
        before = f"was refused ({old.error})" if old.error else f"went to {_names(old)}"
        yield f"{before}, {f'is refused ({new.error})' if new.error else f'goes to {_names(new)}'}"
        return
    if old.route != new.route:
        yield f"route was {_or_none(old.route)}, becomes {_or_none(new.route)}"
    if old.order != new.order:
        yield f"went to {_names(old)}, goes to {_names(new)}"
    for limit in old.limits:
        if limit not in new.limits:
            yield f"no longer held to {limit}"
    for limit in new.limits:
        if limit not in old.limits:
            yield f"now held to {limit}"


def _names(fate: Fate) -> str:
    return ", ".join(fate.order) or "nobody"


def _or_none(value: object) -> str:
    return "none" if value is None else str(value)


def _keys(before: Rehearsal, after: Rehearsal) -> list[str | None]:
    keys = list(dict.fromkeys([*before.principals, *after.principals]))
    return [*keys] if before.principals and after.principals else [None, *keys]


def _models(before: Rehearsal, after: Rehearsal) -> list[str]:
    """Names as they are; of a pattern one name that it takes."""
    patterns = [model for side in (before, after) for route in side.generation.routes for model in route.models]
    return list(dict.fromkeys(pattern.replace("*", "x").replace("?", "x") for pattern in patterns))


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
