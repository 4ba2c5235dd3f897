"""Holds a call to its limits: reserves before it runs and settles when it is over, all of it or nothing.

One reservation covers one billed attempt at the dearest candidate, for key, user, team, org and route together. Each
attempt after one that may have been billed reserves its tokens and cost anew (`ID#K`); limits on deployments and
providers, which span tenants, are taken per attempt (`ID@K`). Settling is synchronous and happens as a call's scope
closes, so that the room is there again before the caller has the answer.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.errors import InternalError, LimitError, RequestError
from gateway.limits import refusals
from gateway.limits.admitted import Admitted
from gateway.limits.claims import ONE_CALL, Claim, Place
from gateway.limits.demands import Demand
from gateway.limits.holdings import Holding
from gateway.limits.plans import Plans, no_edges
from gateway.limits.waiting_room import QueueRefusal, WaitingRoom
from gateway.signals.limit_metrics import LimitMetrics
from policies.limits import Denied
from policies.queueing import Applicant, flow_of
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.call import Attempt, Cached, Call
    from gateway.limits.demands import Estimates
    from gateway.limits.plans import Plan
    from gateway.limits.reservations import Reservations
    from gateway.signals.metrics import Registry
    from policies.calendars import Edges
    from policies.limit_index import Bound
    from policies.limits import Granted
    from policies.route_rules import QueueRules
    from policies.vocabulary import Deployment, Period

GROUPS_MAX: Final = 1000


class Admission:
    """Process scope: what calls hold outlives every policy."""

    def __init__(
        self,
        reservations: Reservations,
        estimates: Estimates,
        registry: Registry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = reservations.store
        self._reservations = reservations
        self._estimates = estimates
        self._clock = clock
        self._plans = Plans()
        self._groups: dict[int, tuple[Sequence[Bound], list[tuple[str, list[Bound]]]]] = {}
        self._live: dict[str, Admitted] = {}
        self.budgeted: set[str] = set()
        """Tenants that this process has held calendar accounts of."""
        self._metrics = LimitMetrics(registry)
        self.room = WaitingRoom(time.monotonic)
        self.store.on_lost(self._lose)
        self.store.on_freed(self.room.freed)

    @property
    def reservations(self) -> int:
        """How many are held by calls under way."""
        return len(self._live)

    def plan_of(self, call: Call, bounds: Sequence[Bound]) -> Plan | None:
        """What these limits ask of this call; None where the conditions of all of them leave it alone."""
        return self._plans.of(bounds, call)

    def admit_now(self, call: Call, plan: Plan) -> bool:
        """Reserve one attempt as `admit` does, where it is granted without waiting; else `admit` finds the answer."""
        principal, route = call.principal, call.route
        if principal is None or route is None:
            raise InternalError("a call reached its limits without a principal or a route")
        if route.queue is not None and not self.room.is_empty(route.name):
            return False
        began_s = time.perf_counter()
        admitted = self._open(call)
        admitted.further = plan.further()
        amounts = self._demand(call, admitted, plan).amounts(plan, call.candidates) if plan.weighs else ONE_CALL
        edges_of = partial(self._edges, call, principal.org) if plan.has_calendar else no_edges
        asks = plan.asks(amounts, edges_of)
        granted = self._reservations.reserve_now(principal.org, call.id, asks) if asks is not None else None
        if asks is None or granted is None:
            return False
        admitted.told = plan, asks, granted.accounts
        admitted.latest = self._keep(admitted, Holding(principal.org, call.id, plan, granted))
        self._metrics.allowed.observe(time.perf_counter() - began_s)
        return True

    async def admit(self, call: Call, plan: Plan) -> None:
        """Reserve one attempt at the dearest candidate. Raises `LimitError`, or `RequestError` for what never fits."""
        if call.principal is None or call.route is None:
            raise InternalError("a call reached its limits without a principal or a route")
        admitted = call.admitted or self._open(call)
        admitted.further = plan.further()
        place = Place(call.principal.org, call.id, call.candidates)
        rules = call.route.queue
        if rules is None:
            admitted.latest = await self._take(call, admitted, place, plan)
        else:
            claim = self._claim(call, admitted, place, plan)
            granted = await self._in_turn(call, admitted, claim, rules)
            admitted.latest = self._keep(admitted, claim.holding(granted))

    async def extend(self, call: Call) -> None:
        """Reserve a further attempt where what was reserved may be used up by a billed one. Raises `LimitError`."""
        admitted = call.admitted
        latest = admitted.latest if admitted is not None else None
        if admitted is None or latest is None or admitted.further is None:
            return
        # What is under way may yet be billed; a hedge beside it must not count on its room.
        if latest.attempts and (latest.attempts[-1].sent or latest.attempts[-1].ended_s is None):
            place = Place(latest.tenant, f"{call.id}#{len(call.attempts) + 1}", call.candidates)
            admitted.latest = await self._take(call, admitted, place, admitted.further)

    async def enter(self, call: Call, deployment: Deployment, bounds: Sequence[Bound]) -> Failure | None:
        """Reserve one attempt under the limits of its deployment and provider; the failure where one says no."""
        admitted = call.admitted or self._open(call)
        for tenant, group in self._grouped(bounds):
            plan = self._plans.of(group, call)
            if plan is not None:
                place = Place(tenant, f"{call.id}@{len(admitted.holdings)}", (deployment,))
                failure = await self._take_spanning(call, admitted, place, plan)
                if failure is not None:
                    self.leave(call)
                    return failure
        return None

    def begin(self, call: Call, attempt: Attempt) -> None:
        """This attempt uses what was reserved last."""
        admitted = call.admitted
        if admitted is not None:
            if admitted.latest is not None:
                admitted.latest.attempts.append(attempt)
            if admitted.spanning:
                for holding in admitted.spanning:
                    holding.attempts.append(attempt)
                admitted.of_attempt[attempt.number] = admitted.spanning
                admitted.spanning = []

    def leave(self, call: Call, attempt: Attempt | None = None) -> None:
        """The attempt has failed, or was not made: its deployment and provider have their room back."""
        admitted = call.admitted
        if admitted is None:
            return
        if attempt is None:
            spanning, admitted.spanning = admitted.spanning, []
        else:
            spanning = admitted.of_attempt.pop(attempt.number, [])
        for holding in spanning:
            holding.end(self.store)

    def finish(self, call: Call) -> None:
        """The call is over: settle what is counted, and of the rest give back what was held at once."""
        admitted = call.admitted
        if admitted is not None:
            if call.cached is not None and _is_charged(call, call.cached):
                admitted.charge_hit(call.cached.saved)
            for holding in admitted.holdings:
                holding.end(self.store)
                self._live.pop(holding.reservation, None)
            # Both lead back to the call: what a call leaves behind must not wait for the collector.
            admitted.task = admitted.demand = None

    def _open(self, call: Call) -> Admitted:
        admitted = call.admitted = Admitted(self.store)
        call.scope.defer(partial(self.finish, call))
        return admitted

    async def _take(self, call: Call, admitted: Admitted, place: Place, plan: Plan) -> Holding:
        claim = self._claim(call, admitted, place, plan)
        try:
            answer = await self._asked(claim)
        except RequestError:
            await self._look(admitted, claim)
            raise
        if admitted.told is None:
            admitted.told = plan, claim.asks, answer.accounts
        if isinstance(answer, Denied):
            self._count(admitted, plan, answer)
            raise refusals.over(plan.terms, claim.asks, answer)
        return self._keep(admitted, claim.holding(answer))

    async def _asked(self, claim: Claim) -> Granted | Denied:
        """The answer, with what it took to get it."""
        began_s = time.perf_counter()
        answer = await claim.reserve()
        check = self._metrics.refused if isinstance(answer, Denied) else self._metrics.allowed
        check.observe(time.perf_counter() - began_s)
        return answer

    async def _in_turn(self, call: Call, admitted: Admitted, claim: Claim, rules: QueueRules) -> Granted:
        """What was reserved, at once or when the call's turn came. Raises `LimitError` when it did not come."""
        principal, route, plan = call.principal, call.route, claim.plan
        assert principal is not None  # noqa: S101 - `admit` has looked
        assert route is not None  # noqa: S101 - as above
        denied: Denied | None = None
        if not self.room.must_line_up(route.name, claim.accounts):
            answer = await self._asked(claim)
            admitted.told = plan, claim.asks, answer.accounts
            if not isinstance(answer, Denied):
                return answer
            denied = answer
        applicant = Applicant(flow_of(principal), call.generation.weight_of(principal), claim.tokens, claim.accounts)
        self.store.mark_waiting(claim.tenant, rules.max_wait_s)
        began_s = time.monotonic()
        try:
            granted = await self.room.wait(
                route.name, rules, applicant, claim, denied.wait_s if denied is not None else None
            )
        except QueueRefusal as refusal:
            if denied is not None:
                self._count(admitted, plan, denied)
            else:
                await self._look(admitted, claim)
            raise refusals.not_in_time(refusal, plan.terms, claim.asks, denied) from None
        finally:
            admitted.waited_s = time.monotonic() - began_s
        admitted.told = plan, claim.asks, granted.accounts
        return granted

    async def _look(self, admitted: Admitted, claim: Claim) -> None:
        """How full the limits are, for a caller who is refused without having asked them for anything."""
        if admitted.told is None:
            with suppress(LimitError):
                admitted.told = claim.plan, *await claim.look()

    async def _take_spanning(self, call: Call, admitted: Admitted, place: Place, plan: Plan) -> Failure | None:
        claim = self._claim(call, admitted, place, plan)
        try:
            answer = await self._asked(claim)
        except RequestError as error:
            return Failure(FailureKind.LIMITED, error.message, code=error.code)
        if isinstance(answer, Denied):
            self._count(admitted, plan, answer)
            wait_s = refusals.SOON_S if answer.wait_s is None else answer.wait_s
            return Failure(FailureKind.LIMITED, "The deployment is at its limit.", retry_after_s=wait_s)
        admitted.spanning.append(self._keep(admitted, claim.holding(answer)))
        return None

    def _claim(self, call: Call, admitted: Admitted, place: Place, plan: Plan) -> Claim:
        demand = self._demand(call, admitted, plan) if plan.weighs else None
        edges_of = partial(self._edges, call, place.tenant)  # deployments and providers have no zone, so theirs is UTC
        return Claim(self._reservations, place, plan, demand, edges_of)

    def _demand(self, call: Call, admitted: Admitted, plan: Plan) -> Demand:
        demand = admitted.demand
        if demand is None:
            demand = admitted.demand = Demand(call, self._estimates)
        demand.cap_output(plan)
        return demand

    def _edges(self, call: Call, org: str, period: Period) -> Edges:
        return call.generation.calendars.edges(period, org, self._clock())

    def _keep(self, admitted: Admitted, holding: Holding) -> Holding:
        plan = holding.plan
        if plan.grants is None:
            plan.grants = self._metrics.grants_of(
                (term.limit.scope.value, term.limit.resource.value) for term in plan.terms
            )
        plan.grants.value += 1
        admitted.holdings.append(holding)
        self._live[holding.reservation] = admitted
        if holding.has_calendar:
            self.budgeted.add(holding.tenant)
        return holding

    def _grouped(self, bounds: Sequence[Bound]) -> list[tuple[str, list[Bound]]]:
        """By the tenant under which they are kept, which is the deployment or provider itself."""
        found = self._groups.get(id(bounds))
        if found is None:
            if len(self._groups) >= GROUPS_MAX:
                self._groups.clear()
            groups: dict[str, list[Bound]] = {}
            for limit, holder in bounds:
                groups.setdefault(f"{limit.scope}:{holder}", []).append((limit, holder))
            found = self._groups[id(bounds)] = bounds, list(groups.items())
        return found[1]

    def _count(self, admitted: Admitted, plan: Plan, denied: Denied) -> None:
        limit = refusals.named(plan.terms, denied).limit
        admitted.refused_by, admitted.refused_scope = limit.id, limit.scope
        self._metrics.denied(limit.scope.value, limit.resource.value)

    def _lose(self, reservation: str) -> None:
        """A lease ran out under its call, which must not go on using what others may hold by now."""
        admitted = self._live.pop(reservation, None)
        if admitted is not None and admitted.task is not None:
            admitted.is_lost = True
            admitted.task.cancel()


def _is_charged(call: Call, cached: Cached) -> bool:
    """A hit of a route that counts hits as answers."""
    rules = call.route.cache if call.route is not None else None
    return cached.is_hit and rules is not None and rules.charges_hits
