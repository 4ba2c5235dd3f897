from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from adapters.base import EngineTimes
from gateway.attempts.legs import DROPPED, Desk, Leg, Step
from gateway.errors import UpstreamError
from policies.attempts import AttemptKind
from policies.route_rules import CommitRules
from policies.vocabulary import Failure, FailureKind, Timeouts
from tests.gateway.attempts.racing import A, Ring, a_call
from tests.gateway.state.test_hardware import ENGINE, RENTED, following

if TYPE_CHECKING:
    from gateway.call import Call, Reply
    from gateway.state.hardware import HardwareTimes

BROKE = Failure(FailureKind.TRUNCATED, maybe_billed=True)


def leg_of(ring: Ring, call: Call, step: Step | None = None, times: HardwareTimes | None = None) -> Leg:
    clock = asyncio.get_running_loop().time
    return Leg(Desk(ring.fleet, clock, cast("Any", None), ring.written, times), call, step or Step(A))


async def answered(ring: Ring, leg: Leg, *pieces: bytes | BaseException) -> Reply:
    ring.far.answers("a", *pieces)
    return await leg.run(ring.far)


async def test_an_attempt_says_why_it_is_made_and_what_it_goes_by() -> None:
    ring, call = Ring(), a_call()
    timeouts = Timeouts(first_token_s=3.0)
    leg = leg_of(ring, call, Step(A, AttemptKind.RESUME, timeouts=timeouts, request=call.request))
    await answered(ring, leg)
    (attempt,) = call.attempts
    assert (attempt.kind, attempt.timeouts, attempt.request) == (AttemptKind.RESUME, timeouts, call.request)
    assert leg.has_content


async def test_a_failure_within_the_commit_window_fails_the_leg_and_is_billed() -> None:
    ring, call = Ring(), a_call(commit=CommitRules(tokens=3))
    leg = leg_of(ring, call)
    with pytest.raises(UpstreamError):
        await answered(ring, leg, b"one", UpstreamError(BROKE, "a"))
    (attempt,) = call.attempts
    assert (attempt.failure, attempt.sent, ring.in_flight()) == (BROKE, True, {"a": 0})
    assert attempt.tally is not None
    assert attempt.tally.text == ["one"]


async def test_a_leg_that_breaks_on_its_way_gives_back_when_it_is_dropped() -> None:
    ring, call = Ring(), a_call()
    leg = leg_of(ring, call)
    reply = await answered(ring, leg)
    leg.win(reply)
    assert (ring.in_flight(), call.answering) == ({"a": 1}, call.attempts[0])
    leg.drop(BROKE)
    (attempt,) = call.attempts
    assert (attempt.failure, attempt.sent, ring.in_flight()) == (BROKE, True, {"a": 0})
    assert ring.fleet.state_of(A).failures == 1
    leg.drop(None)
    call.scope.close()
    assert (attempt.failure, attempt.stopped, ring.in_flight()) == (BROKE, None, {"a": 0})


async def test_an_answer_of_no_use_is_nobodys_failure_and_still_paid_for() -> None:
    ring, call = Ring(), a_call()
    leg = leg_of(ring, call)
    leg.win(await answered(ring, leg))
    leg.drop(None)
    (attempt,) = call.attempts
    assert (attempt.failure, attempt.stopped, attempt.cancelled, attempt.sent) == (None, DROPPED, True, True)
    assert ring.fleet.state_of(A).failures == 0


async def test_a_leg_that_lost_teaches_its_deployment_that_it_is_slow() -> None:
    ring, call = Ring(), a_call()
    leg = leg_of(ring, call)
    running = asyncio.ensure_future(leg.run(ring.far))
    await ring.far.until_asked(1)
    assert ring.fleet.late_s(A) is None
    leg.lose()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ring.fleet.late_s(A) is not None
    assert call.attempts[0].stopped == "hedge_lost"


@pytest.mark.parametrize(("kind", "failures"), [(FailureKind.TOTAL, 0), (FailureKind.IDLE, 9)])
async def test_callers_who_use_up_their_time_set_nobody_aside(kind: FailureKind, failures: int) -> None:
    """As slow readers would, who otherwise could take a deployment from everybody else."""
    ring = Ring()
    for _ in range(9):
        call = a_call()
        leg = leg_of(ring, call)
        leg.win(await answered(ring, leg))
        call.attempts[0].failure = Failure(kind, maybe_billed=True)
        call.scope.close()
    state = ring.fleet.state_of(A)
    assert (state.failures, bool(ring.fleet.set_aside((A,)))) == (failures, failures > 0)
    assert ring.in_flight() == {"a": 0}


async def test_a_time_that_is_up_within_the_commit_window_is_the_deployments_failure() -> None:
    ring, call = Ring(), a_call(commit=CommitRules(tokens=3))
    with pytest.raises(UpstreamError):
        await answered(ring, leg_of(ring, call), b"one", UpstreamError(Failure(FailureKind.TOTAL), "a"))
    assert ring.fleet.state_of(A).failures == 1


async def test_an_attempt_has_its_part_of_the_hardware_until_its_answer_is_over() -> None:
    here = replace(A, hardware=RENTED)
    (times, clock), ring, calls = following(here), Ring(), [a_call(), a_call()]
    legs = [leg_of(ring, call, Step(here), times) for call in calls]
    for leg, call in zip(legs, calls, strict=True):
        leg.win(await answered(ring, leg))
        clock.sleep(1)
        assert call.attempts[0].gpu_us is None
    for call in calls:
        clock.sleep(1)
        call.scope.close()
    # Two GPUs: a second alone and one and a half shared; then two halves and a second alone.
    assert [call.attempts[0].gpu_us for call in calls] == [4_000_000, 4_000_000]


async def test_a_leg_that_fails_or_is_outrun_gives_its_part_back_at_once() -> None:
    here = replace(A, hardware=RENTED)
    (times, clock), ring = following(here), Ring()
    failing, outrun = a_call(commit=CommitRules(tokens=3)), a_call()
    leg = leg_of(ring, failing, Step(here), times)
    with pytest.raises(UpstreamError):
        await answered(ring, leg, b"one", UpstreamError(BROKE, "a"))
    assert failing.attempts[0].gpu_us == 0
    leg = leg_of(ring, outrun, Step(here), times)
    reply = await answered(ring, leg)
    clock.sleep(3)
    leg.lose(reply)
    assert outrun.attempts[0].gpu_us == 6_000_000
    clock.sleep(9)
    assert times.spent()["a"].busy_ns == 6 * 10**9


async def test_of_our_own_engine_an_attempt_has_what_the_engine_says() -> None:
    here = replace(A, hardware=ENGINE)
    (times, clock), ring, call = following(here), Ring(), a_call()
    leg = leg_of(ring, call, Step(here), times)
    leg.win(await answered(ring, leg))
    clock.sleep(5)
    tally = call.attempts[0].tally
    assert tally is not None
    tally.engine = EngineTimes(compute_s=1.25)
    call.scope.close()
    assert call.attempts[0].gpu_us == 1_250_000
