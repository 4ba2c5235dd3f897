from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.attempts.relay import Relay
from gateway.errors import UpstreamError
from gateway.records.settlement import settle
from policies.attempts import ATTEMPTS_MAX
from policies.route_rules import Capability
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.gateway.attempts.racing import A, B, C, Ring, a_call

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.stages.attempt import Errand

BROKE = Failure(FailureKind.TRUNCATED, maybe_billed=True)
NOBODY = frozenset[str]()


async def broken(ring: Ring, *candidates: Deployment) -> tuple[Call, Relay]:
    """A call whose stream is out and has just broken."""
    call = a_call(*candidates, hedge=None)
    errands: list[Errand] = []
    win = ring.stage._win

    def note(errand: Any, leg: Any, reply: Any) -> None:
        errands.append(errand)
        win(errand, leg, reply)

    ring.stage._win = note  # type: ignore[method-assign]
    ring.far.answers("a")
    await ring.stage(call, ring.far)
    (errand,) = errands
    assert errand.leg is not None
    relay = Relay(call, errand.leg, lambda plan, request: ring.stage._resume(errand, plan, request))
    relay.drop(BROKE)
    return call, relay


async def test_another_leg_takes_up_with_a_request_of_its_own() -> None:
    ring = Ring()
    call, relay = await broken(ring, A, B)
    ring.far.answers("b")
    further = copy(call.request)
    reply = await relay.open(further, exclude=frozenset({"a"}), only_prefill=False)
    assert reply is not None
    assert (reply.deployment, ring.far.requests[-1]) == (B, further)
    assert call.answering is call.attempts[1]
    assert [f"{s.attempt.deployment.name} {s.attempt.kind} {s.outcome}" for s in settle(call).attempts] == [
        "a first truncated",
        "b resume ok",
    ]
    assert ring.in_flight() == {"a": 0, "b": 1}
    call.scope.close()
    assert ring.in_flight() == {"a": 0, "b": 0}


@pytest.mark.parametrize("left_out", [{"b"}, {"b@1"}])
async def test_who_is_left_out_is_not_asked(left_out: set[str]) -> None:
    ring = Ring()
    keyed = replace(B, credential="1")
    call, relay = await broken(ring, A, keyed)
    assert await relay.open(call.request, exclude=frozenset({"a", *left_out}), only_prefill=False) is None
    assert len(call.attempts) == 1


async def test_a_continuation_goes_only_where_it_is_known_to_be_one() -> None:
    ring = Ring()
    able = replace(C, has=frozenset({Capability.PREFILL}))
    call, relay = await broken(ring, A, B, able)
    ring.far.answers("c")
    reply = await relay.open(call.request, exclude=frozenset({"a"}), only_prefill=True)
    assert reply is not None
    assert (reply.deployment, ring.far.asked) == (able, ["a", "c"])
    call.scope.close()


async def test_a_leg_that_fails_moves_on_and_then_says_so() -> None:
    ring = Ring()
    call, relay = await broken(ring, A, B, C)
    opening = asyncio.ensure_future(relay.open(call.request, exclude=frozenset({"a"}), only_prefill=False))
    await ring.far.until_asked(2)
    ring.far.fails("b", UpstreamError(BROKE, "b"))
    await ring.far.until_asked(3)
    ring.far.fails("c", UpstreamError(BROKE, "c"))
    with pytest.raises(UpstreamError):
        await opening
    assert ring.far.asked == ["a", "b", "c"]
    assert ring.in_flight() == {"a": 0, "b": 0, "c": 0}


async def test_nobody_is_asked_for_a_caller_who_has_left_or_beyond_the_most_attempts() -> None:
    ring = Ring()
    call, relay = await broken(ring, A, B)
    call.cancelled = True
    assert await relay.open(call.request, exclude=NOBODY, only_prefill=False) is None
    call.cancelled = False
    call.attempts += [call.attempts[0]] * (ATTEMPTS_MAX - 1)
    assert await relay.open(call.request, exclude=NOBODY, only_prefill=False) is None
    assert ring.far.asked == ["a"]


async def test_who_broke_off_is_asked_again_once_and_out_of_its_budget() -> None:
    ring = Ring()
    call, relay = await broken(ring, A)
    ring.far.answers("a")
    before = ring.fleet.retry_credits(A)
    assert await relay.open(call.request, exclude=NOBODY, only_prefill=False) is not None
    assert ring.fleet.retry_credits(A) < before - 0.5
    relay.drop(BROKE)
    while ring.fleet.retry_credits(A) >= 1.0:
        ring.fleet.spend_retry(A)
    assert await relay.open(call.request, exclude=NOBODY, only_prefill=False) is None
    assert ring.far.asked == ["a", "a"]
    call.scope.close()


async def test_who_has_not_been_asked_yet_costs_no_budget() -> None:
    ring = Ring()
    call, relay = await broken(ring, A, B)
    while ring.fleet.retry_credits(A) >= 1.0:
        ring.fleet.spend_retry(A)
    ring.far.answers("b")
    before = ring.fleet.retry_credits(B)
    assert await relay.open(call.request, exclude=NOBODY, only_prefill=False) is not None
    assert ring.far.asked == ["a", "b"]
    assert ring.fleet.retry_credits(B) >= before
    call.scope.close()
