"""One attempt from its reservation to its end: what it takes, what it leaves written down, what it gives back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.call import Attempt
from gateway.committing import hold, holds_back
from gateway.errors import CancelledUnsent, InternalError, RequestError, UpstreamError
from gateway.records.settlement import HEDGE_LOST
from gateway.scope import Scope
from policies.attempts import AttemptKind
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.schema import InferenceRequest
    from gateway.call import Call, Reply
    from gateway.limits.admission import Admission
    from gateway.pipeline import Handler
    from gateway.state.fleet import Fleet
    from gateway.state.hardware import HardwareTimes, Timed
    from policies.limit_index import Bound
    from policies.vocabulary import Deployment, Failure, Timeouts

REFUSED: Final = "refused"
DROPPED: Final = "resume_dropped"


class AttemptLog(Protocol):
    """Where an attempt is written down before it is made."""

    def begin(self, call: Call, attempt: Attempt) -> None: ...


class Desk(NamedTuple):
    """What every attempt of the process goes over."""

    fleet: Fleet
    clock: Callable[[], float]
    admission: Admission
    log: AttemptLog
    hardware: HardwareTimes | None = None


class Step(NamedTuple):
    """What was decided of an attempt. `timeouts` and `request` where they are not the route's and the call's own."""

    deployment: Deployment
    kind: AttemptKind = AttemptKind.FIRST
    forced: bool = False
    timeouts: Timeouts | None = None
    request: InferenceRequest | None = None


class Leg:
    """An attempt that is made, and ends once: it fails, wins, is outrun by a hedge, or its caller leaves.

    A leg that fails gives back at once; what the winner holds goes with its call.
    """

    __slots__ = ("_call", "_desk", "_lease", "_scope", "_timed", "attempt", "outrun", "started_s", "step")

    def __init__(self, desk: Desk, call: Call, step: Step) -> None:
        self._desk = desk
        self._call = call
        self.step = step
        self._lease = desk.fleet.lease(step.deployment, forced=step.forced, needs=call.needs)
        self._scope: Scope | None = None
        self._timed: Timed | None = None
        self.started_s = desk.clock()
        self.attempt: Attempt | None = None
        self.outrun = False

    @property
    def has_content(self) -> bool:
        return self.attempt is not None and self.attempt.first_token_s is not None

    async def extend(self) -> None:
        """Reserve the tokens and the cost of an attempt beside another. Raises `LimitError`."""
        if self._call.admitted is None:
            return
        try:
            await self._desk.admission.extend(self._call)
        except BaseException:
            self._lease.waive()
            raise

    async def enter(self, bounds: Sequence[Bound]) -> None:
        """Raises `UpstreamError` where a limit of the deployment or its provider has no room for this attempt."""
        deployment = self.step.deployment
        failure: Failure | None = None
        try:
            failure = await self._desk.admission.enter(self._call, deployment, bounds)
        except BaseException:
            self._lease.waive()
            raise
        if failure is not None:
            self._lease.waive()
            raise UpstreamError(failure, deployment.name)

    async def run(self, then: Handler) -> Reply:
        """Make the attempt. The reply is known good, as far as the route wants to know before the caller sees it."""
        call, step, desk = self._call, self.step, self._desk
        attempt = self.attempt = Attempt(
            number=len(call.attempts) + 1, deployment=step.deployment, started_s=desk.clock(), kind=step.kind
        )
        attempt.timeouts, attempt.request = step.timeouts, step.request
        call.attempts.append(attempt)
        if call.admitted is not None:
            desk.admission.begin(call, attempt)
        if desk.hardware is not None and step.deployment.hardware is not None:
            self._timed = desk.hardware.begin(step.deployment)
        try:
            desk.log.begin(call, attempt)
            reply = await then(call)
            if reply.answer.body is None and call.route is not None and holds_back(call.route.commit):
                reply.answer = await hold(reply.answer, call.route.commit)
        except BaseException as error:
            self._end(attempt, error)
            raise
        self._lease.answer()
        return reply

    def win(self, reply: Reply) -> None:
        """Its answer goes out, and what it holds stays with the call until the answer is over."""
        call, attempt = self._call, self.attempt
        assert attempt is not None  # noqa: S101 - it has answered
        call.answering = attempt
        scope = self._scope = Scope()
        scope.defer(self._finish)
        scope.defer(reply.answer.close)
        call.scope.defer(scope.close)

    def lose(self, reply: Reply | None = None) -> None:
        """Another leg was faster. What this one used is billed; nobody waits for it to end."""
        self.outrun = True
        attempt = self.attempt
        if attempt is None or attempt.ended_s is not None:
            return
        if reply is not None:
            reply.answer.close()
        attempt.ended_s = self._desk.clock()
        attempt.cancelled, attempt.stopped, attempt.sent = True, HEDGE_LOST, True
        if attempt.first_token_s is None:
            self._lease.outrun(attempt)
        self._give_back(attempt)
        self._leave(attempt)

    def drop(self, failure: Failure | None) -> None:
        """Its answer broke on its way out, or turned out to be of no use; another leg takes up what the caller has."""
        attempt = self.attempt
        if attempt is None or self._scope is None or self._scope.closed:
            return
        if failure is None:
            attempt.cancelled, attempt.stopped = True, DROPPED
        else:
            attempt.failure = failure
        self._scope.close()

    def may_repeat(self, deployment: Deployment) -> bool:
        """Whether the budget of a deployment that the call has tried has room for a further attempt."""
        return not self._desk.fleet.live((deployment,), (deployment.id,)).spent

    def go_on(self, deployment: Deployment) -> None:
        """Another leg is to take up what this one began; where its deployment was tried before, that is a retry."""
        if any(attempt.deployment.id == deployment.id for attempt in self._call.attempts):
            self._desk.fleet.spend_retry(deployment)

    def _end(self, attempt: Attempt, error: BaseException) -> None:
        if self.outrun:
            # What became of it is written down; only whether anything was sent is known better now.
            attempt.sent = _may_be_billed(error)
            return
        attempt.ended_s = self._desk.clock()
        attempt.sent = _may_be_billed(error)
        if isinstance(error, UpstreamError):
            attempt.failure = error.failure
            self._lease.fail(error.failure, attempt)
        elif isinstance(error, asyncio.CancelledError):
            attempt.cancelled = True
        else:
            attempt.stopped = REFUSED if isinstance(error, RequestError) else InternalError.code
        self._give_back(attempt)
        self._leave(attempt)

    def _finish(self) -> None:
        """The winner's end, when the answer has gone out, broke on its way, or nobody was there to take it."""
        attempt = self.attempt
        assert attempt is not None  # noqa: S101 - it has won
        attempt.ended_s = self._desk.clock()
        attempt.sent = True
        failure = attempt.failure
        if failure is not None:
            # A long answer, or a caller who reads slowly, uses up a call's time; neither speaks against who answers.
            if failure.kind is not FailureKind.TOTAL:
                self._lease.fail(failure, attempt)
        elif not attempt.cancelled:
            self._lease.succeed(attempt)
        self._give_back(attempt)

    def _give_back(self, attempt: Attempt) -> None:
        self._lease.release()
        if self._timed is not None:
            engine = attempt.tally.engine if attempt.tally is not None else None
            attempt.gpu_us = self._timed.end(None if engine is None else engine.compute_s)
            self._timed = None

    def _leave(self, attempt: Attempt) -> None:
        if self._call.admitted is not None:
            self._desk.admission.leave(self._call, attempt)


def _may_be_billed(error: BaseException) -> bool:
    """Whether tokens may have been generated before an attempt ended like this; after a bug, nobody knows."""
    if isinstance(error, UpstreamError):
        return error.failure.maybe_billed
    return not isinstance(error, CancelledUnsent | RequestError)
