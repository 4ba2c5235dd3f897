"""Carries out what `policies.attempts` decides: try, wait, move to a fallback, give up."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from gateway.call import Attempt
from gateway.drains import DrainableAnswer, outlive
from gateway.errors import CancelledUnsent, InternalError, RequestError, UpstreamError
from gateway.limits import refusals
from gateway.scope import Scope
from policies.attempts import AttemptPlan, GiveUp, History, Outcome, Try, Wait, decide
from policies.vocabulary import FailureKind, OnDisconnect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.call import Call, Reply
    from gateway.drains import Drain
    from gateway.errors import GatewayError
    from gateway.limits.admission import Admission
    from gateway.pipeline import Handler
    from gateway.state.fleet import Fleet, Lease
    from policies.attempts import Decision
    from policies.limit_index import Bound
    from policies.vocabulary import Deployment


REFUSED: Final = "refused"


class AttemptLog(Protocol):
    """Where an attempt is written down before it is made."""

    def begin(self, call: Call, attempt: Attempt) -> None: ...


class AttemptStage:
    """Each attempt has a scope of its own: a failed one gives back at once, the winner's moves to the call."""

    def __init__(
        self, fleet: Fleet, clock: Callable[[], float], rng: Random, admission: Admission, log: AttemptLog
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._rng = rng
        self._admission = admission
        self._log = log

    async def __call__(self, call: Call, then: Handler) -> Reply:
        if not call.generation.drains:
            return await self._run(call, then)
        running = asyncio.ensure_future(self._run(call, then))
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError:
            call.drain = partial(self._go_on, call, partial(outlive, running))
            raise
        return running.result()

    async def _run(self, call: Call, then: Handler) -> Reply:
        """A cancelled call goes on for the sake of its usage only; nobody waits for another's answer."""
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
                raise self._given_up(decision, history)
            if isinstance(decision, Wait):
                self._fleet.spend_retry()
                await asyncio.sleep(decision.delay_s)
            if call.admitted is not None and call.attempts:
                await self._admission.extend(call)
            if call.cancelled and history:
                raise UpstreamError(history[-1].failure, history[-1].deployment)
            forced = isinstance(decision, Try) and decision.forced
            started_s = self._clock()
            try:
                return await self._try(call, then, decision.deployment, forced=forced)
            except UpstreamError as error:
                outcome = Outcome(decision.deployment.name, error.failure, started_s, self._clock())
                history = (*history, outcome)
                if call.cancelled:
                    raise

    def _decide(self, plan: AttemptPlan, history: tuple[Outcome, ...]) -> Decision:
        live = self._fleet.live(plan.candidates, repeating=bool(history))
        return decide(plan, History(history), self._clock(), self._rng, live)

    async def _try(self, call: Call, then: Handler, deployment: Deployment, *, forced: bool) -> Reply:
        lease = self._fleet.lease(deployment.name, forced=forced)
        if bounds := call.generation.limits.of_deployment(deployment):
            await self._enter(call, deployment, lease, bounds)
        attempt = Attempt(number=len(call.attempts) + 1, deployment=deployment, started_s=self._clock())
        call.attempts.append(attempt)
        if call.admitted is not None:
            self._admission.begin(call, attempt)
        scope = Scope()
        try:
            self._log.begin(call, attempt)
            reply = await then(call)
        except BaseException as error:
            self._end(attempt, lease, error)
            scope.close()
            if call.admitted is not None:
                self._admission.leave(call)
            raise
        lease.answer()
        scope.defer(partial(self._finish, attempt, lease))
        if deployment.on_disconnect is OnDisconnect.DRAIN and reply.answer.body is None:
            answer = reply.answer = DrainableAnswer(reply.answer)
            call.drain = partial(self._go_on, call, answer.drain)
        scope.defer(reply.answer.close)
        call.scope.adopt(scope)
        return reply

    async def _go_on(self, call: Call, drain: Drain) -> None:
        try:
            await drain()
        except UpstreamError as error:
            # An attempt that failed before says why; one that a deployment had no room for was none.
            if call.attempts and call.attempts[-1].failure is None:
                call.attempts[-1].failure = error.failure

    async def _enter(self, call: Call, deployment: Deployment, lease: Lease, bounds: Sequence[Bound]) -> None:
        """Raises `UpstreamError` where a limit of the deployment or its provider has no room for this attempt."""
        failure = None
        try:
            failure = await self._admission.enter(call, deployment, bounds)
        except BaseException:
            lease.waive()
            raise
        if failure is not None:
            lease.waive()
            raise UpstreamError(failure, deployment.name)

    def _given_up(self, decision: GiveUp, history: tuple[Outcome, ...]) -> GatewayError:
        if decision.failure.kind is not FailureKind.LIMITED:
            return UpstreamError(decision.failure, history[-1].deployment if history else "")
        limited = [outcome.failure for outcome in history if outcome.failure.kind is FailureKind.LIMITED]
        waits = [failure.retry_after_s for failure in limited if failure.retry_after_s is not None]
        if not waits and len(limited) == len(history):
            return RequestError(decision.failure.message, code=refusals.TOO_LARGE)
        return refusals.full(min(waits, default=None))

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
