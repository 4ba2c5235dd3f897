"""From the model that was asked for to the deployments that can and may answer."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.fitting import fit, may_be_too_long
from gateway.needs import needs_of
from gateway.no_candidates import endpoint_refused, key_refused, nobody_left, unknown_model
from gateway.signals.conventions import Mark
from gateway.subjects import subject_of
from policies.capabilities import filter_candidates
from policies.choosing import Choice, Refused, Rejection
from policies.matching import allowed, candidates
from policies.route_rules import NO_REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.call import Call, Reply
    from gateway.fitting import Counts
    from gateway.lifecycle import Lifecycle
    from gateway.pipeline import Handler
    from policies.matching import Offer, Way
    from policies.route_rules import Needs


ROUTE: Final = Mark.ROUTE


class RouteStage:
    """Raises `RequestError`: 404 for a model no route has, 403 for one this key may not use and where nobody who could
    answer may, 400 for what none of the route's deployments can do.
    """

    def __init__(self, lifecycle: Lifecycle, counts: Counts) -> None:
        self._lifecycle = lifecycle
        self._counts = counts

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        index, model, principal = call.generation.index, call.request.model, call.principal
        way = index.exact.get(model) or index.match(model, partial(subject_of, call))
        if way is None:
            raise unknown_model(model)
        route = way.route
        if principal is not None and not allowed(principal, route):
            raise key_refused(model)
        call.route = route
        self._lifecycle.enter_route(route.name)
        offer = way.offers[call.request.endpoint]
        if not offer.candidates:
            raise endpoint_refused(call)
        needs = call.needs = needs_of(call, way)
        if not offer.rejected and is_for_all(way, needs):
            call.candidates = offer.candidates
            call.marks.append((ROUTE, monotonic()))
            return then(call)
        return self._among(call, way, offer, then)

    def _among(self, call: Call, way: Way, offer: Offer, then: Handler) -> Awaitable[Reply]:
        if way.nested:
            offer = _met(call, way, offer)
        if may_be_too_long(way, call.needs, offer.candidates):
            return self._sized(call, way, offer, then)
        unsized = call.needs._replace(input_tokens=0, output_tokens=None)  # bytes are no count to rule anyone out by
        call.candidates, refused = filter_candidates(way.route, offer.candidates, unsized)
        _note(call, (*offer.rejected, *refused))
        call.marks.append((ROUTE, monotonic()))
        return then(call)

    async def _sized(self, call: Call, way: Way, offer: Offer, then: Handler) -> Reply:
        found = await fit(call, way, offer.candidates, self._counts)
        is_counted = found.input_tokens < call.needs.input_tokens
        call.needs = call.needs._replace(input_tokens=found.input_tokens, is_counted=is_counted)
        call.candidates = found.capable
        _note(call, (*offer.rejected, *found.rejected))
        call.marks.append((ROUTE, monotonic()))
        return await then(call)


def is_for_all(way: Way, needs: Needs) -> bool:
    """Whether it is plain that every deployment of the route can and may answer."""
    capabilities, input_tokens, output_tokens, requires, _ = needs
    least = way.context_tokens_least
    return (
        way.is_simple
        and requires is NO_REQUIREMENTS
        and (not way.lacked or capabilities.isdisjoint(way.lacked))
        and (least is None or input_tokens + (output_tokens or 0) <= least)
    )


def _met(call: Call, way: Way, offer: Offer) -> Offer:
    """Without those that only routes have whose `when` does not hold."""
    subject = subject_of(call)
    unmet = frozenset(inner.name for inner in way.nested if inner.when is not None and not inner.when(subject))
    call.met = frozenset(inner.name for inner in way.nested) - unmet
    if not unmet:
        return offer
    left = {deployment.id for deployment in candidates(way.route, unmet)}
    out = [deployment for deployment in offer.candidates if deployment.id not in left]
    kept = tuple(deployment for deployment in offer.candidates if deployment.id in left)
    return offer._replace(
        candidates=kept, rejected=(*offer.rejected, *(Rejection(deployment, Refused.WHEN) for deployment in out))
    )


def _note(call: Call, rejected: tuple[Rejection, ...]) -> None:
    """Keep who was ruled out. Raises `RequestError` where nobody is left."""
    if rejected:
        call.choice = Choice(call.candidates, 0, rejected)
    if not call.candidates:
        raise nobody_left(call, rejected)
