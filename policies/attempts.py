"""What to do next for a call: try a deployment, wait and try again, hedge, or give up.

The decision reads the past attempts, so the same value is the trace and the test case. This is the one layer that
retries: at most `retry_attempts` tries per deployment, no way back to a deployment once left, and never more than
`ATTEMPTS_MAX` in all. What each failure allows is the table in `failures`; this adds time, jitter and breakers.
Deployments go by their id here, so that another credential of the same deployment is another candidate.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.failures import Remedy, blames_credential, named_wait_s, refused_capabilities, remedy, status_of
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from policies.route_rules import Capability, HedgeRules
    from policies.vocabulary import Deployment

# A call that fails this often fails for good: three deployments, twice each, is more than SRE practice (3) allows.
ATTEMPTS_MAX: Final = 6
BACKOFF_BASE_S: Final = 0.1
BACKOFF_CAP_S: Final = 2.0
# Callers who were all told the same wait must not all come back at the same moment.
NAMED_JITTER: Final = 0.1


class AttemptKind(StrEnum):
    """Why an attempt is made."""

    FIRST = "first"
    RETRY = "retry"  # the same deployment again
    FALLBACK = "fallback"  # another one, after a failure
    HEDGE = "hedge"  # another one beside the first, which is late
    RESUME = "resume"  # goes on where a stream broke


class AttemptPlan(NamedTuple):
    """One call's room to move. The first `primaries` candidates are targets, the rest declared fallbacks.

    `retry_attempts` counts all tries at one deployment, the first included. `deadline_s` is on the clock of `now`; an
    upstream's own Retry-After is waited for up to `wait_max_s`. `needed` is what the request cannot do without.
    """

    candidates: tuple[Deployment, ...]
    primaries: int
    retry_attempts: int
    deadline_s: float
    wait_max_s: float = 5.0
    context_fallbacks: tuple[Deployment, ...] = ()
    content_fallbacks: tuple[Deployment, ...] = ()
    needed: frozenset[Capability] = frozenset()
    hedge: HedgeRules | None = None

    @property
    def attempts_max(self) -> int:
        return min(ATTEMPTS_MAX, len(self.everyone) * max(1, self.retry_attempts))

    @property
    def everyone(self) -> tuple[Deployment, ...]:
        """All that may come to be tried, whatever goes wrong."""
        if not self.context_fallbacks and not self.content_fallbacks:
            return self.candidates
        known = {d.id: d for d in (*self.candidates, *self.context_fallbacks, *self.content_fallbacks)}
        return tuple(known.values())


class Outcome(NamedTuple):
    """One failed attempt. `committed` says that some of its answer had reached the caller."""

    deployment: str
    failure: Failure
    started_s: float
    ended_s: float
    committed: bool = False


class Running(NamedTuple):
    """One attempt under way that has shown no content yet."""

    deployment: str
    started_s: float


class History(NamedTuple):
    """A call's attempts so far: those that failed, in the order of their ends, and those under way."""

    ended: tuple[Outcome, ...] = ()
    running: tuple[Running, ...] = ()


class Live(NamedTuple):
    """What the fleet knows at the moment of deciding, by deployment id.

    `set_aside` maps those whose breaker lets nothing through to the time when that ends. `spent` are those whose retry
    budget is: no second try there, while moving elsewhere stays allowed. `late_s` says after how long without content
    an attempt is late there, where that is known. `may_hedge`: the route's share of hedges has room for one.
    """

    set_aside: Mapping[str, float] = {}
    spent: frozenset[str] = frozenset()
    late_s: Mapping[str, float] = {}
    may_hedge: bool = False


class Try(NamedTuple):
    """Send to `deployment` now. `forced`: its breaker is open, and so is every other candidate's."""

    deployment: Deployment
    forced: bool = False


class Wait(NamedTuple):
    """Sleep, then send to the same `deployment` again without asking anew (the jitter is drawn already).

    While an attempt at `deployment` is under way: let it go on, for as long as it takes.
    """

    delay_s: float
    deployment: Deployment


class Hedge(NamedTuple):
    """Beside what is under way, send to `deployment` too, once `delay_s` have passed without content."""

    delay_s: float
    deployment: Deployment


class Reason(StrEnum):
    """Why a call gave up."""

    COMMITTED = "committed"
    REFUSED = "refused"
    DEADLINE = "deadline"
    ATTEMPTS = "attempts"
    EXHAUSTED = "exhausted"


