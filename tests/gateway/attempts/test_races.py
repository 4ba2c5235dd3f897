from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.errors import CancelledUnsent, LimitError, RequestError, UpstreamError
from gateway.records.settlement import settle
from policies.route_rules import CommitRules, HedgeRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.attempts.racing import A, B, C, Ring, a_call
from tests.gateway.limited_calls import Gate, limit

if TYPE_CHECKING:
    from gateway.call import Call

DOWN = Failure(FailureKind.BAD_RESPONSE, maybe_billed=True)


def told(call: Call) -> list[str]:
    """Every attempt as the records will have it."""
    return [f"{s.attempt.deployment.name} {s.attempt.kind} {s.outcome}" for s in settle(call).attempts]


async def test_the_first_good_answer_wins_and_the_other_is_cancelled() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    answer = ring.far.answers("b")
    reply = await asking
    assert (reply.deployment, ring.far.cancelled) == (B, ["a"])
    assert call.answering is call.attempts[1]
    assert ring.in_flight() == {"a": 0, "b": 1}
    call.scope.close()
    assert (ring.in_flight(), answer.closed) == ({"a": 0, "b": 0}, 1)
    assert told(call) == ["a first hedge_lost", "b hedge ok"]
    assert [(attempt.cancelled, attempt.sent) for attempt in call.attempts] == [(True, True), (False, True)]
    assert ring.written.begun == ["a first", "b hedge"]


async def test_the_first_may_win_after_all() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    ring.far.answers("a")
    assert (await asking).deployment is A
    call.scope.close()
    assert told(call) == ["a first ok", "b hedge hedge_lost"]
    assert ring.in_flight() == {"a": 0, "b": 0}


async def test_two_that_answer_at_once_are_one_answer() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    good, late = ring.far.answers("a"), ring.far.answers("b")
    assert cast("Any", (await asking).answer) is good
    assert (late.closed, told(call)) == (1, ["a first ok", "b hedge hedge_lost"])
    call.scope.close()
    assert ring.in_flight() == {"a": 0, "b": 0}


async def test_a_leg_that_fails_leaves_the_other_its_chance() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    ring.far.fails("a", UpstreamError(DOWN, "a"))
    await asyncio.sleep(0)
    ring.far.answers("b")
    assert (await asking).deployment is B
    assert told(call) == ["a first bad_response", "b hedge ok"]
    call.scope.close()


async def test_when_both_fail_the_call_moves_on() -> None:
    ring, call = Ring(), a_call(A, B, C)
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    ring.far.fails("b", UpstreamError(DOWN, "b"))
    ring.far.fails("a", UpstreamError(DOWN, "a"))
    await ring.far.until_asked(3)
    ring.far.answers("c")
    assert (await asking).deployment is C
    assert told(call) == ["a first bad_response", "b hedge bad_response", "c fallback ok"]
    call.scope.close()


async def test_a_caller_who_leaves_ends_both_legs_once_each() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sorted(ring.far.cancelled) == ["a", "b"]
    assert told(call) == ["a first client_cancelled", "b hedge client_cancelled"]
    assert ring.in_flight() == {"a": 0, "b": 0}
    assert call.answering is None


async def test_a_caller_who_leaves_as_an_answer_comes_leaves_nothing_open() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    answer = ring.far.answers("a")
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    call.scope.close()
    assert (answer.closed > 0, ring.in_flight()) == (True, {"a": 0, "b": 0})
    assert all(attempt.ended_s is not None for attempt in call.attempts)


@pytest.mark.parametrize(
    "rules", [HedgeRules(share_max=1.0), HedgeRules(share_max=0.5, after_s=0.0), HedgeRules(1.0, after_s=60.0)]
)
async def test_no_hedge_before_it_is_known_to_be_late_or_paid_for(rules: HedgeRules) -> None:
    ring, call = Ring(), a_call(hedge=rules)
    asking = ring.begin(call)
    await ring.far.until_asked(1)
    await asyncio.sleep(0.01)
    ring.far.answers("a")
    await asking
    assert ring.far.asked == ["a"]
    call.scope.close()


async def test_hedges_stay_within_their_share_of_a_routes_calls() -> None:
    ring = Ring()
    for _ in range(8):
        call = a_call(hedge=HedgeRules(share_max=0.25, after_s=0.0))
        asking = ring.begin(call)
        await ring.far.until_asked(1)
        await asyncio.sleep(0.005)
        ring.far.answers("a")
        await asking
        call.scope.close()
        if "b" not in ring.far.asked:
            ring.far.asked.clear()
    assert ring.far.asked.count("b") == 2


