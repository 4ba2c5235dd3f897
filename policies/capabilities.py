"""Who can answer a request, and who may: what a deployment lacks of what the request needs.

What is unknown rules nobody out, for most of what operators deploy is described by nobody. What is required for the
sake of the law does: a deployment without a region is in none, and one that names no classes of data takes only calls
without a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.choosing import Refused, Rejection
from policies.vocabulary import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.route_rules import Needs, Requirements
    from policies.vocabulary import Deployment, Destination


def filter_candidates(
    route: Route, candidates: tuple[Deployment, ...], needs: Needs
) -> tuple[tuple[Deployment, ...], tuple[Rejection, ...]]:
    """Those that can and may answer, the very same tuple where all do; and why not the others.

    Where the answer has room nowhere but the prompt has, those are kept that the prompt fits into: many callers ask for
    a longer answer than there can be, and most servers give them what there is. Nobody is left where the only ones left
    are declared for a kind of failure that cannot come any more.
    """
    capabilities, input_tokens, output_tokens, requires, _ = needs
    tokens = input_tokens + (output_tokens or 0)
    if _binds(requires) or _binds(route.requires) or _nests(route):
        return _filter_each(route, candidates, needs)
    for deployment in candidates:
        if not capabilities.isdisjoint(deployment.lacks):
            break
        if deployment.context_tokens is not None and tokens > deployment.context_tokens:
            break
    else:
        return candidates, ()
    return _filter_each(route, candidates, needs)


def lacking(route: Route, deployment: Deployment, needs: Needs) -> Rejection | None:
    """Why this deployment of the route cannot or may not take the request; None where it can."""
    for requires in _inner_requirements(route, deployment):
        if (refused := _unmet(deployment, requires)) is not None:
            return refused
    return _lacking(route, deployment, needs)


def _lacking(route: Route, deployment: Deployment, needs: Needs) -> Rejection | None:
    """As `lacking`, for a route without routes inside it."""
    refused = _unmet(deployment, needs.requires) or _unmet(deployment, route.requires)
    if refused is not None:
        return refused
    if not needs.capabilities.isdisjoint(deployment.lacks):
        missing = ", ".join(sorted(needs.capabilities & deployment.lacks))
        return Rejection(deployment, Refused.CAPABILITY, missing)
    if not fits(deployment, needs):
        tokens = needs.input_tokens + (needs.output_tokens or 0)
        return Rejection(deployment, Refused.CONTEXT, f"{tokens} tokens, room for {deployment.context_tokens}")
    return None


def fits(deployment: Deployment, needs: Needs) -> bool:
    """Whether prompt and answer have room, as far as that is known."""
    if deployment.context_tokens is None:
        return True
    return needs.input_tokens + (needs.output_tokens or 0) <= deployment.context_tokens


def is_in(region: str | None, required: str) -> bool:
    """Whether a deployment's region is the required one or lies in it: `eu-west-1` is in `eu`."""
    return region is not None and (region == required or region.startswith(f"{required}-"))


def _filter_each(
    route: Route, candidates: tuple[Deployment, ...], needs: Needs
) -> tuple[tuple[Deployment, ...], tuple[Rejection, ...]]:
    refusal = lacking if _nests(route) else _lacking
    found = [(deployment, refusal(route, deployment, needs)) for deployment in candidates]
    rejected = tuple([refused for _, refused in found if refused is not None])
    if not rejected:
        return candidates, ()
    capable = tuple([deployment for deployment, refused in found if refused is None])
    if _may_begin(route, capable, rejected):
        return capable, rejected
    if needs.output_tokens and any(refused.reason is Refused.CONTEXT for refused in rejected):
        return _filter_each(route, candidates, needs._replace(output_tokens=None))
    return (), rejected


def _may_begin(route: Route, capable: tuple[Deployment, ...], rejected: tuple[Rejection, ...]) -> bool:
    """Whether any of these answers a call that has not failed yet."""
    ids = {deployment.id for deployment in capable}
    if any(deployment.id in ids for deployment in _leaves(*_answering(route))):
        return True
    too_long = any(refused.reason is Refused.CONTEXT for refused in rejected)
    return too_long and any(deployment.id in ids for deployment in _leaves(*route.context_fallbacks))


def _answering(route: Route) -> tuple[Destination, ...]:
    return (*(target.to for target in route.targets), *route.fallbacks)


def _nests(route: Route) -> bool:
    """Whether there are routes inside this one."""
    for target in route.targets:
        if target.to.__class__ is Route:
            return True
    others = route.fallbacks or route.context_fallbacks or route.content_fallbacks
    return bool(others) and any(to.__class__ is Route for to in _declared(route)[len(route.targets) :])


def _declared(route: Route) -> tuple[Destination, ...]:
    return (*_answering(route), *route.context_fallbacks, *route.content_fallbacks)


def _leaves(*destinations: Destination) -> Iterator[Deployment]:
    for to in destinations:
        if isinstance(to, Route):
            yield from _leaves(*_answering(to), *to.context_fallbacks)
        else:
            yield to


def _inner_requirements(route: Route, deployment: Deployment) -> Iterator[Requirements]:
    """What the routes inside this one that lead to the deployment require, too."""
    for to in _declared(route):
        if isinstance(to, Route) and any(leaf.id == deployment.id for leaf in _all_leaves(to)):
            yield to.requires
            yield from _inner_requirements(to, deployment)


def _all_leaves(to: Destination) -> Iterator[Deployment]:
    if not isinstance(to, Route):
        yield to
        return
    for inner in _declared(to):
        yield from _all_leaves(inner)


def _binds(requires: Requirements) -> bool:
    return bool(requires.regions or requires.data_classes)


def _unmet(deployment: Deployment, requires: Requirements) -> Rejection | None:
    regions, data_classes = requires
    if regions and (outside := [region for region in regions if not is_in(deployment.region, region)]):
        return Rejection(deployment, Refused.REGION, f"not in {', '.join(sorted(outside))}")
    if not data_classes <= deployment.data_classes:
        unnamed = ", ".join(sorted(data_classes - deployment.data_classes))
        return Rejection(deployment, Refused.DATA_CLASS, f"not for {unnamed}")
    return None
