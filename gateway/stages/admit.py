"""Whether a call may run now: within its limits, at a known price, with room in the ledger."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.limits import refusals
from gateway.signals.conventions import Mark
from policies.pricing import is_free, is_known
from policies.vocabulary import ONLY_READ

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from gateway.call import Call, Reply
    from gateway.limits.admission import Admission
    from gateway.limits.plans import Plan
    from gateway.limits.reservations import Spending
    from gateway.pipeline import Handler
    from policies.vocabulary import Deployment


LIMITS: Final = Mark.LIMITS


class Admit:
    """Raises `LimitError` 429 or 503, and `RequestError` 400 or 403. A call that nothing limits passes untouched."""

    def __init__(self, admission: Admission, ledger: Spending) -> None:
        self._admission = admission
        self._ledger = ledger

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        generation, principal, route = call.generation, call.principal, call.route
        if principal is None or route is None:
            return then(call)
        if generation.limits.has_spanning_budget:
            self._check_spanning(call)
        bounds = generation.limits.of_call(principal, route)
        if bounds:
            plan = self._admission.plan_of(call, bounds)
            if plan is not None:
                self._check(call, plan)
                if not self._admission.admit_now(call, plan):
                    return self._under(call, plan, then)
                call.marks.append((LIMITS, monotonic()))
                return then(call)
        if generation.unpriced == "deny":
            keep_priced(call)
        if generation.when_full == "closed":
            self._need_ledger(call)
        call.marks.append((LIMITS, monotonic()))
        return then(call)

    def _check(self, call: Call, plan: Plan) -> None:
        generation = call.generation
        if generation.unpriced == "deny" or (plan.has_budget and generation.unpriced == "auto"):
            keep_priced(call)
        if generation.when_full == "closed" or (plan.has_budget and generation.when_full == "auto"):
            self._need_ledger(call)

    def _check_spanning(self, call: Call) -> None:
        """Budgets of deployments and providers are taken per attempt, when it is too late to ask what holds for all."""
        generation = call.generation
        budgeted = [d for d in call.candidates if self._has_budget(call, d)]
        if budgeted and generation.unpriced == "auto":
            keep_priced(call, budgeted)
        if budgeted and generation.when_full == "auto":
            self._need_ledger(call)

    def _has_budget(self, call: Call, deployment: Deployment) -> bool:
        plan = self._admission.plan_of(call, call.generation.limits.of_deployment(deployment))
        return plan is not None and plan.has_budget

    async def _under(self, call: Call, plan: Plan, then: Handler) -> Reply:
        await self._admission.admit(call, plan)
        call.marks.append((LIMITS, monotonic()))
        return await then(call)

    def _need_ledger(self, call: Call) -> None:
        """Nothing that may cost runs while its cost could be lost."""
        if not self._ledger.takes_billable and not all(is_free(deployment.price) for deployment in call.candidates):
            raise refusals.ledger_unavailable()


def keep_priced(call: Call, among: Collection[Deployment] | None = None) -> None:
    """Drop those (`among` these) of whose price too little is known. Raises `RequestError` where none is left."""
    generates = call.request.endpoint not in ONLY_READ
    doubtful = call.candidates if among is None else among
    priced = tuple([d for d in call.candidates if d not in doubtful or is_known(d.price, generates=generates)])
    if not priced:
        raise refusals.unpriced(call.request.model[:200])
    if len(priced) < len(call.candidates):
        call.candidates = priced
