from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from adapters.schema import InferenceRequest
from gateway.errors import CancelledUnsent, LimitError, RequestError, UpstreamError
from policies.limit_index import LimitIndex
from policies.usage import Usage
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind, OnDisconnect, Period, Target
from tests.gateway.limited_calls import Gate, Spent, limit
from tests.gateway.stages.attempt_calls import A, B, Whole, Written, a_call, a_stage, upstream

if TYPE_CHECKING:
    from gateway.call import Call, Reply

C = Deployment("c", "p", "openai", "m")
REFUSED = Failure(FailureKind.CONNECT)
BAD_REQUEST = Failure(FailureKind.STATUS, "no", status=400)
RESET = Failure(FailureKind.RESET, maybe_billed=True)


async def test_the_winners_scope_lives_as_long_as_the_call() -> None:
    stage, fleet = a_stage()
    call, answer = a_call(), Whole()
    reply = await stage(call, upstream([answer]))
    assert reply.answer is cast("Any", answer)
    assert fleet.state_of(A).in_flight == 1
    call.scope.close()
    assert (fleet.state_of(A).in_flight, answer.closed) == (0, 1)
    assert call.attempts[0].sent
    assert call.attempts[0].ended_s is not None


async def test_each_attempt_is_written_down_before_it_is_made() -> None:
    written = Written()
    stage, _ = a_stage(written=written)
    seen: list[int] = []
    answers = upstream([UpstreamError(REFUSED, "a"), Whole()])

    async def then(call: Call) -> Reply:
        seen.append(len(written.begun))
        return await answers(call)

    await stage(a_call(), then)
    assert (written.begun, seen) == (["a 1", "b 2"], [1, 2])


async def test_a_failed_attempt_gives_back_at_once_and_the_fallback_answers() -> None:
    stage, fleet = a_stage()
    call = a_call()
    reply = await stage(call, upstream([UpstreamError(REFUSED, "a"), Whole()]))
    assert reply.deployment is B
    assert [attempt.deployment.name for attempt in call.attempts] == ["a", "b"]
    assert [attempt.sent for attempt in call.attempts] == [False, False]
    assert fleet.state_of(A).in_flight == 0
    assert fleet.state_of(A).last_failure == REFUSED
    call.scope.close()
    assert [attempt.sent for attempt in call.attempts] == [False, True]


async def test_what_the_request_is_to_blame_for_moves_nowhere() -> None:
    stage, _ = a_stage()
    call = a_call()
    with pytest.raises(UpstreamError) as caught:
        await stage(call, upstream([UpstreamError(BAD_REQUEST, "a"), Whole()]))
    assert caught.value.failure == BAD_REQUEST
    assert len(call.attempts) == 1


async def test_retries_stay_at_the_same_deployment_while_attempts_remain() -> None:
    stage, _ = a_stage()
    call = a_call(attempts=2)
    await stage(call, upstream([UpstreamError(REFUSED, "a"), UpstreamError(REFUSED, "a"), Whole()]))
    assert [attempt.deployment.name for attempt in call.attempts] == ["a", "a", "b"]


async def test_a_failure_that_may_have_been_billed_is_marked_as_sent() -> None:
    stage, _ = a_stage()
    call = a_call()
    await stage(call, upstream([UpstreamError(RESET, "a"), Whole()]))
    assert call.attempts[0].sent


async def test_a_caller_that_leaves_ends_the_attempt_and_the_lease() -> None:
    stage, fleet = a_stage()
    call = a_call()
    with pytest.raises(asyncio.CancelledError):
        await stage(call, upstream([asyncio.CancelledError()]))
    assert call.attempts[0].cancelled
    assert call.attempts[0].sent
    assert fleet.state_of(A).in_flight == 0
    assert fleet.state_of(A).failures == 0


async def test_a_caller_that_leaves_before_anything_was_sent_owes_nothing() -> None:
    stage, fleet = a_stage()
    call = a_call()
    with pytest.raises(asyncio.CancelledError):
        await stage(call, upstream([CancelledUnsent()]))
    assert (call.attempts[0].cancelled, call.attempts[0].sent) == (True, False)
    assert fleet.state_of(A).in_flight == 0


async def test_a_stream_that_breaks_on_its_way_counts_against_the_deployment() -> None:
    stage, fleet = a_stage()
    call = a_call()
    await stage(call, upstream([Whole()]))
    call.attempts[0].failure = Failure(FailureKind.TRUNCATED, maybe_billed=True)
    call.scope.close()
    assert fleet.state_of(A).failures == 1


async def test_all_set_aside_still_tries_the_one_that_comes_back_first() -> None:
    stage, fleet = a_stage()
    for deployment in (A, B):
        for _ in range(5):
            lease = fleet.lease(deployment)
            lease.fail(REFUSED)
            lease.release()
    call = a_call()
    reply = await stage(call, upstream([Whole()]))
    assert reply.deployment is A


