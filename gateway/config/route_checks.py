"""Checks of routes: what they name is there, none leads back to itself, each can be reached, and their settings agree.

Like `names`, these read the plain values, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.config.cache_checks import asked_by_caches
from gateway.config.names import called, entries, listed
from gateway.config.problems import Severity, did_you_mean, written
from gateway.config.route_names import named_routes, route_names
from policies.matching import compile_glob, is_glob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from gateway.config.route_names import Called
    from gateway.config.tree import Tree

LISTS: Final = ("targets", "fallbacks", "context_fallbacks", "content_fallbacks")
DEPTH_MAX: Final = 8
OF_A_CALL: Final = ("retry", "timeouts", "hedge", "commit", "resume", "queue", "limits", "max_output_tokens", "cache")
"""What a call goes by is said by the route that it came for, and not by those inside that one."""


class Step(NamedTuple):
    """One name in a route's lists: where it stands, and the deployment or the number of the route that it means."""

    place: Place
    deployment: str | None
    route: int | None


def check_routes(tree: Tree) -> Iterator[Finding]:
    """All findings about routes."""
    routes = called(tree)
    steps: list[list[Step]] = []
    for route, body in entries(tree, "routes"):
        steps.append([])
        for key in LISTS:
            yield from _list(tree, (*route, key), body.get(key), routes, steps[-1])
    yield from _own_names(tree, routes)
    yield from _cycles(steps, route_names(routes))
    yield from _unused(tree, steps)
    yield from _shadowed(tree)
    for route, body in entries(tree, "routes"):
        yield from _settings(route, body)


def _list(tree: Tree, at: Place, value: object, routes: list[Called], steps: list[Step]) -> Iterator[Finding]:
    """The findings about one list of names; what they mean is added to `steps`."""
    first: dict[tuple[str | None, int | None], Place] = {}
    for index, named in enumerate(value if isinstance(value, list) else []):
        for place, name, kind in _named(named, (*at, index)):
            meant = _meant(tree, name, kind, routes)
            if isinstance(meant, str):
                yield from _unknown(tree, place, meant)
                continue
            step = Step(place, *meant)
            steps.append(step)
            if first.setdefault(meant, place) != place:
                noun = "deployment" if step.route is None else "route"
                yield place, f"is the same {noun} as {written(first[meant])}", Severity.ERROR


def _named(named: object, place: Place) -> Iterator[tuple[Place, str, str]]:
    """Where a name stands, the name, and which kind it says it is of, if it does."""
    if isinstance(named, str):
        yield place, named, ""
    elif isinstance(named, dict):
        yield from (
            ((*place, kind), named[kind], kind) for kind in ("deployment", "route") if isinstance(named.get(kind), str)
        )


def _meant(tree: Tree, name: str, kind: str, routes: list[Called]) -> tuple[str | None, int | None] | str:
    """The deployment or route of this name, or what is wrong with the name."""
    deployments = tree.values.get("deployments")
    known = deployments if isinstance(deployments, dict) else {}
    if kind != "route" and name in known:
        return name, None
    found = () if kind == "deployment" else named_routes(routes, name)
    if len(found) == 1:
        return None, found[0]
    if found:
        several = " and ".join(written(("routes", index)) for index in found)
        return f"may mean {several}: give the one that is meant a name"
    stems = [] if kind == "deployment" else [route.stem for route in routes if route.stem]
    noun = kind or "deployment or route"
    return f"there is no {noun} '{name}'{did_you_mean(name, [*(known if kind != 'route' else ()), *stems])}"


def _unknown(tree: Tree, place: Place, message: str) -> Iterator[Finding]:
    if place not in tree.from_references:
        yield place, message, Severity.ERROR
    elif tree.at(place):  # an empty one could not be resolved, and that is reported already
        yield place, "the name that this reference holds is no deployment or route", Severity.ERROR


def _own_names(tree: Tree, routes: list[Called]) -> Iterator[Finding]:
    """A route's own name is nobody else's, and one without models has a name."""
    names = route_names(routes)
    for index, ((place, body), route) in enumerate(zip(entries(tree, "routes"), routes, strict=True)):
        others = [other for other in range(len(names)) if route.own in (names[other], routes[other].stem)]
        if route.own and others != [index]:
            other = written(("routes", next(found for found in others if found != index)))
            yield (*place, "name"), f"is also what {other} is called", Severity.ERROR
        if isinstance(tree.at(place), dict) and "model" not in body and "name" not in body:
            yield (*place, "model"), "is missing", Severity.ERROR


