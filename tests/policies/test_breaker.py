from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from policies.breaker import (
    DEFAULT_SETTINGS,
    BreakerState,
    Ended,
    Phase,
    admit,
    record,
    set_aside_until_s,
)
from policies.vocabulary import Failure, FailureKind

BROKEN = Failure(FailureKind.STATUS, status=500)
REFUSED = Failure(FailureKind.STATUS, status=400)
UNAUTHORIZED = Failure(FailureKind.STATUS, status=401)


def limited(retry_after_s: float | None) -> Failure:
    return Failure(FailureKind.STATUS, status=429, retry_after_s=retry_after_s)


def after(*failures: Failure | None, now: float = 0.0) -> BreakerState:
    state = BreakerState()
    for failure in failures:
        state = record(state, Ended(failure), now)
    return state


def open_breaker() -> BreakerState:
    return after(*[BROKEN] * 5)


def half_open(now: float = 5.0) -> BreakerState:
    admission = admit(open_breaker(), now)
    assert admission.probe
    return admission.state


def test_five_failures_in_a_row_open_it() -> None:
    assert after(*[BROKEN] * 4).phase is Phase.CLOSED
    assert open_breaker().phase is Phase.OPEN
    assert not admit(open_breaker(), 4.9).allowed


def test_a_success_starts_the_count_anew() -> None:
    assert after(*[BROKEN] * 4, None, *[BROKEN] * 4).phase is Phase.CLOSED


@pytest.mark.parametrize(
    "failure",
    [
        REFUSED,
        Failure(FailureKind.STATUS, status=404),
        Failure(FailureKind.STATUS, status=422),
        Failure(FailureKind.IN_BAND, code="content_filter"),
        Failure(FailureKind.STATUS, status=500, code="context_length_exceeded"),
        Failure(FailureKind.IN_BAND, code="invalid_request_error"),
        Failure(FailureKind.POOL),
        Failure(FailureKind.LIMITED, retry_after_s=3.0),
    ],
)
def test_what_the_deployment_is_not_to_blame_for_never_counts(failure: Failure) -> None:
    assert after(*[failure] * 50) == BreakerState()


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.POOL, FailureKind.LIMITED}))
def test_every_other_kind_counts(kind: FailureKind) -> None:
    assert after(*[Failure(kind)] * 5).phase is Phase.OPEN


@pytest.mark.parametrize(
    ("failure", "until_s"),
    [
        (limited(2.0), 2.0),
        (limited(3600.0), DEFAULT_SETTINGS.cooldown_max_s),
        (limited(float("inf")), DEFAULT_SETTINGS.cooldown_max_s),
        (UNAUTHORIZED, DEFAULT_SETTINGS.credential_cooldown_s),
        (Failure(FailureKind.STATUS, status=403), DEFAULT_SETTINGS.credential_cooldown_s),
        (Failure(FailureKind.STATUS, status=429, code="insufficient_quota"), DEFAULT_SETTINGS.credential_cooldown_s),
    ],
)
def test_one_failure_that_names_its_cooldown_is_enough(failure: Failure, until_s: float) -> None:
    assert set_aside_until_s(after(failure), 0.0) == until_s


@pytest.mark.parametrize("retry_after_s", [None, 0.0, -5.0, float("nan")])
def test_a_rate_limit_without_a_usable_wait_only_counts(retry_after_s: float | None) -> None:
    assert after(limited(retry_after_s)) == BreakerState(failures=1)


def test_named_cooldowns_of_one_burst_keep_the_latest_end() -> None:
    assert set_aside_until_s(after(limited(8.0), limited(2.0)), 0.0) == 8.0


def test_exactly_one_probe_goes_through() -> None:
    first = admit(open_breaker(), 5.0)
    second = admit(first.state, 5.0)
    assert (first.allowed, second.allowed) == (True, False)
    assert set_aside_until_s(first.state, 5.0) is not None


