"""Checks of limits that no entry can judge alone: that each counts something else, and that every `when` is sound.

Like `names`, these read the plain values, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config import amounts
from gateway.config.cel_syntax import CelError
from gateway.config.limits import OWN, Identity
from gateway.config.names import entries
from gateway.config.problems import Severity, written
from policies.vocabulary import LimitScope, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from gateway.config.tree import Tree

OWNERS: Final = {
    "orgs": LimitScope.ORG,
    "teams": LimitScope.TEAM,
    "users": LimitScope.USER,
    "keys": LimitScope.KEY,
    "routes": LimitScope.ROUTE,
    "deployments": LimitScope.DEPLOYMENT,
    "providers": LimitScope.PROVIDER,
}


def check_limits(tree: Tree) -> Iterator[Finding]:
    """All findings about limits."""
    yield from _distinct(list(_listed(tree.values.get("limits"), ("limits",))), "")
    for section, scope in OWNERS.items():
        for place, body in entries(tree, section):
            yield from _distinct(list(_listed(body.get("limits"), (*place, "limits"))), f"{OWN}.{scope}")
    places = [place for place, _ in (*entries(tree, "routes"), *limit_entries(tree))]
    yield from _conditions(tree, [(*place, "when") for place in places])


def limit_entries(tree: Tree) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every entry of limits, of all and of each owner."""
    yield from _listed(tree.values.get("limits"), ("limits",))
    for section in OWNERS:
        for place, body in entries(tree, section):
            yield from _listed(body.get("limits"), (*place, "limits"))


def _listed(value: object, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    if isinstance(value, dict):
        yield place, value
    elif isinstance(value, list):
        yield from (((*place, index), body) for index, body in enumerate(value) if isinstance(body, dict))


def _distinct(listed: list[tuple[Place, dict[str, Any]]], owner: str) -> Iterator[Finding]:
    """Two limits that count the same thing would share one account."""
    first: dict[str, Place] = {}
    for place, body in listed:
        for resource in Resource:
            told = _limit_id(body, resource, owner or body.get("per"))
            if told is None or first.setdefault(told, place) == place:
                continue
            named = body.get("name") is not None
            remedy = "two entries need two names" if named else "give one of them a name if both are meant"
            yield (*place, resource.value), f"counts the same as {written(first[told])}; {remedy}", Severity.ERROR


def _limit_id(body: dict[str, Any], resource: Resource, scope: object) -> str | None:
    """None for what is no limit: it is reported already."""
    name, when = body.get("name"), body.get("when")
    read = {Resource.COST: amounts.money_quota, Resource.CONCURRENT: amounts.concurrent_quota}
    try:
        window = read.get(resource, amounts.count_quota)(body.get(resource)).window
    except ValueError:
        return None
    if not isinstance(scope, str) or not isinstance(name, str | None) or not isinstance(when, str | None):
        return None
    return Identity(scope, name, when).limit_id(resource, window)


def _when_headers(tree: Tree) -> list[str]:
    server = tree.values.get("server")
    named = server.get("when_headers") if isinstance(server, dict) else None
    return [name.lower() for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _conditions(tree: Tree, places: list[Place]) -> Iterator[Finding]:
    headers = _when_headers(tree)
    for place in places:
        text = tree.at(place) if place in tree.lines else None
        if not isinstance(text, str) or (not text and place in tree.from_references):
            continue
        from gateway.config.cel import Condition  # noqa: PLC0415 - only a policy with a `when` needs it

        try:
            doubt = Condition(text, headers).doubt
        except CelError as problem:
            yield place, str(problem), Severity.ERROR
        else:
            if doubt:
                yield place, doubt, Severity.WARNING
