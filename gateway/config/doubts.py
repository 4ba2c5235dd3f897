"""What a policy says that is sound and cannot come to anything: a hedge without a second deployment, a fallback that
may never be asked. Found on the compiled routes, since it takes what is known of models and all that routes lead to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.compile import deployments, held_keys
from gateway.config.compile_routes import routing
from gateway.config.problems import Severity
from policies.capabilities import lacking
from policies.matching import candidates
from policies.route_rules import NO_NEEDS, NO_REQUIREMENTS, Capability, Resume
from policies.vocabulary import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.model import Config
    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from policies.vocabulary import Deployment, Route


BY_WEIGHT: Final = frozenset({"weighted", "sticky", "least_busy"})


def doubts(config: Config) -> Iterator[Finding]:
    """Warnings about a policy that can be used."""
    yield from _weights_for_nothing(config)
    if not _asks_for_doubt(config):
        return
    routes = routing(config, _known(config))
    for index, route in enumerate(routes):
        everyone = candidates(route)
        yield from _unmet(("routes", index, "require"), route, everyone)
        yield from _alone(("routes", index), route, everyone)
        yield from _no_prefill(("routes", index, "resume"), route, everyone)
    yield from _keys_for_nobody(config, routes)


def _weights_for_nothing(config: Config) -> Iterator[Finding]:
    for route, settings in enumerate(config.routes):
        if settings.strategy in BY_WEIGHT:
            continue
        for index, target in enumerate(settings.targets):
            if target.weight != 1:
                place: Place = ("routes", route, "targets", index, "weight")
                yield place, f"counts for nothing: strategy {settings.strategy} does not go by it", Severity.WARNING


def _asks_for_doubt(config: Config) -> bool:
    """Most policies say nothing of the kind, and need not be compiled for it."""
    routes = any(r.hedge or r.resume or r.require or r.strategy == "spill" for r in config.routes)
    orgs, teams = (org.require for org in config.orgs.values()), (team.require for team in config.teams.values())
    return routes or any((*orgs, *teams, *(key.require for key in config.keys)))


def _known(config: Config) -> dict[str, Deployment]:
    """With what is known of models where a doubt goes by it."""
    if not any("prefill" in (route.resume or ()) for route in config.routes):
        return deployments(config, lambda *_: None)
    from gateway.config.model_facts import ModelTable  # noqa: PLC0415 - reads prices' modules, for one doubt

    return deployments(config, lambda *_: None, ModelTable().facts_of)


def _unmet(place: Place, route: Route, everyone: tuple[Deployment, ...]) -> Iterator[Finding]:
    if route.requires == NO_REQUIREMENTS:
        return
    found = [(one, lacking(route, one, NO_NEEDS)) for one in everyone]
    never = [f"{one.name} ({refused.reason} {refused.detail})" for one, refused in found if refused is not None]
    if len(never) == len(found):
        yield place, "no deployment of this route meets it: every call is refused", Severity.WARNING
    elif never:
        yield place, f"is not met by {', '.join(dict.fromkeys(never))}: never asked", Severity.WARNING


def _alone(place: Place, route: Route, everyone: tuple[Deployment, ...]) -> Iterator[Finding]:
    """What takes a second deployment where there is one."""
    if len(everyone) > 1:
        return
    if route.hedge is not None:
        yield (*place, "hedge"), "has nowhere to go: this route leads to one deployment", Severity.WARNING
    if route.strategy is Strategy.SPILL:
        yield (*place, "strategy"), "has nowhere to spill to: this route leads to one deployment", Severity.WARNING


def _no_prefill(place: Place, route: Route, everyone: tuple[Deployment, ...]) -> Iterator[Finding]:
    if Resume.PREFILL in route.resume and not any(Capability.PREFILL in one.has for one in everyone):
        message = "prefill needs a deployment known to go on from a text: say supports: [prefill] of one that does"
        yield place, message, Severity.WARNING


def _keys_for_nobody(config: Config, routes: tuple[Route, ...]) -> Iterator[Finding]:
    for index, key in enumerate(held_keys(config)):
        needs = NO_NEEDS._replace(requires=key.requires)
        own = [route for route in routes if key.routes is None or route.name in key.routes]
        if key.requires != NO_REQUIREMENTS and all(
            lacking(route, one, needs) is not None for route in own for one in candidates(route)
        ):
            message = "no deployment of its routes meets what it, its team and its org require: every call is refused"
            yield ("keys", index), message, Severity.WARNING
