"""Carries out what `policies.attempts` decides: try, wait, move to a fallback, give up."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.call import Attempt
from gateway.errors import CancelledUnsent, InternalError, RequestError, UpstreamError
from gateway.scope import Scope
from policies.attempts import AttemptPlan, GiveUp, Outcome, Wait, decide

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.call import Call, Reply
    from gateway.pipeline import Handler
    from gateway.state.fleet import Fleet, Lease
    from policies.attempts import Decision
    from policies.vocabulary import Deployment


REFUSED: Final = "refused"


class AttemptStage:
    """Each attempt has a scope of its own: a failed one gives back at once, the winner's moves to the call."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float], rng: Random) -> None:
        self._fleet = fleet
        self._clock = clock
        self._rng = rng

    async def __call__(self, call: Call, then: Handler) -> Reply:
        route = call.route
        if route is None:
            raise InternalError("a call reached its attempts without a route")
        ordered = self._fleet.order(route, call.candidates)
        deadline_s = call.received_s + route.timeouts.total_s
        plan = AttemptPlan(ordered.candidates, ordered.primaries, route.retry_attempts, deadline_s)
        history: tuple[Outcome, ...] = ()
        while True:
            decision = self._decide(plan, history)
            if isinstance(decision, GiveUp):
                raise UpstreamError(decision.failure, history[-1].deployment if history else "")
            if isinstance(decision, Wait):
                self._fleet.spend_retry()
                await asyncio.sleep(decision.delay_s)
            forced = not isinstance(decision, Wait) and decision.forced
            try:
                return await self._try(call, then, decision.deployment, forced=forced)
            except UpstreamError as error:
                history = (*history, self._outcome(call, error))

    def _decide(self, plan: AttemptPlan, history: tuple[Outcome, ...]) -> Decision:
        live = self._fleet.live(plan.candidates, repeating=bool(history))
        return decide(plan, history, self._clock(), self._rng, live)

    async def _try(self, call: Call, then: Handler, deployment: Deployment, *, forced: bool) -> Reply:
        attempt = Attempt(number=len(call.attempts) + 1, deployment=deployment, started_s=self._clock())
        call.attempts.append(attempt)
        scope = Scope()
        lease = self._fleet.lease(deployment.name, forced=forced)
        try:
            reply = await then(call)
        except BaseException as error:
            self._end(attempt, lease, error)
            scope.close()
            raise
        lease.answer()
        scope.defer(partial(self._finish, attempt, lease))
        scope.defer(reply.answer.close)
        call.scope.adopt(scope)
        return reply

    def _end(self, attempt: Attempt, lease: Lease, error: BaseException) -> None:
        attempt.ended_s = self._clock()
        if isinstance(error, UpstreamError):
            attempt.failure = error.failure
            attempt.sent = error.failure.maybe_billed
            lease.fail(error.failure)
        elif isinstance(error, asyncio.CancelledError):
            attempt.cancelled = True
            attempt.sent = not isinstance(error, CancelledUnsent)
        else:
            attempt.stopped = REFUSED if isinstance(error, RequestError) else InternalError.code
            attempt.sent = not isinstance(error, RequestError)  # after a bug, tokens may have been generated
        lease.release()

    def _finish(self, attempt: Attempt, lease: Lease) -> None:
        """The winner's end, when the answer has gone out, broke on its way, or nobody was there to take it."""
        attempt.ended_s = self._clock()
        attempt.sent = True
        if attempt.failure is not None:
            lease.fail(attempt.failure)
        elif not attempt.cancelled:
            lease.succeed()
        lease.release()

    def _outcome(self, call: Call, error: UpstreamError) -> Outcome:
        attempt = call.attempts[-1]
        ended_s = attempt.ended_s if attempt.ended_s is not None else self._clock()
        return Outcome(attempt.deployment.name, error.failure, attempt.started_s, ended_s)