def _cycles(steps: list[list[Step]], names: tuple[str, ...]) -> Iterator[Finding]:
    """Each step that leads back to a route on the way to it, with that way; and those that lead too deep."""
    levels: dict[int, int] = {}
    for index in range(len(steps)):
        if index not in levels:
            yield from _walk(index, (index,), levels, steps, names)


def _walk(
    index: int, way: tuple[int, ...], levels: dict[int, int], steps: list[list[Step]], names: tuple[str, ...]
) -> Iterator[Finding]:
    """What is wrong beyond a route that was reached on `way`; how many routes lie in each other from it on is added to
    `levels`.
    """
    inner = 0
    for step in steps[index]:
        if step.route is None:
            continue
        if step.route in way:
            told = " -> ".join(names[at] for at in (*way[way.index(step.route) :], step.route))
            yield step.place, f"leads back to where it came from: {told}", Severity.ERROR
            continue
        if len(way) + levels.get(step.route, 1) > DEPTH_MAX:
            yield step.place, f"is a route within more than {DEPTH_MAX - 1} others", Severity.ERROR
        elif step.route not in levels:
            yield from _walk(step.route, (*way, step.route), levels, steps, names)
        inner = max(inner, levels.get(step.route, 1))
    levels[index] = inner + 1


def _unused(tree: Tree, steps: list[list[Step]]) -> Iterator[Finding]:
    used: set[object] = {step.deployment for route in steps for step in route}
    used.update(name for _, name in asked_by_caches(tree) if isinstance(name, str))
    reached = {step.route for route in steps for step in route}
    for place, _ in entries(tree, "deployments"):
        if place[1] not in used:
            yield place, "no route uses this deployment", Severity.WARNING
    for index, (place, body) in enumerate(entries(tree, "routes")):
        if "model" not in body and "name" in body and index not in reached:
            yield place, "nothing leads here: it has no model, and no other route names it", Severity.WARNING


def _shadowed(tree: Tree) -> Iterator[Finding]:
    """First match wins: a pattern whose every model an earlier route takes never matches, unless that has a `when`."""
    earlier: list[tuple[str, Place]] = []
    for route, body in entries(tree, "routes"):
        patterns = [pattern for pattern in listed(body, "model") if isinstance(pattern, str)]
        for index, pattern in enumerate(patterns):
            place: Place = (*route, "model", index) if isinstance(body["model"], list) else (*route, "model")
            by = next((where for other, where in earlier if covers(other, pattern)), None)
            if by is not None:
                yield place, f"never matches: {written(by)} takes these models first", Severity.ERROR
            if body.get("when") is None:
                earlier.append((pattern, place))


def covers(wide: str, narrow: str) -> bool:
    """Every model that the pattern `narrow` matches is matched by `wide` too."""
    if not is_glob(wide):
        return wide == narrow
    # A star stands for nothing, or for more than the question marks of `wide` can take: only a star there meets both.
    stretched = narrow.replace("*", "\0" * (len(wide) + 1))
    glob = compile_glob(wide)
    return bool(glob.fullmatch(narrow.replace("*", "")) and glob.fullmatch(stretched))


def _settings(route: Place, body: dict[str, Any]) -> Iterator[Finding]:
    """Settings that belong to a strategy, and targets that it can choose from."""
    strategy = body.get("strategy", "ordered")
    if strategy == "spill" and "spill" not in body:
        yield (*route, "spill"), "is missing: strategy spill needs at least {max_wait: 2s}", Severity.ERROR
    if strategy != "spill" and "spill" in body:
        yield (*route, "spill"), "is for strategy spill only", Severity.ERROR
    if strategy not in ("sticky", "weighted") and "by" in body:
        yield (*route, "by"), "is for the strategies sticky and weighted only", Severity.ERROR
    if "model" not in body:
        for word in OF_A_CALL:
            if word in body:
                message = "counts for nothing: this route has no model, and calls go by the route that they came for"
                yield (*route, word), message, Severity.ERROR
    if _weightless(body):
        yield (*route, "targets"), "every weight is 0, so nothing would be called", Severity.ERROR


def _weightless(body: dict[str, Any]) -> bool:
    """A weighted route whose every target says weight 0."""
    targets = body.get("targets")
    if body.get("strategy") != "weighted" or not isinstance(targets, list) or not targets:
        return False
    return all(isinstance(target, dict) and str(target.get("weight")) == "0" for target in targets)
