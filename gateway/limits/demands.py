"""How much one call may come to use: bounded cheaply at first, counted exactly where that bound is too much."""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING, Protocol

from gateway.limits.extras import NO_EXTRAS, extras_of
from gateway.limits.refusals import uncountable
from policies.estimate import (
    Amounts,
    Estimate,
    TooLargeError,
    amounts_of,
    context_window,
    cost_bound,
    output_bound,
    output_default,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from gateway.limits.extras import Extras
    from gateway.limits.plans import Plan
    from policies.estimate import OutputBound
    from policies.vocabulary import Deployment

SHARE_OF_LIMIT = 4
"""What is built in as a call's output shrinks to this part of a small limit, so that some calls fit side by side."""


class Estimates(Protocol):
    """What `gateway.prompts.estimates.Estimator` says of prompts."""

    def bound(self, request: InferenceRequest, context_tokens: int | None = None) -> int: ...

    async def exact(self, request: InferenceRequest, model: str, context_tokens: int | None = None) -> int: ...


class Demand:
    """One call's estimate. It covers one attempt at whichever candidate costs most."""

    __slots__ = ("_call", "_context_tokens", "_estimates", "extras", "input_tokens", "is_exact", "output")

    def __init__(self, call: Call, estimates: Estimates) -> None:
        self._call = call
        self._estimates = estimates
        self._context_tokens = context_window(call.candidates)
        self.input_tokens = estimates.bound(call.request, self._context_tokens)
        self.is_exact = False
        self.output: OutputBound | None = None
        self.extras: Extras | None = None  # looked for where money is limited

    @property
    def output_tokens(self) -> int:
        return 0 if self.output is None else self.output.tokens

    def cap_output(self, plan: Plan) -> None:
        """Know the most that will be generated. Where the caller set no limit the upstream is told one, which makes the
        estimate true.
        """
        if self.output is not None or not plan.caps_output:
            return
        call = self._call
        request = call.request
        generations, told = request.generations, request.output_tokens_max
        default = 0 if told is not None or not generations else _output_default(call, plan)
        self.output = output_bound(told, generations, default, self._context_tokens, self.input_tokens)
        if self.output.added is not None:
            call.request = copy(request)
            call.request.output_tokens_added = self.output.added

    async def sharpen(self) -> bool:
        """Count the prompt exactly; true where that is less than the bound was."""
        before, self.is_exact = self.input_tokens, True
        counted = 0
        for model in {deployment.model for deployment in self._call.candidates}:
            counted = max(counted, await self._estimates.exact(self._call.request, model, self._context_tokens))
        self.input_tokens = min(before, counted)
        return self.input_tokens < before

    def amounts(self, plan: Plan, candidates: Sequence[Deployment]) -> Amounts:
        """Raises `RequestError` for more than any account could hold."""
        estimate = Estimate(self.input_tokens, 0 if self.output is None else self.output.tokens)
        try:
            return amounts_of(estimate, self._nanousd(estimate, candidates) if plan.has_budget else 0)
        except TooLargeError:
            raise uncountable() from None

    def _nanousd(self, estimate: Estimate, candidates: Sequence[Deployment]) -> int:
        if self.extras is None:
            self.extras = extras_of(self._call.request)
        if self.extras is not NO_EXTRAS:
            estimate = estimate._replace(service=self.extras.service, searches=self.extras.searches)
        return cost_bound(estimate, candidates, time.time()).nanousd


def _output_default(call: Call, plan: Plan) -> int:
    """The key's, else the route's, else what all candidates can do, else what is built in."""
    principal, route = call.principal, call.route
    known = [tokens for d in call.candidates if (tokens := d.output_tokens_default) is not None]
    stated = (
        principal.output_tokens_default if principal is not None else None,
        route.output_tokens_default if route is not None else None,
        min(known, default=None),
    )
    default = output_default(call.request.endpoint, stated)
    if plan.smallest_output is None or any(tokens is not None for tokens in stated):
        return default
    return max(1, min(default, plan.smallest_output // SHARE_OF_LIMIT // call.request.generations))
