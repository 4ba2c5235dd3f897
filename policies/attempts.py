"""What to do next for a call: try a deployment, wait and try again, or give up. And what the caller gets then.

The decision reads the tuple of past attempts, so the same tuple is the trace and the test case. This is the one layer
that retries: at most `retry_attempts` tries per deployment, no way back to a deployment once left, and never more than
`ATTEMPTS_MAX` in all. What each failure allows is the table in `failures`; this adds time, jitter and breakers.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.failures import (
    CREDENTIAL_STATUSES,
    REQUEST_CODES,
    REQUEST_STATUSES,
    Remedy,
    blames_request,
    named_wait_s,
    out_of_quota,
    remedy,
    status_of,
)
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from policies.vocabulary import Deployment

# A call that fails this often fails for good: three deployments, twice each, is more than SRE practice (3) allows.
ATTEMPTS_MAX: Final = 6
BACKOFF_BASE_S: Final = 0.1
BACKOFF_CAP_S: Final = 2.0
# A longer Retry-After is the caller's to wait for: a held call occupies its concurrency and learns nothing meanwhile.
WAIT_MAX_S: Final = 10.0


class AttemptPlan(NamedTuple):
    """One call's room to move. The first `primaries` candidates are targets, the rest declared fallbacks.

    `retry_attempts` counts all tries at one deployment, the first included. `deadline_s` is on the clock of `now`.
    """

    candidates: tuple[Deployment, ...]
    primaries: int
    retry_attempts: int
    deadline_s: float

    @property
    def attempts_max(self) -> int:
        return min(ATTEMPTS_MAX, len(self.candidates) * max(1, self.retry_attempts))


class Outcome(NamedTuple):
    """One failed attempt. `committed` says that some of its answer had reached the caller."""

    deployment: str
    failure: Failure
    started_s: float
    ended_s: float
    committed: bool = False


class Live(NamedTuple):
    """What the fleet knows at the moment of deciding.

    `set_aside` maps deployments whose breaker lets nothing through to the time when that ends. `may_repeat` false means
    that the retry budget is spent: no second try at the same deployment, while moving elsewhere stays allowed.
    """

    set_aside: Mapping[str, float] = {}
    may_repeat: bool = True


class Try(NamedTuple):
    """Send to `deployment` now. `forced`: its breaker is open, and so is every other candidate's."""

    deployment: Deployment
    forced: bool = False


class Wait(NamedTuple):
    """Sleep, then send to the same `deployment` again without asking anew (the jitter is drawn already)."""

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


Decision = Try | Wait | GiveUp

ALL_WELL: Final = Live()
OUT_OF_TIME: Final = Failure(FailureKind.TOTAL, "The call's time was over before an upstream could be tried.")


def decide(plan: AttemptPlan, history: tuple[Outcome, ...], now: float, rng: Random, live: Live = ALL_WELL) -> Decision:
    """The next step of a call whose attempts so far, in order, are `history`. The plan has at least one candidate."""
    if not history:
        return _first(plan, now, live)
    last = history[-1]
    reason = _must_stop(plan, history, now)
    if reason is not None:
        return GiveUp(last.failure, reason)
    untried = _untried(plan, history, live)
    again = None
    # A wait that the upstream names is worth sitting out only where there is nowhere else to go.
    if not untried or (remedy(last.failure) is Remedy.AGAIN and not named_wait_s(last.failure)):
        again = _again(plan, history, now, rng, live)
    # A second try must leave enough attempts for the candidates that have had none.
    if again and _made(history) + len(untried) < plan.attempts_max:
        return again
    return Try(untried[0]) if untried else GiveUp(last.failure, Reason.EXHAUSTED)


def _must_stop(plan: AttemptPlan, history: tuple[Outcome, ...], now: float) -> Reason | None:
    last = history[-1]
    if last.committed:
        return Reason.COMMITTED
    if remedy(last.failure) is Remedy.NEVER:
        return Reason.REFUSED
    if now >= plan.deadline_s:
        return Reason.DEADLINE
    return Reason.ATTEMPTS if _made(history) >= plan.attempts_max else None


def _made(history: tuple[Outcome, ...]) -> int:
    """How many attempts were made: one that a limit of ours turned away was none."""
    return sum(outcome.failure.kind is not FailureKind.LIMITED for outcome in history)


def _first(plan: AttemptPlan, now: float, live: Live) -> Decision:
    if now >= plan.deadline_s:
        return GiveUp(OUT_OF_TIME, Reason.DEADLINE)
    candidates = plan.candidates
    if not live.set_aside:
        return Try(candidates[0])
    for deployment in candidates:
        if deployment.name not in live.set_aside:
            return Try(deployment)
    # Never eject the last: the one that comes back soonest is tried, and this once only.
    return Try(min(candidates, key=lambda deployment: live.set_aside[deployment.name]), forced=True)


