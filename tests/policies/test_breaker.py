from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from policies.breaker import (
    MEMORY_S,
    BreakerState,
    Ended,
    Phase,
    admit,
    recalled,
    record,
    record_credential,
    set_aside_until_s,
)
from policies.route_rules import DEFAULT_BREAKER, BreakerSettings
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
        Failure(FailureKind.BUSY, status=503, retry_after_s=3.0),
        Failure(FailureKind.LOST),
    ],
)
def test_what_the_deployment_is_not_to_blame_for_never_counts(failure: Failure) -> None:
    assert after(*[failure] * 50) == BreakerState()


BLAMELESS = {FailureKind.POOL, FailureKind.LIMITED, FailureKind.BUSY, FailureKind.LOST}


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - BLAMELESS))
def test_every_other_kind_counts(kind: FailureKind) -> None:
    assert after(*[Failure(kind)] * 5).phase is Phase.OPEN


@pytest.mark.parametrize(
    ("failure", "until_s"),
    [
        (limited(2.0), 2.0),
        (limited(3600.0), DEFAULT_BREAKER.named_max_s),
        (limited(float("inf")), DEFAULT_BREAKER.named_max_s),
    ],
)
def test_one_failure_that_names_its_cooldown_is_enough(failure: Failure, until_s: float) -> None:
    assert set_aside_until_s(after(failure), 0.0) == until_s


@pytest.mark.parametrize("retry_after_s", [None, 0.0, -5.0, float("nan")])
def test_a_rate_limit_without_a_usable_wait_only_counts(retry_after_s: float | None) -> None:
    state = after(limited(retry_after_s))
    assert (state.phase, state.failures) == (Phase.CLOSED, 1)


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
    settings = BreakerSettings(cooldown_max_s=20.0)
    for _ in range(9):
        now = state.until_s
        state = record(admit(state, now).state, Ended(BROKEN, probe=admit(state, now).probe), now, settings)
        cooldowns.append(state.until_s - now)
    assert cooldowns == [10.0, *[20.0] * 8]


@pytest.mark.parametrize("ended", [Ended(cancelled=True), Ended(REFUSED), Ended(Failure(FailureKind.POOL))])
def test_a_probe_that_proves_nothing_is_free_again_at_once(ended: Ended) -> None:
    state = half_open()
    assert admit(record(state, ended._replace(probe=state.probe), 5.5), 5.5).probe


def test_a_lost_probe_lapses() -> None:
    state = half_open()
    assert not admit(state, 5.0 + DEFAULT_BREAKER.probe_s - 0.1).allowed
    assert admit(state, 5.0 + DEFAULT_BREAKER.probe_s).probe


def test_the_outcome_of_a_lapsed_probe_does_not_speak_for_the_next() -> None:
    first = half_open()
    second = admit(first, 5.0 + DEFAULT_BREAKER.probe_s)
    assert record(second.state, Ended(probe=first.probe), 66.0) == second.state


def test_a_success_from_before_the_trouble_closes_nothing() -> None:
    assert record(open_breaker(), Ended(), 1.0) == open_breaker()
    assert record(half_open(), Ended(), 6.0) == half_open()


def test_a_forced_success_closes_it() -> None:
    assert record(open_breaker(), Ended(forced=True), 1.0).phase is Phase.CLOSED


# the share of failures


def run(outcomes: list[bool], every_s: float, state: BreakerState | None = None) -> BreakerState:
    """The breaker after these attempts (True: it failed), one at a time; it stops where the breaker opens."""
    state = state or BreakerState()
    for number, failed in enumerate(outcomes):
        state = record(state, Ended(BROKEN if failed else None), number * every_s)
        if state.phase is not Phase.CLOSED:
            break
    return state


def test_failures_that_alternate_with_successes_open_it() -> None:
    assert run([False, True] * 10, 0.5).phase is Phase.CLOSED, "no share of so few"
    assert run([False, True] * 20, 0.5).phase is Phase.OPEN


@pytest.mark.parametrize("every_s", [0.01, 0.5])
def test_fewer_failures_than_the_share_never_do(every_s: float) -> None:
    assert run([False, False, True] * 200, every_s).phase is Phase.CLOSED


def test_what_comes_too_seldom_to_be_judged_only_counts_in_a_row() -> None:
    assert run([False, True] * 300, MEMORY_S).phase is Phase.CLOSED
    assert run([True] * 5, MEMORY_S).phase is Phase.OPEN


