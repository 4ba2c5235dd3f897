"""Carries out what `policies.attempts` decides: try, wait, move to a fallback, hedge, give up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.attempts.legs import Leg, Step
from gateway.attempts.races import Course, Race
from gateway.attempts.relay import Relay
from gateway.drains import DrainableAnswer, outlive
from gateway.errors import InternalError, RequestError, UpstreamError
from gateway.limits import refusals
from gateway.resuming import resumable
from policies.attempts import NOTHING_YET, AttemptKind, AttemptPlan, GiveUp, Hedge, History, Outcome, Try, Wait, decide
from policies.patience import Outlook, first_token_s
from policies.route_rules import Capability
from policies.vocabulary import FailureKind, OnDisconnect

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from random import Random

    from adapters.schema import InferenceRequest
    from gateway.attempts.legs import Desk
    from gateway.attempts.races import Ended
    from gateway.call import Call, Reply
    from gateway.drains import Drain
    from gateway.errors import GatewayError
    from gateway.pipeline import Handler
    from gateway.records.settlement import TokenCounts
    from policies.attempts import Decision, Running
    from policies.vocabulary import Deployment, Timeouts

_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class Errand:
    """What is to be done for one call: the plan, and the request where it is not the call's own. `leg` has won."""

    __slots__ = ("call", "leg", "plan", "request", "then")

    def __init__(self, call: Call, then: Handler, plan: AttemptPlan, request: InferenceRequest | None = None) -> None:
        self.call = call
        self.then = then
        self.plan = plan
        self.request = request
        self.leg: Leg | None = None