async def test_nothing_is_hedged_once_content_has_come() -> None:
    """While the commit window holds back what came, the attempt is no longer late."""
    ring, call = Ring(), a_call(commit=CommitRules(tokens=3), hedge=HedgeRules(1.0, after_s=0.02))
    asking = ring.begin(call)
    await ring.far.until_asked(1)
    goes_on = asyncio.Event()
    answer = ring.far.answers("a", b"one", b"two", b"three")
    read = answer.read

    async def slowly() -> bytes:
        if answer.tally.text:
            await goes_on.wait()
        return await read()

    answer.read = slowly  # type: ignore[method-assign]
    await asyncio.sleep(0.05)
    goes_on.set()
    await asking
    assert ring.far.asked == ["a"]
    call.scope.close()


async def test_a_hedge_that_is_not_to_be_sent_is_one_that_was_not_made() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    ring.far.fails("b", RequestError("not here"))
    await asyncio.sleep(0)
    ring.far.answers("a")
    assert (await asking).deployment is A
    assert told(call) == ["a first ok", "b hedge refused"]
    call.scope.close()


async def test_a_first_leg_that_is_refused_ends_the_call() -> None:
    ring, call = Ring(), a_call()
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    ring.far.fails("a", RequestError("not here"))
    with pytest.raises(RequestError):
        await asking
    assert ring.far.cancelled == ["b"]
    assert ring.in_flight() == {"a": 0, "b": 0}


async def test_what_was_never_sent_is_not_billed_though_it_lost() -> None:
    ring, call = Ring(), a_call()

    async def unsent() -> None:
        try:
            await asyncio.shield(ring.far.end_of("never"))
        except asyncio.CancelledError as cancelled:
            raise CancelledUnsent from cancelled

    asked = ring.far.__call__

    async def then(of: Call) -> Any:
        if of.attempts[-1].deployment is A:
            await unsent()
        return await asked(of)

    loop = asyncio.get_running_loop()
    loop.call_later(0.01, ring.far.answers, "b")
    await ring.stage(call, then)
    assert [attempt.sent for attempt in call.attempts] == [False, False], "known before the answer goes out"
    assert told(call) == ["a first hedge_lost", "b hedge ok"]
    call.scope.close()
    assert [attempt.sent for attempt in call.attempts] == [False, True]


def limited(gate: Gate) -> Call:
    call, like = a_call(), gate.call(output_tokens_max=50)
    call.generation, call.principal = like.generation, like.principal
    call.request.output_tokens_max = 50
    return call


async def test_each_leg_reserves_for_itself_and_both_are_settled() -> None:
    gate = Gate(limit("tokens", 1000), limit("concurrent", 2, None, "deployment"))
    ring, call = Ring(gate.admission), limited(gate)
    await gate.admit(call)
    asking = ring.begin(call)
    await ring.far.until_asked(2)
    accounts = await gate.accounts("acme", "deployment:a", "deployment:b")
    assert {name: account.held for name, account in accounts.items()} == {
        "key.tokens.60.0:ci": 300,
        "deployment.concurrent:a": 1,
        "deployment.concurrent:b": 1,
    }
    ring.far.answers("b")
    await asking
    accounts = await gate.accounts("deployment:a", "deployment:b")
    assert {name: account.held for name, account in accounts.items()} == {
        "deployment.concurrent:a": 0,
        "deployment.concurrent:b": 1,
    }
    call.scope.close()
    assert call.admitted is not None
    call.admitted.settle_counted()
    accounts = await gate.accounts("acme", "deployment:a", "deployment:b")
    assert {account.held for account in accounts.values()} == {0}


async def test_a_hedge_without_room_is_not_made() -> None:
    gate = Gate(limit("tokens", 200))
    ring, call = Ring(gate.admission), limited(gate)
    await gate.admit(call)
    asking = ring.begin(call)
    await ring.far.until_asked(1)
    await asyncio.sleep(0.01)
    ring.far.answers("a")
    assert (await asking).deployment is A
    assert (told(call), ring.in_flight()) == (["a first ok"], {"a": 1, "b": 0})
    call.scope.close()


async def test_a_call_without_room_for_its_next_attempt_says_so() -> None:
    gate = Gate(limit("tokens", 200))
    ring, call = Ring(gate.admission), limited(gate)
    await gate.admit(call)
    asking = ring.begin(call)
    await ring.far.until_asked(1)
    ring.far.fails("a", UpstreamError(DOWN, "a"))
    with pytest.raises(LimitError):
        await asking
    assert ring.in_flight() == {"a": 0, "b": 0}


async def test_a_caller_who_has_left_gets_no_hedge() -> None:
    """What goes on without a caller goes on for its usage only."""
    ring, call = Ring(), a_call()
    call.cancelled = True
    asking = ring.begin(call)
    await ring.far.until_asked(1)
    await asyncio.sleep(0.01)
    ring.far.answers("a")
    await asking
    assert ring.far.asked == ["a"]
    call.scope.close()