def test_old_failures_fade() -> None:
    state = run([True, True, False] * 6, 0.1)
    later = record(state, Ended(BROKEN), 20 * MEMORY_S)
    assert (later.phase, round(later.made, 3), round(later.failed, 3)) == (Phase.CLOSED, 1.0, 1.0)


@given(st.lists(st.integers(0, 30), min_size=5, max_size=60), st.floats(0.01, 2.0))
def test_successes_told_in_bulk_weigh_as_much_as_one_by_one(runs: list[int], every_s: float) -> None:
    """So many successes before each failure; the two breakers agree within a few hundredths."""
    single, bulk = BreakerState(made=1e-9), BreakerState()
    now = 0.0
    for successes in runs:
        for _ in range(successes):
            now += every_s
            if single.phase is Phase.CLOSED:
                single = record(single, Ended(), now)
        now += every_s
        single = record(replace(single, failures=0), Ended(BROKEN), now)
        bulk = record(replace(bulk, failures=0), Ended(BROKEN, besides=successes), now)
        if single.phase is not Phase.CLOSED or bulk.phase is not Phase.CLOSED:
            return
        assert bulk.failed == pytest.approx(single.failed)
        assert bulk.made == pytest.approx(single.made, rel=0.05)


# signs of life


def test_a_sign_of_life_ends_the_cooldown_and_leaves_the_proof_to_a_probe() -> None:
    state = recalled(open_breaker(), 1.0)
    first = admit(state, 1.0)
    assert first.probe
    assert not admit(first.state, 1.0).allowed


def test_a_wait_that_the_provider_asked_for_is_kept_whatever_else_it_answers() -> None:
    state = after(limited(30.0))
    assert recalled(state, 1.0) == state
    assert recalled(BreakerState(), 1.0) == BreakerState()


# credentials

SPENT = Failure(FailureKind.STATUS, status=429, code="insufficient_quota")


NO_KEY = Failure(FailureKind.STATUS, status=403, code="invalid_api_key")


@pytest.mark.parametrize("failure", [*(Failure(FailureKind.STATUS, status=s) for s in (401, 402)), NO_KEY, SPENT])
def test_a_refused_credential_is_its_own_breakers_business(failure: Failure) -> None:
    assert after(*[failure] * 9) == BreakerState()
    refused = record_credential(BreakerState(), Ended(failure), 0.0)
    assert set_aside_until_s(refused, 0.0) == DEFAULT_BREAKER.credential_cooldown_s


FORBIDDEN = Failure(FailureKind.STATUS, status=403)  # of this model, or of this prompt


@pytest.mark.parametrize("failure", [BROKEN, REFUSED, limited(3.0), Failure(FailureKind.CONNECT), FORBIDDEN])
def test_nothing_else_strikes_a_credential(failure: Failure) -> None:
    assert record_credential(BreakerState(), Ended(failure), 0.0) == BreakerState()


def test_a_credential_comes_back_by_a_probe_and_not_by_answers_that_began_before() -> None:
    refused = record_credential(BreakerState(), Ended(UNAUTHORIZED), 0.0)
    assert record_credential(refused, Ended(), 1.0) == refused
    first = admit(refused, 60.0)
    assert record_credential(first.state, Ended(probe=first.probe), 61.0).phase is Phase.CLOSED
    assert set_aside_until_s(record_credential(first.state, Ended(UNAUTHORIZED, probe=1), 61.0), 61.0) == 121.0
    free = record_credential(first.state, Ended(BROKEN, probe=first.probe), 61.0)
    assert admit(free, 61.0).probe, "an outage says nothing of the credential"


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
        alive = [p for p, since in self.in_flight if p and self.now < since + DEFAULT_BREAKER.probe_s]
        running = [p for p in alive if self.state.phase is Phase.HALF_OPEN and p == self.state.probe]
        assert len(running) <= 1
        assert len(set(alive)) == len(alive)

    @invariant()
    def never_shut_for_good(self) -> None:
        until_s = set_aside_until_s(self.state, self.now)
        longest_s = max(DEFAULT_BREAKER.cooldown_max_s, DEFAULT_BREAKER.named_max_s, DEFAULT_BREAKER.probe_s)
        assert until_s is None or until_s - self.now <= longest_s
        assert admit(self.state, self.now + longest_s).allowed


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40)