async def test_who_was_passed_over_when_the_call_began_stays_known() -> None:
    stage, fleet = a_stage()
    for _ in range(5):
        lease = fleet.lease(A)
        lease.fail(REFUSED)
        lease.release()
    call, until_s = a_call(), fleet.set_aside((A,))["a"]
    reply = await stage(call, upstream([Whole()]))
    assert reply.deployment is B
    assert call.set_aside == {"a": until_s}


async def test_what_a_driver_refuses_to_send_is_no_failure_of_the_deployment() -> None:
    stage, fleet = a_stage()
    call = a_call()
    with pytest.raises(RequestError):
        await stage(call, upstream([RequestError("not here")]))
    (attempt,) = call.attempts
    assert (attempt.stopped, attempt.sent, attempt.failure) == ("refused", False, None)
    assert (fleet.state_of(A).in_flight, fleet.state_of(A).failures) == (0, 0)


async def test_a_bug_counts_as_sent_since_tokens_may_have_been_generated() -> None:
    stage, _ = a_stage()
    call = a_call()
    with pytest.raises(ZeroDivisionError):
        await stage(call, upstream([ZeroDivisionError()]))
    (attempt,) = call.attempts
    assert (attempt.stopped, attempt.sent) == ("internal_error", True)


def limited_call(gate: Gate, *, attempts: int = 1) -> Call:
    call = a_call(attempts=attempts)
    limited = gate.call(output_tokens_max=50)
    call.generation, call.request, call.principal = limited.generation, limited.request, limited.principal
    return call


async def test_a_deployment_at_its_limit_costs_no_attempt_and_no_breaker() -> None:
    gate = Gate(limit("requests", 1, 60.0, "deployment"))
    stage, fleet = a_stage(gate.admission)
    first, second = limited_call(gate), limited_call(gate)
    second.id = "req_2"
    assert (await stage(first, upstream([Whole()]))).deployment is A
    assert (await stage(second, upstream([Whole()]))).deployment is B
    assert [attempt.number for attempt in second.attempts] == [1]
    state = fleet.state_of(A)
    assert (state.in_flight, state.attempts, state.failures, state.own_breaker.state.failures) == (1, 1, 0, 0)


async def test_when_all_are_full_the_shortest_wait_is_told() -> None:
    gate = Gate(limit("requests", 1, 90.0, "deployment"), limit("requests", 2, 60.0, "provider"))
    stage, fleet = a_stage(gate.admission)
    for number in range(2):
        call = limited_call(gate)
        call.id = f"before_{number}"
        await stage(call, upstream([Whole()]))
        call.attempts[-1].usage = Usage(1, 1)
        call.scope.close()
        gate.now += 20.0 * (1 - number)
    call = limited_call(gate)
    with pytest.raises(LimitError) as caught:
        await stage(call, upstream([]))
    assert (caught.value.status, caught.value.code, call.attempts) == (503, "service_full", [])
    assert caught.value.retry_after_s == pytest.approx(70.0, abs=0.1)
    assert fleet.state_of(A).attempts == 1


async def test_what_fits_no_deployment_is_the_requests_fault() -> None:
    gate = Gate(limit("tokens", 100, 60.0, "deployment"))
    stage, _ = a_stage(gate.admission)
    with pytest.raises(RequestError) as caught:
        await stage(limited_call(gate), upstream([]))
    assert caught.value.code == "request_too_large_for_limit"


async def test_a_failed_attempt_gives_its_deployment_its_room_back_at_once() -> None:
    gate = Gate(limit("concurrent", 1, None, "deployment"), limit("tokens", 1000, 60.0, "deployment"))
    stage, _ = a_stage(gate.admission)
    call = limited_call(gate)
    await stage(call, upstream([UpstreamError(REFUSED, "a"), Whole()]))
    accounts = await gate.accounts("deployment:a", "deployment:b")
    assert [name for name, account in accounts.items() if account.held] == [
        "deployment.concurrent:b",
        "deployment.tokens.60.0:b",
    ]
    call.attempts[-1].usage = Usage(3, 4)
    call.scope.close()
    accounts = await gate.accounts("deployment:a", "deployment:b")
    assert accounts["deployment.tokens.60.0:b"].used == 7
    assert all(account.held == 0 for account in accounts.values())


async def test_an_attempt_after_a_billed_one_that_does_not_fit_is_not_made() -> None:
    gate = Gate(limit("tokens", 200))
    stage, _ = a_stage(gate.admission)
    call = limited_call(gate)
    await gate.admit(call)
    with pytest.raises(LimitError) as caught:
        await stage(call, upstream([UpstreamError(RESET, "a"), Whole()]))
    assert (caught.value.status, len(call.attempts)) == (429, 1)
    call.scope.close()
    assert call.admitted is not None
    call.admitted.settle_counted()
    assert (await gate.accounts())["key.tokens.60.0:ci"] == (150.0, gate.now, 0), "nobody knows what it came to"


