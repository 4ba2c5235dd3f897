from __future__ import annotations

import pytest

from adapters.base import Tally
from gateway.call import Attempt
from gateway.state.fleet import Fleet
from gateway.state.leases import OUTPUT_TOKENS_MAX, TIMES_KEPT
from policies.breaker import Phase
from policies.expectations import BYTES_PER_TOKEN, OUTPUT_TOKENS_USUAL
from policies.latency import UNKNOWN_LATENCY, expected_s, ttft_quantile_s
from policies.route_rules import Needs
from policies.usage import Usage
from policies.vocabulary import Deployment, Failure, FailureKind

A = Deployment("a", "p", "openai", "m")
DOWN = Failure(FailureKind.CONNECT)
LATE = Failure(FailureKind.FIRST_TOKEN)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_in_flight_counts_leases_and_release_is_idempotent() -> None:
    fleet = Fleet(Clock())
    lease = fleet.lease(A)
    assert fleet.state_of(A).in_flight == 1
    lease.release()
    lease.release()
    assert (fleet.state_of(A).in_flight, fleet.state_of(A).in_flight_tokens) == (0, 0)


@pytest.mark.parametrize("needs", [Needs(input_tokens=100 * BYTES_PER_TOKEN), Needs(input_tokens=100, is_counted=True)])
@pytest.mark.parametrize(("stated", "weighs"), [(None, OUTPUT_TOKENS_USUAL), (7, 7), (1_000_000, OUTPUT_TOKENS_MAX)])
def test_tokens_in_flight_are_what_a_call_may_come_to_within_reason(
    needs: Needs, stated: int | None, weighs: int
) -> None:
    fleet = Fleet(Clock())
    lease = fleet.lease(A, needs=needs._replace(output_tokens=stated))
    assert fleet.state_of(A).in_flight_tokens == 100 + weighs
    lease.release()
    assert fleet.state_of(A).in_flight_tokens == 0


def test_a_probe_whose_caller_left_frees_its_place() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    for _ in range(5):
        lease = fleet.lease(A)
        lease.fail(DOWN)
        lease.release()
    clock.now += 6
    fleet.lease(A).release()
    assert not fleet.live((A,)).set_aside


def test_a_deployment_that_cuts_every_stream_is_set_aside() -> None:
    fleet = Fleet(Clock())
    for _ in range(5):
        lease = fleet.lease(A)
        lease.answer()
        lease.fail(DOWN)
        lease.release()
    assert fleet.state_of(A).last_failure == DOWN
    assert fleet.state_of(A).phase is Phase.OPEN


# times


def attempt(started_s: float, first_token_s: float | None, ended_s: float, output_tokens: int = 0) -> Attempt:
    tally = Tally(usage=Usage(10, output_tokens)) if output_tokens else None
    return Attempt(1, A, started_s, first_token_s, ended_s, tally=tally)


def test_a_stream_tells_its_first_token_and_the_time_between_tokens() -> None:
    fleet = Fleet(Clock())
    fleet.lease(A, needs=Needs(input_tokens=100)).succeed(attempt(0.0, 0.5, 2.5, output_tokens=21))
    latency = fleet.state_of(A).latency
    assert expected_s(latency, 10, 21, 3.0) == pytest.approx(2.5)
    assert fleet.late_s(A) == pytest.approx(0.5, rel=0.2)


def test_a_whole_answer_tells_how_long_it_took() -> None:
    fleet = Fleet(Clock())
    fleet.lease(A).succeed(attempt(0.0, None, 2.0, output_tokens=10))
    assert expected_s(fleet.state_of(A).latency, 0, 10, 3.0) == pytest.approx(2.0)
    assert fleet.late_s(A) is None


def test_a_time_out_tells_that_it_takes_longer_and_other_failures_tell_nothing() -> None:
    fleet = Fleet(Clock())
    fleet.lease(A).fail(DOWN, attempt(0.0, None, 0.001))
    assert fleet.state_of(A).latency == UNKNOWN_LATENCY
    fleet.lease(A).fail(LATE, attempt(0.0, None, 10.0))
    fleet.lease(A).outrun(attempt(0.0, None, 10.0))
    late_s = ttft_quantile_s(fleet.state_of(A).latency, 0.5, 11.0)
    assert late_s is not None
    assert late_s > 10.0


def test_only_the_latest_times_wait_to_be_asked_for() -> None:
    fleet = Fleet(Clock())
    for number in range(3 * TIMES_KEPT):
        fleet.lease(A).succeed(attempt(0.0, 1.0 if number < TIMES_KEPT else 4.0, 5.0))
    assert len(fleet.state_of(A).times) == TIMES_KEPT
    assert ttft_quantile_s(fleet.state_of(A).latency, 0.01, 6.0) == pytest.approx(4.0, rel=0.2)
    assert not fleet.state_of(A).times
