"""Checks of names: every one refers to something declared in the file, once, and every route can be reached.

They read the plain values, not the models, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config.problems import Severity, did_you_mean, written
from gateway.litellm.names import provider_of
from policies.matching import compile_glob, is_glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.config.problems import Place
    from gateway.config.tree import Tree

Finding = tuple["Place", str, Severity]
NO_LITELLM_MODEL: Final = "must be written provider/model for litellm, such as bedrock/amazon.nova-lite-v1:0"


def entries(tree: Tree, section: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """What a section holds, by name or by number; what is no mapping counts as an empty one."""
    value = tree.values.get(section)
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for step, body in items:
        yield (section, step), body if isinstance(body, dict) else {}


def listed(body: dict[str, Any], key: str) -> list[Any]:
    """A list in the file; a lone text counts as a list of one."""
    value = body.get(key)
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def check_names(tree: Tree) -> Iterator[Finding]:
    """All findings about names."""
    yield from _deployments(tree)
    yield from _routes(tree)
    yield from _unused(tree)
    yield from _shadowed(tree)
    yield from _keys(tree)


def _dangling(tree: Tree, place: Place, section: str, noun: str) -> Iterator[Finding]:
    """A finding unless the text at `place` names an entry of `section`."""
    name, known = tree.at(place), tree.values.get(section)
    if not isinstance(name, str) or not isinstance(known, dict) or name in known:
        return
    if place in tree.from_references:
        if name:  # an empty one could not be resolved, and that is reported already
            yield place, f"the name that this reference holds is no {noun}", Severity.ERROR
    else:
        yield place, f"there is no {noun} '{name}'{did_you_mean(name, known)}", Severity.ERROR


def _deployments(tree: Tree) -> Iterator[Finding]:
    providers = {place[1]: body for place, body in entries(tree, "providers")}
    for place, body in entries(tree, "deployments"):
        if "provider" not in body:
            continue
        yield from _dangling(tree, (*place, "provider"), "providers", "provider")
        provider = providers.get(body["provider"]) if isinstance(body["provider"], str) else None
        kind, model = provider.get("kind") if provider else None, body.get("model")
        if kind in ("openai", "litellm") and model is None:
            yield place, f"model is missing: what '{body['provider']}' calls it", Severity.ERROR
        elif kind == "litellm" and isinstance(model, str) and model and provider_of(model) is None:
            yield (*place, "model"), NO_LITELLM_MODEL, Severity.ERROR


def target_places(route: Place, body: dict[str, Any]) -> Iterator[Place]:
    """Where the names of a route's targets stand."""
    targets = body.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else []):
        if isinstance(target, str):
            yield (*route, "targets", index)
        elif isinstance(target, dict) and "deployment" in target:
            yield (*route, "targets", index, "deployment")


def fallback_places(route: Place, body: dict[str, Any]) -> Iterator[Place]:
    fallbacks = body.get("fallbacks")
    for index in range(len(fallbacks) if isinstance(fallbacks, list) else 0):
        yield (*route, "fallbacks", index)


def _routes(tree: Tree) -> Iterator[Finding]:
    for route, body in entries(tree, "routes"):
        for places in (list(target_places(route, body)), list(fallback_places(route, body))):
            first: dict[str, Place] = {}
            for place in places:
                yield from _dangling(tree, place, "deployments", "deployment")
                name = tree.at(place)
                if isinstance(name, str) and first.setdefault(name, place) != place:
                    yield place, f"is the same deployment as {written(first[name])}", Severity.ERROR
        if _weightless(body):
            yield (*route, "targets"), "every weight is 0, so nothing would be called", Severity.ERROR


def _weightless(body: dict[str, Any]) -> bool:
    """A weighted route whose every target says weight 0."""
    targets = body.get("targets")
    if body.get("strategy") != "weighted" or not isinstance(targets, list) or not targets:
        return False
    return all(isinstance(target, dict) and str(target.get("weight")) == "0" for target in targets)


def _unused(tree: Tree) -> Iterator[Finding]:
    used: set[object] = set()
    for route, body in entries(tree, "routes"):
        for place in (*target_places(route, body), *fallback_places(route, body)):
            name = tree.at(place)
            used.add(name if isinstance(name, str) else None)
    for place, _ in entries(tree, "deployments"):
        if place[1] not in used:
            yield place, "no route uses this deployment", Severity.WARNING


def _shadowed(tree: Tree) -> Iterator[Finding]:
    """First match wins: a pattern whose every model an earlier route takes never matches."""
    earlier: list[tuple[str, Place]] = []
    for route, body in entries(tree, "routes"):
        patterns = [pattern for pattern in listed(body, "model") if isinstance(pattern, str)]
        for index, pattern in enumerate(patterns):
            place: Place = (*route, "model", index) if isinstance(body["model"], list) else (*route, "model")
            by = next((where for other, where in earlier if covers(other, pattern)), None)
            if by is not None:
                yield place, f"never matches: {written(by)} takes these models first", Severity.ERROR
            earlier.append((pattern, place))


def covers(wide: str, narrow: str) -> bool:
    """Every model that the pattern `narrow` matches is matched by `wide` too."""
    if not is_glob(wide):
        return wide == narrow
    # A star stands for nothing, or for more than the question marks of `wide` can take: only a star there meets both.
    stretched = narrow.replace("*", "\0" * (len(wide) + 1))
    glob = compile_glob(wide)
    return bool(glob.fullmatch(narrow.replace("*", "")) and glob.fullmatch(stretched))


def _keys(tree: Tree) -> Iterator[Finding]:
    models = {model for _, route in entries(tree, "routes") for model in listed(route, "model") if type(model) is str}
    for place, body in entries(tree, "keys"):
        routes = body.get("routes")
        for index, name in enumerate(routes if isinstance(routes, list) else []):
            if isinstance(name, str) and name not in models:
                where: Place = (*place, "routes", index)
                said = f"'{name}'{did_you_mean(name, models)}" if where not in tree.from_references else "of this name"
                yield where, f"there is no route {said}", Severity.ERROR