async def test_limits_that_cannot_be_asked_leave_no_lease_behind() -> None:
    gate = Gate(limit("cost", 10**9, Period.DAY, "deployment"), ledger=Unreadable())
    stage, fleet = a_stage(gate.admission)
    with pytest.raises(LimitError, match="cannot write down"):
        await stage(limited_call(gate), upstream([]))
    assert (fleet.state_of(A).in_flight, fleet.state_of(A).attempts) == (0, 0)


class Unreadable(Spent):
    async def spent(self, account: str, window_start_s: float) -> int:
        raise OSError(account, window_start_s)


@pytest.mark.parametrize("left_at", ["a", "b"])
async def test_a_deployment_found_full_after_the_caller_left_rewrites_no_attempt(left_at: str) -> None:
    entering, goes_on = asyncio.Event(), asyncio.Event()

    class FullOnceLeft:
        async def enter(self, _call: Call, deployment: Deployment, _bounds: object) -> Failure | None:
            if deployment.name != left_at:
                return None
            entering.set()
            await goes_on.wait()
            return Failure(FailureKind.LIMITED)

    stage, _ = a_stage(cast("Any", FullOnceLeft()))
    call = a_call()
    assert call.route is not None
    draining = replace(A, on_disconnect=OnDisconnect.DRAIN)
    call.route, call.candidates = replace(call.route, targets=(Target(draining),)), (draining, B)
    limits = LimitIndex([limit("requests", 1, 60.0, "deployment")])
    call.generation = cast("Any", SimpleNamespace(limits=limits, drains=True))
    asking = asyncio.ensure_future(stage(call, upstream([UpstreamError(RESET, "a")])))
    await entering.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    call.cancelled = True
    goes_on.set()
    assert call.drain is not None
    await call.drain()
    assert [attempt.failure for attempt in call.attempts] == [RESET] * (left_at == "b")


def a_stream(*, learns: bool, attempts: int = 1) -> Call:
    call = a_call(attempts=attempts)
    assert call.route is not None
    call.route = replace(call.route, learns_first_token=learns)
    call.request = InferenceRequest(Endpoint.CHAT, "r", stream=True, include_usage=False, members={}, body_bytes=9)
    return call


async def test_who_could_go_elsewhere_waits_less_for_a_first_token_than_who_cannot() -> None:
    stage, _ = a_stage()
    call = a_stream(learns=True)
    await stage(call, upstream([UpstreamError(REFUSED, "a"), Whole()]))
    assert [attempt.timeouts and attempt.timeouts.first_token_s for attempt in call.attempts] == [10.0, None]


async def test_a_deployment_that_is_set_aside_is_nowhere_to_go() -> None:
    stage, fleet = a_stage()
    for _ in range(5):
        lease = fleet.lease(B)
        lease.fail(REFUSED)
        lease.release()
    call = a_stream(learns=True)
    await stage(call, upstream([Whole()]))
    assert call.attempts[0].timeouts is None


async def test_a_stated_limit_is_kept_to() -> None:
    stage, _ = a_stage()
    call = a_stream(learns=False)
    await stage(call, upstream([Whole()]))
    assert call.attempts[0].timeouts is None


async def test_what_each_attempt_is_for_is_told() -> None:
    stage, _ = a_stage()
    call = a_call(attempts=2)
    await stage(call, upstream([UpstreamError(REFUSED, "a"), UpstreamError(REFUSED, "a"), Whole()]))
    assert [attempt.kind for attempt in call.attempts] == ["first", "retry", "fallback"]
    assert call.answering is call.attempts[2]


async def test_a_caller_waits_for_the_fallback_declared_for_what_was_refused() -> None:
    stage, _ = a_stage()
    call = a_call()
    assert call.route is not None
    call.route = replace(call.route, content_fallbacks=(C,))
    call.candidates = (A, B, C)
    filtered = Failure(FailureKind.STATUS, status=400, code="content_filter")
    reply = await stage(call, upstream([UpstreamError(filtered, "a"), Whole()]))
    assert reply.deployment is C
    call = a_call()
    with pytest.raises(UpstreamError):
        await stage(call, upstream([UpstreamError(filtered, "a"), Whole()]))
    assert len(call.attempts) == 1


async def test_nobody_who_may_answer_is_told_before_anything_is_tried() -> None:
    stage, _ = a_stage()
    call = a_call()
    call.candidates = ()
    with pytest.raises(RequestError) as caught:
        await stage(call, upstream([]))
    assert caught.value.code == "no_capable_deployment"
