"""From the model that was asked for to the deployments that may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import RequestError
from policies.matching import allowed

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.call import Call, Reply
    from gateway.lifecycle import Lifecycle
    from gateway.pipeline import Handler


class RouteStage:
    """Raises `RequestError`: 404 for a model no route has, 403 for one this key may not use, 400 for an endpoint
    that none of the route's deployments offers.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        request = call.request
        route = call.generation.index.match(request.model)
        if route is None:
            raise RequestError(
                f"The model `{request.model[:200]}` does not exist or you do not have access to it.",
                status=404,
                code="model_not_found",
                param="model",
            )
        if call.principal is not None and not allowed(call.principal, route):
            raise RequestError(
                f"This key may not use the model `{request.model[:200]}`.",
                status=403,
                code="model_not_allowed",
                param="model",
            )
        call.route = route
        self._lifecycle.enter_route(route.name)
        call.candidates = call.generation.offers[route.name, request.endpoint]
        if not call.candidates:
            raise RequestError(
                f"The model `{request.model[:200]}` does not offer {request.endpoint}.",
                code="unsupported_endpoint",
                param="model",
            )
        return then(call)
