"""When a deployment is set aside, and when it is let back: closed, open, half open with exactly one probe.

Counting failures in a row needs no window and no clock while all is well, so admission to a closed breaker is a
comparison. A probe is a numbered ticket that lapses: an outcome with an old number is an ordinary one, and a probe
whose outcome never comes (a bug, a lost task) blocks nobody for longer than `probe_s`. That the last one standing is
never ejected is for `attempts` to see to; here, open means open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
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
    """One deployment's breaker. `until_s` ends the cooldown while open, and the probe's time while half open."""

    phase: Phase = Phase.CLOSED
    failures: int = 0
    until_s: float = 0.0
    cooldown_s: float = 0.0
    probe: int = 0


class Admission(NamedTuple):
    """Whether an attempt may go ahead. `probe` is its ticket, 0 for an ordinary attempt; hand it to `record`."""

    state: BreakerState
    allowed: bool
    probe: int = 0


class Ended(NamedTuple):
    """How an attempt ended: a failure, or none. `cancelled` (the caller left) says nothing of the deployment.

    `forced` marks an attempt that went ahead although the breaker was open, since every candidate's was.
    """

    failure: Failure | None = None
    cancelled: bool = False
    probe: int = 0
    forced: bool = False


DEFAULT_SETTINGS: Final = DEFAULT_BREAKER


def admit(state: BreakerState, now: float, settings: BreakerSettings = DEFAULT_SETTINGS) -> Admission:
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


def record(state: BreakerState, ended: Ended, now: float, settings: BreakerSettings = DEFAULT_SETTINGS) -> BreakerState:
    """The breaker after an attempt ended. Each admitted attempt is recorded once, however it ended."""
    probing = ended.probe != 0 and state.phase is Phase.HALF_OPEN and ended.probe == state.probe
    failure = ended.failure
    if ended.cancelled or (failure is not None and _blameless(failure)):
        return replace(state, until_s=now) if probing else state
    if failure is None:
        return _after_success(state, proven=probing or ended.forced)
    named_s = _named_cooldown_s(failure, settings)
    if probing:
        longer_s = min(settings.cooldown_max_s, max(settings.cooldown_s, state.cooldown_s * 2))
        return _opened(state, now + max(longer_s, named_s), longer_s)
    if named_s:
        return _opened(state, max(state.until_s, now + named_s), max(settings.cooldown_s, state.cooldown_s))
    return _counted(state, now, settings)


def _counted(state: BreakerState, now: float, settings: BreakerSettings) -> BreakerState:
    if state.phase is not Phase.CLOSED:
        return state
    failures = state.failures + 1
    if failures < settings.failures:
        return replace(state, failures=failures)
    return _opened(state, now + settings.cooldown_s, settings.cooldown_s)


def _after_success(state: BreakerState, *, proven: bool) -> BreakerState:
    # A success that began before the trouble proves nothing once the breaker has opened.
    if proven or (state.phase is Phase.CLOSED and state.failures):
        return BreakerState(probe=state.probe)
    return state


def _opened(state: BreakerState, until_s: float, cooldown_s: float) -> BreakerState:
    return BreakerState(Phase.OPEN, 0, until_s, cooldown_s, state.probe)


def _named_cooldown_s(failure: Failure, settings: BreakerSettings) -> float:
    """The cooldown that one failure alone demands; 0 where it only counts."""
    if blames_credential(failure):
        return settings.credential_cooldown_s
    return min(named_wait_s(failure), settings.named_max_s)


def _blameless(failure: Failure) -> bool:
    # Pools and limits are the gateway's own; what fills them is counted by its own failures.
    return failure.kind in (FailureKind.POOL, FailureKind.LIMITED) or blames_request(failure)
