"""Checks of names: every one refers to something declared in the file.

They read the plain values, not the models, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config.problems import Severity, did_you_mean, written
from gateway.config.route_names import Called, routes_by_word
from gateway.litellm.names import provider_of

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
    yield from _credentials(tree)
    yield from _keys(tree)


def called(tree: Tree) -> list[Called]:
    """What the routes say of their names, in the order of the file."""
    found = []
    for _, body in entries(tree, "routes"):
        own, models = body.get("name"), listed(body, "model")
        found.append(Called(own if isinstance(own, str) else None, tuple(m for m in models if isinstance(m, str))))
    return found


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
        if kind in ("litellm", "llama_cpp") and "health" in body:
            yield (*place, "health"), f"is for providers of kind openai, and this one is {kind}", Severity.ERROR
        if "gpu" in body and provider and (why := _no_gpu(kind, provider)):
            yield (*place, "gpu"), why, Severity.ERROR
        if kind in ("openai", "litellm") and model is None:
            yield place, f"model is missing: what '{body['provider']}' calls it", Severity.ERROR
        elif kind == "litellm" and isinstance(model, str) and model and provider_of(model) is None:
            yield (*place, "model"), NO_LITELLM_MODEL, Severity.ERROR
        elif kind == "llama_cpp" and isinstance(model, str) and provider and "base_url" not in provider:
            yield from _adapter((*place, "model"), model, provider.get("adapters"))


def _no_gpu(kind: object, provider: dict[str, Any]) -> str | None:
    """Why hardware cannot be told of a deployment of this provider; None where it can."""
    if kind == "llama_cpp":
        return "belongs to the provider, whose deployments share one engine"
    return None if "base_url" in provider else "is for a server of one's own, whose provider has a base_url"


def _adapter(place: Place, model: str, declared: object) -> Iterator[Finding]:
    """`base:adapter` names one that the provider declares."""
    _, colon, name = model.rpartition(":")
    known = declared if isinstance(declared, dict) else {}
    if colon and name not in known:
        hint = did_you_mean(name, known) or ("" if known else "; the provider declares none")
        yield place, f"there is no adapter '{name}'{hint}", Severity.ERROR


def _credentials(tree: Tree) -> Iterator[Finding]:
    """One or several credentials, or the word that there is none; several have names of their own."""
    for place, body in entries(tree, "providers"):
        if body.get("kind") == "openai" and "api_key" not in body and "api_keys" not in body:
            yield (*place, "api_key"), "is missing", Severity.ERROR
        first: dict[str, Place] = {}
        held = body.get("api_keys")
        for index, one in enumerate(held if isinstance(held, list) else []):
            where: Place = (*place, "api_keys", index, "name")
            name = one.get("name") if isinstance(one, dict) else None
            if isinstance(name, str) and first.setdefault(name, where) != where:
                yield where, f"is also the name of {written(first[name][:-1])}", Severity.ERROR


def _keys(tree: Tree) -> Iterator[Finding]:
    words = routes_by_word(called(tree))
    for place, body in entries(tree, "keys"):
        routes = body.get("routes")
        for index, name in enumerate(routes if isinstance(routes, list) else []):
            if isinstance(name, str) and name not in words:
                where: Place = (*place, "routes", index)
                said = f"'{name}'{did_you_mean(name, words)}" if where not in tree.from_references else "of this name"
                yield where, f"there is no route {said}", Severity.ERROR
