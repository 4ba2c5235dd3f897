"""What is known of each deployment right now: its breaker, its attempts in flight, each route's turn in the rotation.

Policies decide; this keeps their frozen values between calls and across reloads, by deployment and route name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies import retry_budget
from policies.attempts import ALL_WELL, Live
from policies.balancing import Order, order
from policies.breaker import BreakerState, Ended, Phase, admit, record, set_aside_until_s
from policies.retry_budget import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.balancing import Rotation
    from policies.vocabulary import Deployment, Failure, Route


@dataclass(slots=True)
class DeploymentState:
    """Live state of one deployment; `in_flight`, `attempts` and `failures` count attempts."""

    breaker: BreakerState = field(default_factory=BreakerState)
    in_flight: int = 0
    attempts: int = 0
    failures: int = 0
    last_failure: Failure | None = None


class Lease:
    """One attempt's claim on a deployment. It ends once, as a success, a failure, or neither when the caller left.

    A stream succeeds when it has ended well: a deployment that cuts each stream must not look well whenever one opens.
    A probe is settled by the first content already, so that a long answer keeps nobody else away.
    """

    __slots__ = ("_clock", "_ended", "_probe", "_state", "forced")

    def __init__(self, state: DeploymentState, clock: Callable[[], float], *, forced: bool) -> None:
        self._state = state
        self._clock = clock
        self._ended = False
        self.forced = forced
        self._probe = 0
        if state.breaker.phase is not Phase.CLOSED:
            admission = admit(state.breaker, clock())
            state.breaker = admission.state
            self._probe = admission.probe
        state.in_flight += 1
        state.attempts += 1

    def answer(self) -> None:
        """The deployment began to answer."""
        if self._probe or self.forced:
            self.succeed()

    def succeed(self) -> None:
        if self._probe or self.forced or self._state.breaker.failures:
            self._note(Ended(probe=self._probe, forced=self.forced))
            self._probe = 0

    def fail(self, failure: Failure) -> None:
        self._state.failures += 1
        self._state.last_failure = failure
        self._note(Ended(failure, probe=self._probe, forced=self.forced))
        self._probe = 0

    def release(self) -> None:
        """Give the claim back. A probe that neither succeeded nor failed is free for the next attempt."""
        if not self._ended:
            self._ended = True
            self._state.in_flight -= 1
            if self._probe:
                self._note(Ended(cancelled=True, probe=self._probe))

    def waive(self) -> None:
        """No attempt was made after all."""
        self._state.attempts -= 1
        self.release()

    def _note(self, ended: Ended) -> None:
        self._state.breaker = record(self._state.breaker, ended, self._clock())


class Fleet:
    """All deployments' live state. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deployments: dict[str, DeploymentState] = {}
        self._rotations: dict[str, Rotation] = {}
        self._budget = RetryBudget(at_s=clock())
        self._calls = 0

    def state_of(self, deployment: str) -> DeploymentState:
        state = self._deployments.get(deployment)
        if state is None:
            state = self._deployments[deployment] = DeploymentState()
        return state

    def states(self) -> list[tuple[str, DeploymentState]]:
        return list(self._deployments.items())

    def order(self, route: Route, capable: tuple[Deployment, ...]) -> Order:
        """A new call's candidates in the order to try; a weighted route's rotation moves on."""
        self._calls += 1
        ordered, rotation = order(route, capable, self._rotations.get(route.name, ()))
        if rotation:
            self._rotations[route.name] = rotation
        return ordered

    def live(self, candidates: tuple[Deployment, ...], *, repeating: bool) -> Live:
        """Which of these the breakers set aside at this moment, and, for a call that has `repeating` in mind, whether a
        second try is still in the budget.
        """
        set_aside = self.set_aside(candidates)
        if not repeating:
            return Live(set_aside) if set_aside else ALL_WELL
        now = self._clock()
        may_repeat = retry_budget.may_repeat(self._bank(now), now)
        return Live(set_aside, frozenset() if may_repeat else frozenset(d.id for d in candidates))

    def set_aside(self, candidates: tuple[Deployment, ...]) -> dict[str, float]:
        """Those of the candidates whose breaker lets nothing through, and until when."""
        found: dict[str, float] = {}
        for deployment in candidates:
            state = self._deployments.get(deployment.name)
            if state is not None and state.breaker.phase is not Phase.CLOSED:
                until_s = set_aside_until_s(state.breaker, self._clock())
                if until_s is not None:
                    found[deployment.name] = until_s
        return found

    def spend_retry(self) -> None:
        """A second try at the same deployment is made."""
        now = self._clock()
        self._budget = retry_budget.withdraw(self._bank(now), now)

    def _bank(self, now: float) -> RetryBudget:
        """The retry budget, with the calls that began since it was last asked for."""
        self._budget = retry_budget.deposit(self._budget, now, self._calls)
        self._calls = 0
        return self._budget

    def lease(self, deployment: str, *, forced: bool = False) -> Lease:
        return Lease(self.state_of(deployment), self._clock, forced=forced)

    def keep_only(self, deployments: frozenset[str], routes: frozenset[str]) -> None:
        """Forget what a reload removed."""
        self._deployments = {name: state for name, state in self._deployments.items() if name in deployments}
        self._rotations = {name: rotation for name, rotation in self._rotations.items() if name in routes}
