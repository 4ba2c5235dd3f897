"""When a deployment or a credential is set aside, and when it is let back: closed, open, half open with one probe.

Counting failures in a row needs no window and no clock while all is well, so admission to a closed breaker is a
comparison. Failures mixed with successes never come in a row: for them stands the share of recent attempts that failed,
with weights that fade, and successes are told in bulk when the next failure comes. A probe is a numbered ticket that
lapses: an outcome with an old number is an ordinary one, and a probe whose outcome never comes (a bug, a lost task)
blocks nobody for longer than `probe_s`. That the last one standing is never ejected is for `attempts` to see to; here,
open means open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.failures import blames_credential, blames_request, named_wait_s
from policies.route_rules import DEFAULT_BREAKER, BreakerSettings
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from policies.vocabulary import Failure


class Phase(StrEnum):
    """The value is also a metric label."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker. `until_s` ends the cooldown while open, and the probe's time while half open.

    `made` attempts and the `failed` ones among them are weights as of `counted_s` that fade with `MEMORY_S`. `named`:
    the cooldown is one that the provider asked for, which no sign of life cuts short.
    """

    phase: Phase = Phase.CLOSED
    failures: int = 0
    until_s: float = 0.0
    cooldown_s: float = 0.0
    probe: int = 0
    made: float = 0.0
    failed: float = 0.0
    counted_s: float = 0.0
    named: bool = False


class Admission(NamedTuple):
    """Whether an attempt may go ahead. `probe` is its ticket, 0 for an ordinary attempt; hand it to `record`."""

    state: BreakerState
    allowed: bool
    probe: int = 0


class Ended(NamedTuple):
    """How an attempt ended: a failure, or none. `cancelled` (the caller left) says nothing of the deployment.

    `forced` marks an attempt that went ahead although the breaker was open, since every candidate's was. `besides`
    counts successes before this one that were not told by themselves.
    """

    failure: Failure | None = None
    cancelled: bool = False
    probe: int = 0
    forced: bool = False
    besides: int = 0


# How long an attempt weighs in the share of failures: after this time, 37 % of what it did at first.
MEMORY_S: Final = 30.0


def admit(state: BreakerState, now: float, settings: BreakerSettings = DEFAULT_BREAKER) -> Admission:
    """Whether an attempt may go to this deployment now; past the cooldown, one at a time as a probe."""
    if state.phase is Phase.CLOSED:
        return Admission(state, allowed=True)
    if now < state.until_s:
        return Admission(state, allowed=False)
    ticket = state.probe + 1
    probing = replace(state, phase=Phase.HALF_OPEN, until_s=now + settings.probe_s, probe=ticket)
    return Admission(probing, allowed=True, probe=ticket)


def set_aside_until_s(state: BreakerState, now: float) -> float | None:
    """Until when nothing is let through; None where `admit` would allow an attempt now."""
    return None if state.phase is Phase.CLOSED or now >= state.until_s else state.until_s


def recalled(state: BreakerState, now: float) -> BreakerState:
    """The breaker after a sign of life that was no attempt: the next attempt may be the probe, whatever was left of the
    cooldown. It stays unproven, since a server may list its models long after it has stopped answering.
    """
    if state.phase is not Phase.OPEN or state.named or now >= state.until_s:
        return state
    return replace(state, until_s=now)


def record(state: BreakerState, ended: Ended, now: float, settings: BreakerSettings = DEFAULT_BREAKER) -> BreakerState:
    """A deployment's breaker after an attempt ended. Each admitted attempt is recorded once, however it ended."""
    probing = _is_probe(state, ended)
    failure = ended.failure
    if ended.cancelled or (failure is not None and _blameless(failure)):
        return replace(state, until_s=now) if probing else state
    if failure is None:
        return _after_success(state, ended, now, proven=probing or ended.forced)
    named_s = min(named_wait_s(failure), settings.named_max_s)
    if probing:
        longer_s = min(settings.cooldown_max_s, max(settings.cooldown_s, state.cooldown_s * 2))
        return _opened(state, now + max(longer_s, named_s), longer_s, named=bool(named_s))
    if named_s:
        until_s = max(state.until_s, now + named_s)
        return _opened(state, until_s, max(settings.cooldown_s, state.cooldown_s), named=True)
    return _counted(state, ended, now, settings)


def record_credential(
    state: BreakerState, ended: Ended, now: float, settings: BreakerSettings = DEFAULT_BREAKER
) -> BreakerState:
    """A credential's breaker after an attempt with it ended: only the provider's word on the credential counts."""
    probing = _is_probe(state, ended)
    if ended.failure is not None and blames_credential(ended.failure):
        until_s = max(state.until_s, now + settings.credential_cooldown_s)
        return _opened(state, until_s, settings.credential_cooldown_s, named=True)
    if ended.failure is None and not ended.cancelled and (probing or ended.forced):
        return BreakerState(probe=state.probe)
    return replace(state, until_s=now) if probing else state


def _is_probe(state: BreakerState, ended: Ended) -> bool:
    return ended.probe != 0 and state.phase is Phase.HALF_OPEN and ended.probe == state.probe


def _counted(state: BreakerState, ended: Ended, now: float, settings: BreakerSettings) -> BreakerState:
    if state.phase is not Phase.CLOSED:
        return state
    counted = _weighed(state, ended, now)
    in_a_row = state.failures + 1
    too_many = counted.made >= settings.volume_min and counted.failed >= settings.failure_share * counted.made
    if too_many or in_a_row >= settings.failures:
        return _opened(state, now + settings.cooldown_s, settings.cooldown_s)
    return replace(counted, failures=in_a_row)


def _weighed(state: BreakerState, ended: Ended, now: float) -> BreakerState:
    """With this attempt counted, and those besides it as if they had come evenly since the last count."""
    ages = max(0.0, now - state.counted_s) / MEMORY_S
    fade = exp(-ages)
    besides = ended.besides * ((1.0 - fade) / ages if ages else 1.0)
    made = state.made * fade + besides + 1.0
    failed = state.failed * fade + (ended.failure is not None)
    return replace(state, made=made, failed=failed, counted_s=max(now, state.counted_s))


def _after_success(state: BreakerState, ended: Ended, now: float, *, proven: bool) -> BreakerState:
    # A success that began before the trouble proves nothing once the breaker has opened.
    if proven:
        return BreakerState(probe=state.probe, counted_s=now)
    if state.phase is Phase.CLOSED and state.made:
        return replace(_weighed(state, ended, now), failures=0)
    return state


def _opened(state: BreakerState, until_s: float, cooldown_s: float, *, named: bool = False) -> BreakerState:
    return BreakerState(Phase.OPEN, 0, until_s, cooldown_s, state.probe, named=named)


def _blameless(failure: Failure) -> bool:
    """Pools and limits are the gateway's own, and what fills them is counted by its own failures; an engine of ours
    that is busy knows who may still come, and its death is counted by those that it died under. A refused credential
    is no fault of the deployment: it has its own breaker.
    """
    own = failure.kind in (FailureKind.POOL, FailureKind.LIMITED, FailureKind.BUSY, FailureKind.LOST)
    return own or blames_request(failure) or blames_credential(failure)
