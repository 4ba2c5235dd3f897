"""The breakers in force: lets policies decide about them, keeps what they say, and tells each turn once.

A deployment has one of its own, under each of its credentials; a credential has one that all its deployments share.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from policies.breaker import (
    BreakerState,
    Phase,
    admit,
    recalled,
    record,
    record_credential,
    set_aside_until_s,
)
from policies.failures import blames_credential

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.breaker import Ended
    from policies.route_rules import BreakerSettings
    from policies.vocabulary import Failure

log = logging.getLogger(__name__)

# What trips this often is told once a minute, not each time: an outage must not become an outage of the log.
QUIET_S: Final = 60.0


@dataclass(slots=True, eq=False)
class Breaker:
    """One breaker and whose it is, in words for the log. `told`: its opening was logged, and its end was not yet.
    `gone`: a reload removed what it was for, and only attempts that began before still end here.
    """

    name: str
    state: BreakerState = field(default_factory=BreakerState)
    told: bool = False
    told_s: float = -inf
    gone: bool = False


@dataclass(slots=True, eq=False)
class Credential:
    """One credential of one provider. `refused` counts attempts that the provider turned away for its sake."""

    provider: str
    name: str
    breaker: Breaker
    refused: int = 0
    last_refusal: Failure | None = None

    @property
    def phase(self) -> Phase:
        return self.breaker.state.phase


class Breakers:
    """`clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._open: set[Breaker] = set()

    @property
    def all_closed(self) -> bool:
        return not self._open

    def forget(self, breaker: Breaker) -> None:
        breaker.gone = True
        self._open.discard(breaker)

    def set_aside_until_s(self, breaker: Breaker, credential: Credential) -> float | None:
        """Until when neither lets anything through; None where an attempt may go ahead now."""
        if breaker.state.phase is Phase.CLOSED and credential.breaker.state.phase is Phase.CLOSED:
            return None
        now = self.clock()
        own_s, shared_s = set_aside_until_s(breaker.state, now), set_aside_until_s(credential.breaker.state, now)
        return None if own_s is None and shared_s is None else max(own_s or 0.0, shared_s or 0.0)

    def admit(self, breaker: Breaker, settings: BreakerSettings) -> int:
        """The ticket of an attempt that goes ahead now: 0 unless it is the probe that is due."""
        admission = admit(breaker.state, self.clock(), settings)
        breaker.state = admission.state
        return admission.probe

    def note(self, breaker: Breaker, ended: Ended, settings: BreakerSettings) -> bool:
        """Whether the end of an attempt changed what is known of its deployment."""
        before = breaker.state
        after = record(before, ended, self.clock(), settings)
        self._put(breaker, after, ended.failure)
        return after is not before

    def note_credential(self, credential: Credential, ended: Ended, settings: BreakerSettings) -> None:
        """What the end of an attempt says of its credential."""
        breaker, failure = credential.breaker, ended.failure
        refused = failure is not None and blames_credential(failure)
        if refused:
            credential.refused += 1
            credential.last_refusal = failure
        elif breaker.state.phase is Phase.CLOSED:
            return
        self._put(breaker, record_credential(breaker.state, ended, self.clock(), settings), failure, alarm=True)

    def recall(self, breaker: Breaker) -> None:
        """Let a deployment that has shown a sign of life be tried at once."""
        breaker.state = recalled(breaker.state, self.clock())

    def _put(self, breaker: Breaker, after: BreakerState, failure: Failure | None, *, alarm: bool = False) -> None:
        before, breaker.state = breaker.state, after
        if breaker.gone:
            return
        if after.phase is Phase.CLOSED:
            if before.phase is not Phase.CLOSED:
                self._open.discard(breaker)
                self._tell_closed(breaker)
        else:
            self._open.add(breaker)
            if before.phase is Phase.CLOSED:
                self._tell_opened(breaker, failure, logging.ERROR if alarm else logging.WARNING)

    def _tell_opened(self, breaker: Breaker, failure: Failure | None, level: int) -> None:
        now = self.clock()
        if now - breaker.told_s < QUIET_S or failure is None:
            return
        breaker.told, breaker.told_s = True, now
        reason = failure.kind.value if failure.status is None else f"{failure.kind.value} {failure.status}"
        log.log(level, "%s is set aside for %.3g s: %s", breaker.name, breaker.state.until_s - now, reason)

    def _tell_closed(self, breaker: Breaker) -> None:
        if breaker.told:
            breaker.told = False
            log.info("%s is back", breaker.name)
