"""Calls under limits, over the real store in process with a clock of the test's own."""

from __future__ import annotations

from datetime import UTC
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict, CIMultiDictProxy

from adapters.base import Tally
from adapters.schema import InferenceRequest
from gateway.call import Attempt, Call, TraceContext
from gateway.limits.admission import Admission
from gateway.limits.reservations import Reservations
from gateway.signals.metrics import Registry
from gateway.state.limits.in_process import InProcessLimitStore
from policies.calendars import Calendars
from policies.limit_index import LimitIndex
from policies.tariffs import Price
from policies.vocabulary import (
    Deployment,
    Endpoint,
    Limit,
    LimitScope,
    Period,
    Principal,
    Resource,
    Route,
    Strategy,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.limits import Account
    from policies.usage import Usage

NOW_S = 1_795_305_600.0  # 2026-11-22T00:00:00Z
PRICE = Price("a", "override", "", 1_000_000_000, None, None, 2_000_000_000)  # $1 and $2 per million tokens
DEAR = Price("b", "override", "", 3_000_000_000, None, None, 6_000_000_000)
A = Deployment("a", "p", "openai", "m", price=PRICE)
B = Deployment("b", "p", "openai", "m", price=DEAR)
ROUTE = Route("r", ("r",), Strategy.ORDERED, (Target(A),), (B,), 1)
WHO = Principal("k1", "ci", team="red", user="ada", org="acme")


def limit(resource: str, amount: int, window: float | Period | None = 60.0, scope: str = "key") -> Limit:
    if resource == "concurrent":
        return Limit(f"{scope}.{resource}", LimitScope(scope), Resource(resource), amount, None)
    return Limit(f"{scope}.{resource}.{window}", LimitScope(scope), Resource(resource), amount, window)


class Prompts:
    """Estimates of a test's own making: a bound, and an exact count."""

    def __init__(self, bound: int = 100, exact: int | None = None) -> None:
        self.size = bound
        self.counted = 0
        self._exact = bound if exact is None else exact

    def bound(self, _request: InferenceRequest, _context_tokens: int | None = None) -> int:
        return self.size

    async def exact(self, _request: InferenceRequest, _model: str, _context_tokens: int | None = None) -> int:
        self.counted += 1
        return self._exact


class Spent:
    """A ledger that remembers what it is told was spent."""

    takes_billable = True

    def __init__(self, **amounts: int) -> None:
        self.amounts = amounts
        self.asked: list[tuple[str, float]] = []

    async def spent(self, account: str, window_start_s: float) -> int:
        self.asked.append((account, window_start_s))
        return sum(self.amounts.values())

    async def spent_of(self, accounts: Sequence[tuple[str, float]]) -> list[int]:
        return [await self.spent(*account) for account in accounts]


class Gate:
    """Admission over a store in process, at `now`."""

    def __init__(self, *limits: Limit, prompts: Prompts | None = None, ledger: Spent | None = None) -> None:
        self.now = NOW_S
        self.index = LimitIndex(limits)
        self.prompts = prompts or Prompts()
        self.ledger = ledger or Spent()
        self.registry = Registry()
        self.store = InProcessLimitStore(self.clock)
        reservations = Reservations(self.store, self.ledger, self.clock)
        self.admission = Admission(reservations, self.prompts, self.registry, self.clock)
        self.calls = 0

    def clock(self) -> float:
        return self.now

    def call(self, *, candidates: tuple[Deployment, ...] = (A, B), who: Principal = WHO, **request: Any) -> Call:
        self.calls += 1
        asked: dict[str, Any] = {"stream": False, "include_usage": False, "members": {}, "body_bytes": 50} | request
        made = Call(
            id=f"req_{self.calls}",
            request=InferenceRequest(Endpoint.CHAT, "r", **asked),
            read_body=cast("Any", None),
            headers=CIMultiDictProxy(CIMultiDict()),
            generation=cast("Any", self.generation()),
            trace=TraceContext("7" * 32, "5" * 16, None, sampled=False),
            received_s=0.0,
            received_at_ns=0,
        )
        made.principal, made.route, made.candidates = who, ROUTE, candidates
        return made

    def generation(self, **more: Any) -> SimpleNamespace:
        known = {
            "limits": self.index,
            "calendars": Calendars(lambda _: UTC),
            "unpriced": "auto",
            "when_full": "open",
            "drains": False,
        }
        return SimpleNamespace(**(known | more))

    async def admit(self, call: Call) -> Call:
        assert call.principal is not None
        plan = self.admission.plan_of(call, self.index.of_call(call.principal, ROUTE))
        assert plan is not None
        if not self.admission.admit_now(call, plan):
            await self.admission.admit(call, plan)
        return call

    def attempt(self, call: Call, usage: Usage | None, *, sent: bool = True, deployment: Deployment = A) -> Attempt:
        """An attempt that has ended: billed as `usage`, or, without one, still to be counted where it was sent."""
        made = Attempt(len(call.attempts) + 1, deployment, 0.0, ended_s=1.0, sent=sent)
        made.tally = Tally(usage=usage, finish_reasons=["stop"] if usage is not None else [])
        call.attempts.append(made)
        self.admission.begin(call, made)
        return made

    async def accounts(self, *tenants: str) -> dict[str, Account]:
        return {kept.account: kept.state for kept in await self.store.view(tenants or ("acme",))}


def held(accounts: dict[str, Account]) -> Sequence[int]:
    return [account.held for account in accounts.values()]