class GiveUp(NamedTuple):
    """No further attempt: the caller gets `caller_view(failure)`."""

    failure: Failure
    reason: Reason


Decision = Try | Wait | Hedge | GiveUp

ALL_WELL: Final = Live()
NOTHING_YET: Final = History()
OUT_OF_TIME: Final = Failure(FailureKind.TOTAL, "The call's time was over before an upstream could be tried.")


def decide(plan: AttemptPlan, history: History, now: float, rng: Random, live: Live = ALL_WELL) -> Decision:
    """The next step of a call. The plan has at least one candidate."""
    ended = history.ended
    if history.running:
        return _beside(plan, history, now, live)
    if not ended:
        return _first(plan, now, live)
    last = ended[-1]
    reason = _must_stop(plan, ended, now)
    if reason is not None:
        return GiveUp(last.failure, reason)
    untried = _untried(plan, ended, live)
    if (spare := _spare_credential(plan, ended, untried)) is not None:
        return Try(spare)
    again = None
    if not untried or remedy(last.failure) is Remedy.AGAIN:
        again = _again(plan, ended, now, rng, live)
    # A second try must leave enough attempts for the deployments that have had none.
    if again and _made(ended) + len({deployment.name for deployment in untried}) < plan.attempts_max:
        return again
    return Try(untried[0]) if untried else GiveUp(last.failure, Reason.EXHAUSTED)


def _must_stop(plan: AttemptPlan, ended: tuple[Outcome, ...], now: float) -> Reason | None:
    if any(outcome.committed for outcome in ended):
        return Reason.COMMITTED
    if any(_is_final(plan, outcome) for outcome in ended):
        return Reason.REFUSED
    if now >= plan.deadline_s:
        return Reason.DEADLINE
    return Reason.ATTEMPTS if _made(ended) >= plan.attempts_max else None


def _is_final(plan: AttemptPlan, outcome: Outcome) -> bool:
    match remedy(outcome.failure):
        case Remedy.NEVER:
            return not _lacked(plan, outcome)
        case Remedy.CONTENT:
            return not plan.content_fallbacks
        case _:
            return False


def _made(ended: tuple[Outcome, ...]) -> int:
    """How many attempts were made: one that a limit of ours turned away was none, nor one that waited for an engine
    when that died under others.
    """
    return sum(outcome.failure.kind not in (FailureKind.LIMITED, FailureKind.LOST) for outcome in ended)


def _first(plan: AttemptPlan, now: float, live: Live) -> Decision:
    if now >= plan.deadline_s:
        return GiveUp(OUT_OF_TIME, Reason.DEADLINE)
    candidates = plan.candidates
    if not live.set_aside:
        return Try(candidates[0])
    for deployment in candidates:
        if deployment.id not in live.set_aside:
            return Try(deployment)
    # Never eject the last: the one that comes back soonest is tried, and this once only.
    return Try(min(candidates, key=lambda deployment: live.set_aside[deployment.id]), forced=True)


def _open_to(plan: AttemptPlan, ended: tuple[Outcome, ...]) -> tuple[Deployment, ...]:
    """Who may still answer after all that was refused so far, the strictest refusal first."""
    if not ended:
        return plan.candidates
    lacked: frozenset[Capability] = frozenset()
    remedies = set()
    for outcome in ended:
        if missing := _lacked(plan, outcome):
            lacked |= missing
        else:
            remedies.add(remedy(outcome.failure))
    declared = plan.candidates[plan.primaries :]
    if Remedy.CONTENT in remedies:
        pool = plan.content_fallbacks
    elif Remedy.CONTEXT in remedies:
        pool = plan.context_fallbacks or declared
    else:
        pool = declared if Remedy.DECLARED in remedies else plan.candidates
    return tuple(d for d in pool if lacked <= d.has) if lacked else pool


def _lacked(plan: AttemptPlan, outcome: Outcome) -> frozenset[Capability]:
    """What the request needs and this deployment refused, of which nobody knew whether it could."""
    if not plan.needed:
        return frozenset()
    missing = refused_capabilities(outcome.failure) & plan.needed
    if not missing:
        return missing
    for deployment in plan.everyone:
        if deployment.id == outcome.deployment:
            missing -= deployment.has | deployment.lacks
    return missing


