"""What is known of each deployment right now, and what each route keeps from call to call: the live side of choosing.

Policies decide; this keeps their frozen values between calls and across reloads, by deployment id and route name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.asking import asked_of, wants_of
from gateway.errors import InternalError
from gateway.state.breakers import Breaker, Breakers, Credential
from gateway.state.leases import DeploymentState, Lease
from policies import hedging, retry_budget
from policies.attempts import ALL_WELL, Live
from policies.balancing import choose
from policies.breaker import BreakerState, Ended, Phase
from policies.choosing import Choice, Seen
from policies.failures import blames_credential
from policies.hedging import HedgeBudget
from policies.latency import ttft_quantile_s
from policies.retry_budget import RetryBudget
from policies.route_plan import RouteState, carried, fresh
from policies.route_rules import NO_NEEDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from gateway.call import Call
    from gateway.upstream import Upstream
    from policies.choosing import LiveNumbers
    from policies.route_rules import Needs
    from policies.vocabulary import Deployment, Failure, Route

LATE_QUANTILE: Final = 0.95


class RouteMemory:
    """What one route keeps from call to call, and what choosing on it goes by."""

    __slots__ = ("state", "wants")

    def __init__(self, state: RouteState) -> None:
        self.state = state
        self.wants = wants_of(state.plan.route)


class Fleet:
    """All deployments' live state. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._breakers = Breakers(clock)
        self._deployments: dict[str, DeploymentState] = {}
        self._credentials: dict[tuple[str, str], Credential] = {}
        self._routes: dict[str, RouteMemory] = {}
        self._hedges: dict[str, HedgeBudget] = {}

    def state_of(self, deployment: Deployment) -> DeploymentState:
        state = self._deployments.get(deployment.id)
        if state is None:
            state = self._deployments[deployment.id] = self._made(deployment)
        elif state.deployment is not deployment:
            state.deployment = deployment  # the same one under new settings
        return state

    def states(self) -> tuple[DeploymentState, ...]:
        return tuple(self._deployments.values())

    def credentials(self) -> tuple[Credential, ...]:
        return tuple(self._credentials.values())

    # choosing

    def choose(self, call: Call, now: float, rng: Random) -> Choice:
        """The call's candidates in the order to try, by its route's strategy and what is known of them now.

        Raises `InternalError` for a call without a route.
        """
        route = call.route
        if route is None:
            raise InternalError("a call reached its attempts without a route")
        memory = self._memory(route)
        if route.hedge is not None:
            self.count_call(route)
        plan = memory.state.plan
        if plan.always is not None and len(call.candidates) == plan.everyone:
            return plan.always
        asked = asked_of(call, route, memory.wants)
        choice, memory.state = choose(asked, self._seen(call, memory.state), memory.state, now, rng)
        if asked.prefix and choice.candidates:
            self.state_of(choice.candidates[0]).prefixes.add(asked.prefix, now)
        return choice

    def _memory(self, route: Route) -> RouteMemory:
        memory = self._routes.get(route.name)
        if memory is None:
            memory = self._routes[route.name] = RouteMemory(fresh(route))
        elif memory.state.plan.route is not route:
            memory = self._routes[route.name] = RouteMemory(carried(memory.state, route))
        return memory

    def _seen(self, call: Call, state: RouteState) -> LiveNumbers:
        """Live numbers of every candidate where the route goes by them, else of those that are set aside."""
        if not state.plan.reads_live and self._breakers.all_closed:
            return {}
        aside = self.set_aside(call.candidates)
        if not state.plan.reads_live:
            return {id_: Seen(set_aside_until_s=until_s) for id_, until_s in aside.items()}
        upstreams = call.generation.upstreams
        return {d.id: self._number(d, upstreams, aside) for d in call.candidates}

    def _number(self, deployment: Deployment, upstreams: Mapping[str, Upstream], aside: Mapping[str, float]) -> Seen:
        state, id_ = self.state_of(deployment), deployment.id
        return Seen(
            state.in_flight,
            state.in_flight_tokens,
            upstreams[id_].line,
            state.latency,
            state.prefixes,
            aside.get(id_),
        )

    def live(self, candidates: tuple[Deployment, ...], tried: Sequence[str] = ()) -> Live:
        """Which of these the breakers set aside at this moment, and at which of those `tried`, the last one last, the
        budget has no room for a second try.
        """
        set_aside = self.set_aside(candidates)
        if not tried:
            return Live(set_aside) if set_aside else ALL_WELL
        spent = frozenset(d.id for d in candidates if d.id in tried and not self._may_repeat(d))
        if tried[-1] in spent:
            self._deployments[tried[-1]].retries_refused += 1
        return Live(set_aside, spent)

    def set_aside(self, candidates: Iterable[Deployment]) -> dict[str, float]:
        """Those of the candidates whose breaker, or whose credential's, lets nothing through, and until when."""
        if self._breakers.all_closed:
            return {}
        found: dict[str, float] = {}
        for deployment in candidates:
            # A deployment that was never called may share a credential with one that was.
            state = self.state_of(deployment)
            until_s = self._breakers.set_aside_until_s(state.own_breaker, state.credential)
            if until_s is not None:
                found[deployment.id] = until_s
        return found

    def set_aside_s(self, deployment: Deployment) -> float | None:
        """For how long nothing is let through there; None where an attempt may go ahead."""
        until_s = self.set_aside((deployment,)).get(deployment.id)
        return None if until_s is None else round(until_s - self.clock(), 3)

    # attempts

    def lease(self, deployment: Deployment, *, forced: bool = False, needs: Needs = NO_NEEDS) -> Lease:
        return Lease(self.state_of(deployment), self._breakers, needs, forced=forced)

    # health

    def awaits_sign_of_life(self, deployment: Deployment) -> bool:
        """Whether failures have set it aside, so that a probe could shorten that."""
        breaker = self.state_of(deployment).own_breaker.state
        return breaker.phase is Phase.OPEN and not breaker.named and self.clock() < breaker.until_s

    def note_probe(self, deployment: Deployment, failure: Failure | None) -> None:
        """What a health probe found: a sign of life, a failure like an attempt's, or, where the provider turned the
        question down, neither.
        """
        state = self.state_of(deployment)
        state.probes += 1
        if failure is None:
            self._breakers.recall(state.own_breaker)
        else:
            state.probes_failed += 1
            if not blames_credential(failure) and state.own_breaker.state.phase is Phase.CLOSED:
                self._breakers.note(state.own_breaker, Ended(failure), deployment.breaker)

    # budgets

    def spend_retry(self, deployment: Deployment) -> None:
        """A second try at the same deployment is made."""
        state, now = self.state_of(deployment), self.clock()
        self._bank(state, now)
        state.budget = retry_budget.withdraw(state.budget, now)
        state.banked += 1

    def _may_repeat(self, deployment: Deployment) -> bool:
        state, now = self.state_of(deployment), self.clock()
        self._bank(state, now)
        return retry_budget.may_repeat(state.budget, now)

    def retry_credits(self, deployment: Deployment) -> float:
        """How many second tries the deployment's budget has room for."""
        state, now = self.state_of(deployment), self.clock()
        self._bank(state, now)
        return state.budget.credits

    def _bank(self, state: DeploymentState, now: float) -> None:
        """Pay in for the attempts that began since the budget was last asked for."""
        fresh = max(0, state.attempts - state.banked)
        state.budget = retry_budget.deposit(state.budget, now, fresh)
        state.banked += fresh

    def late_s(self, deployment: Deployment) -> float | None:
        """After how long without a token an attempt there is later than nearly all others; None where nobody knows."""
        return ttft_quantile_s(self.state_of(deployment).latency, LATE_QUANTILE, self.clock())

    def count_call(self, route: Route) -> None:
        """A call of a route that may hedge has begun."""
        if route.hedge is not None:
            budget = self._hedges.get(route.name, HedgeBudget())
            self._hedges[route.name] = hedging.deposit(budget, route.hedge)

    def may_hedge(self, route: Route) -> bool:
        """Whether the route's share of hedges has room for one."""
        return hedging.may_hedge(self._hedges.get(route.name, HedgeBudget()))

    def spend_hedge(self, route: Route) -> None:
        """A hedge is made for a call of this route."""
        self._hedges[route.name] = hedging.withdraw(self._hedges.get(route.name, HedgeBudget()))

    # reloads

    def keep_only(self, deployments: frozenset[str], routes: frozenset[str]) -> None:
        """Forget what a reload removed: deployments by id, routes by name."""
        gone = [state for id_, state in self._deployments.items() if id_ not in deployments]
        self._deployments = {id_: state for id_, state in self._deployments.items() if id_ in deployments}
        used = {state.credential for state in self._deployments.values()}
        for breaker in (*(s.own_breaker for s in gone), *(c.breaker for c in self.credentials() if c not in used)):
            self._breakers.forget(breaker)
        self._credentials = {key: credential for key, credential in self._credentials.items() if credential in used}
        self._routes = {name: memory for name, memory in self._routes.items() if name in routes}
        self._hedges = {name: budget for name, budget in self._hedges.items() if name in routes}

    def _made(self, deployment: Deployment) -> DeploymentState:
        now = self.clock()
        breaker = Breaker(f"deployment {deployment.id}", BreakerState(counted_s=now))
        return DeploymentState(deployment, self._credential_of(deployment), breaker, RetryBudget(at_s=now))

    def _credential_of(self, deployment: Deployment) -> Credential:
        key = (deployment.provider, deployment.credential)
        credential = self._credentials.get(key)
        if credential is None:
            which = f"credential {deployment.credential} of" if deployment.credential else "credential of"
            credential = Credential(*key, Breaker(f"the {which} provider {deployment.provider}"))
            self._credentials[key] = credential
        return credential
