"""One attempt's claim on a deployment, and what the deployment's attempts together have come to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.state.prefixes import Prefixes
from policies.breaker import Ended, Phase
from policies.expectations import OUTPUT_TOKENS_USUAL, likely_input_tokens
from policies.failures import blames_credential
from policies.latency import UNKNOWN_LATENCY, Latency, Sample, observe
from policies.route_rules import NO_NEEDS
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from gateway.call import Attempt
    from gateway.state.breakers import Breaker, Breakers, Credential
    from policies.retry_budget import RetryBudget
    from policies.route_rules import Needs
    from policies.usage import Usage
    from policies.vocabulary import Deployment, Failure

# An answer weighs at most so much among tokens in flight: bounds are often set far beyond what is used, and must not
# make one call look like a hundred.
OUTPUT_TOKENS_MAX: Final = 4096
# Times are worked into the estimates when somebody asks for them; until then so many of the latest are kept.
TIMES_KEPT: Final = 64
# What says that no token came in all this time. Other failures come fast, and say nothing of how long an answer takes.
TOO_LATE: Final = frozenset({FailureKind.FIRST_TOKEN, FailureKind.IDLE, FailureKind.TOTAL})

Times = tuple[int, "Usage | None", float, float | None, float, bool]
"""Expected input, usage, start, first token, end, and whether it was cut off: worked into a `Sample` when needed."""


@dataclass(slots=True, eq=False)
class DeploymentState:
    """Live state of one deployment under one credential; `in_flight`, `attempts` and `failures` count attempts.

    `untold` successes have not been told to the breaker yet, since one that is well need not hear of each. Of the
    `attempts`, `banked` have paid into the retry budget, or were second tries, which pay nothing.
    """

    deployment: Deployment
    credential: Credential
    own_breaker: Breaker
    budget: RetryBudget
    in_flight: int = 0
    in_flight_tokens: int = 0
    attempts: int = 0
    failures: int = 0
    untold: int = 0
    banked: int = 0
    retries_refused: int = 0
    probes: int = 0
    probes_failed: int = 0
    last_failure: Failure | None = None
    last_failed_s: float = 0.0
    times: deque[Times] = field(default_factory=lambda: deque(maxlen=TIMES_KEPT))
    estimates: Latency = UNKNOWN_LATENCY
    prefixes: Prefixes = field(default_factory=Prefixes)

    @property
    def phase(self) -> Phase:
        """Of its breaker and its credential's, the one that lets less through."""
        own, shared = self.own_breaker.state.phase, self.credential.breaker.state.phase
        return own if shared is Phase.CLOSED or own is Phase.OPEN else shared

    @property
    def latency(self) -> Latency:
        """What its answers took lately."""
        times = self.times
        while times:
            latest = times.popleft()
            self.estimates = observe(self.estimates, _sample(latest), latest[4])
        return self.estimates


class Lease:
    """It ends once, as a success, a failure, or neither when the caller left.

    A stream succeeds when it has ended well: a deployment that cuts each stream must not look well whenever one opens.
    A probe is settled by the first content already, so that a long answer keeps nobody else away.
    """

    __slots__ = (
        "_breakers",
        "_credential_probe",
        "_ended",
        "_input_tokens",
        "_probe",
        "_settings",
        "_state",
        "_tokens",
        "forced",
    )

    def __init__(
        self, state: DeploymentState, breakers: Breakers, needs: Needs = NO_NEEDS, *, forced: bool = False
    ) -> None:
        self._state = state
        self._breakers = breakers
        self._ended = False
        self._settings = state.deployment.breaker
        self._probe = self._credential_probe = 0
        self.forced = forced
        if not breakers.all_closed:
            self._probe = breakers.admit(state.own_breaker, self._settings)
            self._credential_probe = breakers.admit(state.credential.breaker, self._settings)
        bound = needs.output_tokens
        self._input_tokens = likely_input_tokens(needs)
        self._tokens = self._input_tokens + (OUTPUT_TOKENS_USUAL if bound is None else min(bound, OUTPUT_TOKENS_MAX))
        state.in_flight += 1
        state.in_flight_tokens += self._tokens
        state.attempts += 1

    def answer(self) -> None:
        """The deployment began to answer."""
        if self._probe or self._credential_probe or self.forced:
            self._note(None)

    def succeed(self, attempt: Attempt | None = None) -> None:
        """It ended well. The attempt's times and tokens are taken as they are now."""
        if attempt is not None:
            self._time(attempt)
        if self._probe or self._credential_probe or self.forced or self._state.own_breaker.state.failures:
            self._note(None)
        else:
            self._state.untold += 1

    def fail(self, failure: Failure, attempt: Attempt | None = None) -> None:
        state = self._state
        if attempt is not None and failure.kind in TOO_LATE and attempt.first_token_s is None:
            self._time(attempt, censored=True)
        state.failures += 1
        state.last_failure = failure
        state.last_failed_s = self._breakers.clock()
        self._note(failure)

    def outrun(self, attempt: Attempt) -> None:
        """It was stopped before its first token, as another was faster: what it would have taken is longer."""
        self._time(attempt, censored=True)

    def release(self) -> None:
        """Give the claim back. A probe that neither succeeded nor failed is free for the next attempt."""
        if self._ended:
            return
        self._ended = True
        self._state.in_flight -= 1
        self._state.in_flight_tokens -= self._tokens
        if self._probe or self._credential_probe:
            self._note(None, cancelled=True)

    def waive(self) -> None:
        """No attempt was made after all."""
        self._state.attempts -= 1
        self.release()

    def _note(self, failure: Failure | None, *, cancelled: bool = False) -> None:
        state, breakers = self._state, self._breakers
        ended = Ended(failure, cancelled, self._probe, self.forced, state.untold)
        if breakers.note(state.own_breaker, ended, self._settings):
            state.untold = 0
        if not breakers.all_closed or (failure is not None and blames_credential(failure)):
            ended = ended._replace(probe=self._credential_probe)
            breakers.note_credential(state.credential, ended, self._settings)
        self._probe = self._credential_probe = 0

    def _time(self, attempt: Attempt, *, censored: bool = False) -> None:
        if attempt.ended_s is not None:
            usage = None if attempt.tally is None else attempt.tally.usage
            at = (attempt.started_s, attempt.first_token_s, attempt.ended_s)
            self._state.times.append((self._input_tokens, usage, *at, censored))


def _sample(times: Times) -> Sample:
    input_tokens, usage, started_s, first_s, ended_s, censored = times
    output_tokens = 0
    if usage is not None:
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    itl_s = (ended_s - first_s) / (output_tokens - 1) if first_s is not None and output_tokens > 1 else None
    ttft_s = None if first_s is None else first_s - started_s
    return Sample(input_tokens, ttft_s, itl_s, ended_s - started_s, output_tokens, censored)
