"""Hands a call whose stream broke on its way to another leg, which takes up the answer where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.attempts import ATTEMPTS_MAX, AttemptPlan
from policies.route_rules import Capability

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from adapters.schema import InferenceRequest
    from gateway.attempts.legs import Leg
    from gateway.call import Call, Reply
    from policies.vocabulary import Failure


class Relay:
    """The legs of one call's stream, one after the other. `carry_out` makes attempts as for any other call."""

    def __init__(
        self,
        call: Call,
        leg: Leg,
        carry_out: Callable[[AttemptPlan, InferenceRequest], Awaitable[tuple[Leg, Reply]]],
    ) -> None:
        self._call = call
        self._leg = leg
        self._carry_out = carry_out

    async def open(self, request: InferenceRequest, *, exclude: frozenset[str], only_prefill: bool) -> Reply | None:
        """The answer to `request`, known good, from a candidate that `exclude` names neither by id nor by name.

        None where nobody is left to ask. Raises `UpstreamError` where those failed, and what a reservation raises.
        """
        plan = self._plan(exclude, only_prefill=only_prefill)
        if plan is None or self._call.cancelled:
            return None
        self._leg.go_on(plan.candidates[0])
        self._leg, reply = await self._carry_out(plan, request)
        return reply

    def drop(self, failure: Failure | None) -> None:
        """The leg that answers is over and gives back what it holds: it broke, or nobody has a use for its answer."""
        self._leg.drop(failure)

    def _plan(self, exclude: frozenset[str], *, only_prefill: bool) -> AttemptPlan | None:
        call = self._call
        route, choice = call.route, call.choice
        left = ATTEMPTS_MAX - len(call.attempts)
        if route is None or choice is None or left <= 0:
            return None
        able = [
            deployment
            for deployment in choice.candidates
            if deployment.id not in exclude
            and deployment.name not in exclude
            and (not only_prefill or Capability.PREFILL in deployment.has)
        ]
        # Who broke off or failed before is asked again as any other second try is: one, if there is budget for it.
        tried = {attempt.deployment.id for attempt in call.attempts}
        able = [d for d in able if d.id not in tried][:left] or [d for d in able if self._leg.may_repeat(d)][:1]
        if not able:
            return None
        deadline_s = call.received_s + route.timeouts.total_s
        return AttemptPlan(tuple(able), len(able), 1, deadline_s, needed=call.needs.capabilities)