def test_a_good_probe_closes_it() -> None:
    state = half_open()
    closed = record(state, Ended(probe=state.probe), 6.0)
    assert closed.phase is Phase.CLOSED
    assert admit(closed, 6.0).allowed


def test_failed_probes_double_the_cooldown_up_to_its_cap() -> None:
    state, now, cooldowns = open_breaker(), 0.0, []
    for _ in range(9):
        now = state.until_s
        state = record(admit(state, now).state, Ended(BROKEN, probe=admit(state, now).probe), now)
        cooldowns.append(state.until_s - now)
    assert cooldowns == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0]


@pytest.mark.parametrize("ended", [Ended(cancelled=True), Ended(REFUSED), Ended(Failure(FailureKind.POOL))])
def test_a_probe_that_proves_nothing_is_free_again_at_once(ended: Ended) -> None:
    state = half_open()
    assert admit(record(state, ended._replace(probe=state.probe), 5.5), 5.5).probe


def test_a_lost_probe_lapses() -> None:
    state = half_open()
    assert not admit(state, 5.0 + DEFAULT_SETTINGS.probe_s - 0.1).allowed
    assert admit(state, 5.0 + DEFAULT_SETTINGS.probe_s).probe


def test_the_outcome_of_a_lapsed_probe_does_not_speak_for_the_next() -> None:
    first = half_open()
    second = admit(first, 5.0 + DEFAULT_SETTINGS.probe_s)
    assert record(second.state, Ended(probe=first.probe), 66.0) == second.state


def test_a_success_from_before_the_trouble_closes_nothing() -> None:
    assert record(open_breaker(), Ended(), 1.0) == open_breaker()
    assert record(half_open(), Ended(), 6.0) == half_open()


def test_a_forced_success_closes_it() -> None:
    assert record(open_breaker(), Ended(forced=True), 1.0).phase is Phase.CLOSED


class Traffic(RuleBasedStateMachine):
    """Attempts come, end, are cancelled or lost, in any order; the breaker must stay honest throughout."""

    @initialize()
    def begin(self) -> None:
        self.state = BreakerState()
        self.now = 0.0
        self.in_flight: list[tuple[int, float]] = []

    @rule()
    def attempt(self) -> None:
        was, aside = self.state, set_aside_until_s(self.state, self.now)
        admission = admit(self.state, self.now)
        assert admission.allowed == (aside is None)
        assert bool(admission.probe) == (admission.allowed and was.phase is not Phase.CLOSED)
        self.state = admission.state
        if admission.allowed:
            self.in_flight.append((admission.probe, self.now))

    @precondition(lambda self: self.in_flight)
    @rule(
        data=st.data(),
        ended=st.sampled_from([None, BROKEN, REFUSED, UNAUTHORIZED, limited(3.0), limited(None), "cancelled", "lost"]),
    )
    def end(self, data: st.DataObject, ended: Failure | str | None) -> None:
        probe, _ = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if ended == "lost":
            return
        failure = ended if isinstance(ended, Failure) else None
        self.state = record(self.state, Ended(failure, cancelled=ended == "cancelled", probe=probe), self.now)

    @rule(seconds=st.floats(0.1, 400.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def at_most_one_live_probe(self) -> None:
        alive = [p for p, since in self.in_flight if p and self.now < since + DEFAULT_SETTINGS.probe_s]
        running = [p for p in alive if self.state.phase is Phase.HALF_OPEN and p == self.state.probe]
        assert len(running) <= 1
        assert len(set(alive)) == len(alive)

    @invariant()
    def never_shut_for_good(self) -> None:
        until_s = set_aside_until_s(self.state, self.now)
        assert until_s is None or until_s - self.now <= DEFAULT_SETTINGS.cooldown_max_s
        assert admit(self.state, self.now + DEFAULT_SETTINGS.cooldown_max_s).allowed


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40)