def _untried(plan: AttemptPlan, ended: tuple[Outcome, ...], live: Live) -> list[Deployment]:
    tried = {outcome.deployment for outcome in ended}
    found = [d for d in _open_to(plan, ended) if d.id not in tried and d.id not in live.set_aside]
    # What is wrong with the server is wrong for each of its credentials.
    failed = _name_of(plan, ended[-1].deployment)
    return sorted(found, key=lambda deployment: deployment.name == failed)


def _spare_credential(plan: AttemptPlan, ended: tuple[Outcome, ...], untried: list[Deployment]) -> Deployment | None:
    """Another credential of the deployment that just limited or refused one; others keep an attempt for themselves."""
    last = ended[-1].failure
    if not untried or not (status_of(last) == 429 or blames_credential(last)):
        return None
    failed = _name_of(plan, ended[-1].deployment)
    others = any(deployment.name != failed for deployment in untried)
    if _made(ended) + others >= plan.attempts_max:
        return None
    return next((deployment for deployment in untried if deployment.name == failed), None)


def _name_of(plan: AttemptPlan, deployment: str) -> str:
    return next((d.name for d in plan.everyone if d.id == deployment), deployment)


def _again(plan: AttemptPlan, ended: tuple[Outcome, ...], now: float, rng: Random, live: Live) -> Wait | None:
    """Another try at the deployment that failed last, after a wait with full jitter; None where that cannot be."""
    last = next((o for o in reversed(ended) if o.failure.kind is not FailureKind.LIMITED), ended[-1])
    here = [outcome for outcome in ended if outcome.deployment == last.deployment]
    if any(outcome.failure.kind is FailureKind.LIMITED for outcome in here):
        return None
    if remedy(last.failure) not in (Remedy.AGAIN, Remedy.MOVE) or _made(tuple(here)) >= plan.retry_attempts:
        return None
    if last.failure.kind in (FailureKind.CRASHED, FailureKind.LOST):
        delay_s = rng.uniform(0.0, BACKOFF_BASE_S) if _may_come_back(ended) else inf
    else:
        delay_s = _backoff_s(plan, here, now, rng, live)
    if now + delay_s >= plan.deadline_s:
        return None
    return next((Wait(delay_s, d) for d in _open_to(plan, ended) if d.id == last.deployment), None)


def _backoff_s(plan: AttemptPlan, here: Sequence[Outcome], now: float, rng: Random, live: Live) -> float:
    """How long before another try where these have failed; infinite where it cannot be."""
    last = here[-1]
    named_s = named_wait_s(last.failure)
    if last.deployment in live.spent or named_s > plan.wait_max_s:
        return inf
    delay_s = named_s + rng.uniform(0.0, max(backoff_max_s(len(here)), NAMED_JITTER * named_s))
    return inf if live.set_aside.get(last.deployment, now) > now + delay_s else delay_s


def _may_come_back(ended: tuple[Outcome, ...]) -> bool:
    """Whether an engine that died may have this call again. Breakers and budgets are for upstreams that may not come
    back, or drown in second tries; an engine of ours is started again, and gives second tries one by one.
    """
    crashes = sum(outcome.failure.kind is FailureKind.CRASHED for outcome in ended)
    losses = sum(outcome.failure.kind is FailureKind.LOST for outcome in ended)
    return crashes <= 1 and losses < ATTEMPTS_MAX


def backoff_max_s(tries: int) -> float:
    """The most that is waited after `tries` failures, before full jitter: it doubles up to its cap."""
    return min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (tries - 1))


def _beside(plan: AttemptPlan, history: History, now: float, live: Live) -> Hedge | Wait:
    """Whether what is under way gets company: one hedge at a time, elsewhere, when the first is later than usual."""
    first = history.running[0]
    here = next(d for d in plan.everyone if d.id == first.deployment)
    stay = Wait(inf, here)
    if plan.hedge is None or len(history.running) > 1 or not live.may_hedge:
        return stay
    after_s = plan.hedge.after_s if plan.hedge.after_s is not None else live.late_s.get(first.deployment)
    if after_s is None or _made(history.ended) + 1 >= plan.attempts_max:
        return stay
    delay_s = max(0.0, first.started_s + after_s - now)
    if now + delay_s >= plan.deadline_s:
        return stay
    tried = {outcome.deployment for outcome in history.ended} | {first.deployment}
    others = [d for d in _open_to(plan, history.ended) if d.id not in tried and d.id not in live.set_aside]
    other = min(others, key=lambda deployment: deployment.name == here.name, default=None)
    return stay if other is None else Hedge(delay_s, other)