def _untried(plan: AttemptPlan, history: tuple[Outcome, ...], live: Live) -> list[Deployment]:
    declared_only = any(remedy(outcome.failure) is Remedy.DECLARED for outcome in history)
    tried = {outcome.deployment for outcome in history}
    return [
        deployment
        for deployment in (plan.candidates[plan.primaries :] if declared_only else plan.candidates)
        if deployment.name not in tried and deployment.name not in live.set_aside
    ]


def _again(plan: AttemptPlan, history: tuple[Outcome, ...], now: float, rng: Random, live: Live) -> Wait | None:
    """Another try at the deployment that failed last, after a wait with full jitter; None where that cannot be."""
    last = next((o for o in reversed(history) if o.failure.kind is not FailureKind.LIMITED), history[-1])
    tries = sum(outcome.deployment == last.deployment for outcome in history)
    if any(o.deployment == last.deployment and o.failure.kind is FailureKind.LIMITED for o in history):
        return None
    if remedy(last.failure) not in (Remedy.AGAIN, Remedy.MOVE) or tries >= plan.retry_attempts or not live.may_repeat:
        return None
    named_s = named_wait_s(last.failure)
    delay_s = named_s + backoff_s(tries, rng)
    set_aside_until_s = live.set_aside.get(last.deployment, now)
    if named_s > WAIT_MAX_S or now + delay_s >= plan.deadline_s or set_aside_until_s > now + delay_s:
        return None
    return next((Wait(delay_s, d) for d in plan.candidates if d.name == last.deployment), None)


def backoff_s(tries: int, rng: Random) -> float:
    """A wait with full jitter after `tries` failures: anything from nothing up to a limit that doubles to its cap."""
    return rng.uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (tries - 1)))


class CallerView(NamedTuple):
    """What the caller is told: HTTP status, the error object's `type` and `code`, and `Retry-After` where one helps."""

    status: int
    type: str
    code: str
    retry_after_s: float | None = None


VIEW_BY_KIND: Final[Mapping[FailureKind, CallerView]] = {
    FailureKind.CONNECT: CallerView(502, "api_error", "upstream_connect_error"),
    FailureKind.POOL: CallerView(503, "api_error", "upstream_busy"),
    FailureKind.RESET: CallerView(502, "api_error", "upstream_incomplete"),
    FailureKind.STATUS: CallerView(502, "api_error", "upstream_error"),
    FailureKind.BAD_RESPONSE: CallerView(502, "api_error", "upstream_bad_response"),
    FailureKind.TRUNCATED: CallerView(502, "api_error", "upstream_incomplete"),
    FailureKind.IN_BAND: CallerView(502, "api_error", "upstream_error"),
    FailureKind.FIRST_TOKEN: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.IDLE: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.TOTAL: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.WRITE: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.CRASHED: CallerView(502, "api_error", "engine_crashed"),
    FailureKind.LIMITED: CallerView(503, "api_error", "service_full"),
}
AUTH_ERROR: Final = CallerView(502, "api_error", "upstream_auth_error")
REQUEST_CODE: Final[Mapping[int, str]] = {404: "not_found", 413: "request_too_large"}
LABEL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def caller_view(failure: Failure) -> CallerView:
    """What a call that gives up over `failure` answers.

    What the request is to blame for passes through. What the provider holds against the gateway (its key, its bill)
    does not: a 401 would send the caller looking at a key of their own that is fine.
    """
    status = status_of(failure)
    if blames_request(failure):
        return _passed_on(failure, status)
    if status == 429 or out_of_quota(failure):
        code = "upstream_quota_exhausted" if out_of_quota(failure) else "upstream_rate_limit"
        return CallerView(429, "rate_limit_error", code, named_wait_s(failure) or None)
    if status in CREDENTIAL_STATUSES:
        return AUTH_ERROR
    if status == 408:
        return VIEW_BY_KIND[FailureKind.TOTAL]
    return VIEW_BY_KIND[failure.kind]._replace(retry_after_s=named_wait_s(failure) or None)


def _passed_on(failure: Failure, status: int | None) -> CallerView:
    if status not in REQUEST_STATUSES:
        # A refused method or media type is between the gateway and the upstream; the caller chose neither.
        if failure.code not in REQUEST_CODES:
            return VIEW_BY_KIND[failure.kind]
        status = 400
    return CallerView(
        status, "invalid_request_error", _label(failure.code) or REQUEST_CODE.get(status, "invalid_request")
    )


def _label(code: str | None) -> str | None:
    """An upstream's code, unless it is no code at all: it goes into a JSON body, but logs and eyes meet it too."""
    return code if code is not None and LABEL.fullmatch(code) else None