class AttemptStage:
    """Each attempt is a leg of its own; without hedge rules there is one at a time, in the call's own task."""

    def __init__(self, desk: Desk, rng: Random, counts: TokenCounts) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._clock = desk.clock
        self._rng = rng
        self._counts = counts

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        route = call.route
        if route is None:
            raise InternalError("a call reached its attempts without a route")
        choice = call.choice = self._fleet.choose(call, self._clock(), self._rng)
        if not choice.candidates:
            raise RequestError("No deployment of this route may answer this request.", code="no_capable_deployment")
        if choice.wakes is not None:
            call.generation.upstreams[choice.wakes].wake()
        plan = _new(AttemptPlan, (
            choice.candidates,
            choice.primaries,
            route.retry_attempts,
            call.received_s + route.timeouts.total_s,
            route.retry_wait_max_s,
            choice.context_fallbacks,
            choice.content_fallbacks,
            call.needs.capabilities,
            route.hedge,
        ))  # fmt: skip
        errand = Errand(call, then, plan)
        if call.generation.drains and any(d.on_disconnect is OnDisconnect.DRAIN for d in call.candidates):
            return self._run_apart(errand)
        return self._run(errand)

    async def _run_apart(self, errand: Errand) -> Reply:
        """In a task that a leaving caller does not take along."""
        running = asyncio.ensure_future(self._run(errand))
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError:
            errand.call.drain = partial(self._go_on, errand.call, partial(outlive, running))
            raise
        return running.result()

    async def _run(self, errand: Errand) -> Reply:
        """A cancelled call goes on for the sake of its usage only; nobody waits for another's answer."""
        call, plan = errand.call, errand.plan
        ended: Ended = ()
        while True:
            tried = [outcome.deployment for outcome in ended]
            live = self._fleet.live(plan.everyone if ended else plan.candidates, tried)
            if live.set_aside and not call.attempts:
                call.set_aside = live.set_aside
            decision = decide(plan, History(ended) if ended else NOTHING_YET, self._clock(), self._rng, live)
            if isinstance(decision, GiveUp):
                raise given_up(decision, ended)
            if call.attempts or ended:
                await self._prepare(call, decision, ended)
            leg = Leg(self._desk, call, self._step(errand, decision, ended))
            try:
                if bounds := call.generation.limits.of_deployment(decision.deployment):
                    await leg.enter(bounds)
                if plan.hedge is None:
                    reply = await leg.run(errand.then)
                    self._win(errand, leg, reply)
                    return reply
            except UpstreamError as error:
                ended = (*ended, Outcome(decision.deployment.id, error.failure, leg.started_s, self._clock()))
                if call.cancelled:
                    raise
                continue
            race = Race(self._course(errand), ended, self._clock)
            won = await race.run(leg)
            if won is not None:
                return won
            ended = race.ended

    async def _prepare(self, call: Call, decision: Decision, ended: Ended) -> None:
        """What a further attempt waits for and reserves. Raises `LimitError`; `UpstreamError` once the caller left."""
        if isinstance(decision, Wait):
            self._fleet.spend_retry(decision.deployment)
            await asyncio.sleep(decision.delay_s)
        if call.admitted is not None and call.attempts:
            await self._desk.admission.extend(call)
        if call.cancelled and ended:
            raise UpstreamError(ended[-1].failure, ended[-1].deployment)

    def _step(self, errand: Errand, decision: Decision, ended: Ended) -> Step:
        assert not isinstance(decision, GiveUp)  # noqa: S101 - its caller looked
        call, deployment = errand.call, decision.deployment
        forced = isinstance(decision, Try) and decision.forced
        timeouts = self._patience(errand, deployment, ended) if call.request.stream else None
        if not call.attempts:
            return _new(Step, (deployment, AttemptKind.FIRST, forced, timeouts, errand.request))
        return Step(deployment, kind_of(errand, deployment), forced, timeouts, errand.request)

    def _patience(self, errand: Errand, here: Deployment, ended: Ended) -> Timeouts | None:
        """The time limits of an attempt there; None for the route's own."""
        call, route = errand.call, errand.call.route
        if route is None or not route.learns_first_token:
            return None
        tried = {here.id, *(outcome.deployment for outcome in ended)}
        others = [deployment for deployment in errand.plan.candidates if deployment.id not in tried]
        outlook = Outlook(
            self._fleet.late_s(here),
            len(others) > len(self._fleet.set_aside(others)),
            Capability.REASONING in call.needs.capabilities,
        )
        within_s = first_token_s(outlook)
        return None if within_s == route.timeouts.first_token_s else replace(route.timeouts, first_token_s=within_s)

    def _win(self, errand: Errand, leg: Leg, reply: Reply) -> None:
        """The reply goes out; what it takes to go on after a break, or after its caller has left, is put around it."""
        call, route = errand.call, errand.call.route
        errand.leg = leg
        leg.win(reply)
        answer = reply.answer
        if errand.request is not None or answer.body is not None or route is None:
            return
        if route.resume:
            relay = Relay(call, leg, partial(self._resume, errand))
            reply.answer = resumable(reply, call.request, route.resume, relay, self._counts)
        if leg.step.deployment.on_disconnect is OnDisconnect.DRAIN:
            drainable = reply.answer = DrainableAnswer(reply.answer)
            call.drain = partial(self._go_on, call, drainable.drain)
        if reply.answer is not answer:
            call.scope.defer(reply.answer.close)

    async def _resume(self, errand: Errand, plan: AttemptPlan, request: InferenceRequest) -> tuple[Leg, Reply]:
        further = Errand(errand.call, errand.then, plan, request)
        reply = await self._run(further)
        assert further.leg is not None  # noqa: S101 - one has won
        return further.leg, reply

    # hedging

    def _course(self, errand: Errand) -> Course:
        return Course(
            partial(self._company, errand),
            partial(self._start_hedge, errand),
            partial(self._run_leg, errand),
            partial(self._win, errand),
        )

    def _company(self, errand: Errand, ended: Ended, running: tuple[Running, ...]) -> Decision:
        """Whether what is under way gets a hedge. A caller who has left gets none."""
        call, plan, route = errand.call, errand.plan, errand.call.route
        live = self._fleet.live(plan.everyone)
        if route is not None and not call.cancelled and self._fleet.may_hedge(route):
            late = {d.id: self._fleet.late_s(d) for d in plan.everyone if call.request.stream}
            known = {name: late_s for name, late_s in late.items() if late_s is not None}
            live = live._replace(late_s=known, may_hedge=True)
        return decide(plan, History(ended, running), self._clock(), self._rng, live)

    def _start_hedge(self, errand: Errand, hedge: Hedge) -> Leg:
        route = errand.call.route
        assert route is not None  # noqa: S101 - its plan came from it
        self._fleet.spend_hedge(route)
        timeouts = self._patience(errand, hedge.deployment, ()) if errand.call.request.stream else None
        return Leg(self._desk, errand.call, Step(hedge.deployment, AttemptKind.HEDGE, timeouts=timeouts))

    async def _run_leg(self, errand: Errand, leg: Leg) -> Reply:
        call = errand.call
        if leg.step.kind is AttemptKind.HEDGE:
            await leg.extend()
            if bounds := call.generation.limits.of_deployment(leg.step.deployment):
                await leg.enter(bounds)
        return await leg.run(errand.then)

    async def _go_on(self, call: Call, drain: Drain) -> None:
        try:
            await drain()
        except UpstreamError as error:
            # An attempt that failed before says why; one that a deployment had no room for was none.
            attempt = call.answering or (call.attempts[-1] if call.attempts else None)
            if attempt is not None and attempt.failure is None:
                attempt.failure = error.failure


def kind_of(errand: Errand, deployment: Deployment) -> AttemptKind:
    """Why a further attempt is made there."""
    if errand.request is not None:
        return AttemptKind.RESUME
    here = errand.call.attempts[-1].deployment.name
    return AttemptKind.RETRY if deployment.name == here else AttemptKind.FALLBACK


def given_up(decision: GiveUp, ended: Ended) -> GatewayError:
    """What the caller of a call that has come to its end is told."""
    if decision.failure.kind is not FailureKind.LIMITED:
        return UpstreamError(decision.failure, ended[-1].deployment if ended else "")
    limited = [outcome.failure for outcome in ended if outcome.failure.kind is FailureKind.LIMITED]
    waits = [failure.retry_after_s for failure in limited if failure.retry_after_s is not None]
    if not waits and len(limited) == len(ended):
        return RequestError(decision.failure.message, code=refusals.TOO_LARGE)
    return refusals.full(min(waits, default=None))
