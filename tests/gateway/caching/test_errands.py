"""However a call of the cache's own ends, it is on the books once, and gives back what it held."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from adapters.cache_questions import again, embedding_request, judge_request
from gateway.caching.errands import AT_ONCE, Errand, ErrandFailed
from gateway.errors import UpstreamError
from gateway.signals.cache_telemetry import Purpose
from policies.route_rules import NO_NEEDS, Priority, Requirements
from policies.vocabulary import Endpoint, Failure, FailureKind, OnDisconnect, Target
from tests.gateway.caching.errand_calls import CHEAP, MAIN, ROUTE, Rig, a_caller, answer

if TYPE_CHECKING:
    from gateway.call import Call

YES = b'"content": "yes"'


def asked(rig: Rig, caller: Call, within_s: float = 5.0) -> Errand:
    request = judge_request("cheap", "a?", "b?")
    assert request is not None
    return rig.errands.to(Purpose.JUDGE, caller, "cheap", request, within_s)


def is_given_back(rig: Rig, caller: Call) -> bool:
    in_flight = rig.fleet.state_of(CHEAP).in_flight + rig.fleet.state_of(MAIN).in_flight
    return caller.generation.in_use.calls == 0 and in_flight == 0 and len(rig.errands) == 0


async def forever() -> None:
    await asyncio.Event().wait()


async def test_an_errand_is_a_call_of_its_own_on_the_books() -> None:
    rig, caller = Rig(), a_caller()

    told = await rig.errands.run(asked(rig, caller))

    assert YES in told.body
    assert told.cost_nanousd == 14
    [call] = rig.recorded
    assert call.id not in ("", caller.id)
    assert call.id.startswith("req_")
    assert (call.status, call.error_code, call.cancelled) == (200, None, False)
    assert call.ended_s >= call.received_s > 0
    assert call.attempts[0].ended_s is not None
    assert call.attempts[0].sent
    assert call.route is not None
    assert call.route.name == "cache:judge/cheap"
    assert (call.admitted, call.cached) == (None, None)
    assert call.made_for == (Purpose.JUDGE, "req_caller", "faq")
    assert is_given_back(rig, caller)


async def test_whose_errand_it_is() -> None:
    rig, caller = Rig(), a_caller()

    await rig.errands.run(asked(rig, caller))
    await rig.errands.run(asked(rig, a_caller(principal=None)))
    await rig.errands.run(asked(rig, caller))

    principals = [call.principal for call in rig.recorded]
    assert [(one.key_id, one.org, one.team, one.uses_cache) for one in principals if one] == [
        ("cache:judge", "acme", None, False),
        ("cache:judge", "default", None, False),
        ("cache:judge", "acme", None, False),
    ]
    assert principals[0] is principals[2]
    assert rig.recorded[0].route is rig.recorded[2].route


async def test_its_trace_is_within_its_callers() -> None:
    rig, caller = Rig(), a_caller()

    await rig.errands.run(asked(rig, caller))

    trace = rig.recorded[0].trace
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (caller.trace.trace_id, caller.trace.span_id, True)
    assert trace.span_id != caller.trace.span_id


async def test_what_the_caller_does_not_wait_for_has_a_trace_of_its_own() -> None:
    rig, caller = Rig(), a_caller()

    await rig.errands.run(Errand(Purpose.SHADOW, caller, again(caller.request), ROUTE, caller.candidates, 5.0))

    trace = rig.recorded[0].trace
    assert (trace.parent_id, trace.linked) == (None, (caller.trace.trace_id, caller.trace.span_id))
    assert trace.trace_id != caller.trace.trace_id


async def test_a_shadow_goes_where_its_caller_would_have_gone() -> None:
    rig, caller = Rig(), a_caller()
    errand = Errand(Purpose.SHADOW, caller, again(caller.request), ROUTE, caller.candidates, 5.0)

    await rig.errands.run(errand)

    [call] = rig.recorded
    assert call.route is ROUTE
    assert call.headers["x-org"] == "1"
    assert call.attempts[0].deployment is MAIN
    assert call.principal is not None
    assert call.principal.priority is Priority.LOW


async def test_a_judge_sees_no_header_of_the_callers() -> None:
    rig = Rig()

    await rig.errands.run(asked(rig, a_caller()))

    assert len(rig.recorded[0].headers) == 0


async def test_one_that_fails_is_recorded_with_its_failure() -> None:
    failure = Failure(FailureKind.STATUS, "no", status=400)
    rig, caller = Rig(lambda _: UpstreamError(failure, "cheap")), a_caller()

    with pytest.raises(ErrandFailed, match="failed"):
        await rig.errands.run(asked(rig, caller))

    [call] = rig.recorded
    assert (call.status, call.attempts[0].failure) == (400, failure)
    assert is_given_back(rig, caller)


async def test_it_is_tried_once() -> None:
    rig = Rig(lambda _: UpstreamError(Failure(FailureKind.CONNECT), "cheap"))

    with pytest.raises(ErrandFailed):
        await rig.errands.run(asked(rig, a_caller()))

    assert len(rig.far_side.calls) == 1


async def test_one_that_takes_too_long_is_given_up_and_recorded() -> None:
    rig, caller = Rig(lambda _: forever()), a_caller()

    with pytest.raises(ErrandFailed, match="late"):
        await rig.errands.run(asked(rig, caller, within_s=0.02))

    [call] = rig.recorded
    assert call.cancelled
    assert call.error_code == "cache_gave_up"
    assert call.attempts[0].cancelled
    assert is_given_back(rig, caller)


async def test_a_caller_who_leaves_takes_it_along() -> None:
    rig, caller = Rig(lambda _: forever()), a_caller()
    running = asyncio.ensure_future(rig.errands.run(asked(rig, caller)))
    await rig.far_side.arrived.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [call.cancelled for call in rig.recorded] == [True]
    assert is_given_back(rig, caller)


async def test_where_an_attempt_runs_apart_it_is_ended_and_recorded_too() -> None:
    draining = replace(CHEAP, on_disconnect=OnDisconnect.DRAIN)
    rig, caller = Rig(lambda _: forever()), a_caller(draining)

    with pytest.raises(ErrandFailed, match="late"):
        await rig.errands.run(asked(rig, caller, within_s=0.02))
    await rig.drains.close()

    [call] = rig.recorded
    assert call.attempts[0].cancelled
    assert is_given_back(rig, caller)


async def test_a_bug_is_recorded_as_one(caplog: pytest.LogCaptureFixture) -> None:
    rig, caller = Rig(lambda _: ZeroDivisionError("secret words")), a_caller()

    with pytest.raises(ErrandFailed):
        await rig.errands.run(asked(rig, caller))

    assert [(call.status, call.error_code) for call in rig.recorded] == [(500, "internal_error")]
    assert "failed inside the gateway" in caplog.text
    assert is_given_back(rig, caller)


async def test_a_stream_is_no_answer() -> None:
    stream = answer()
    stream.body = None
    rig, caller = Rig(lambda _: stream), a_caller()

    with pytest.raises(ErrandFailed):
        await rig.errands.run(asked(rig, caller))

    assert stream.closed
    assert len(rig.recorded) == 1
    assert is_given_back(rig, caller)


async def test_an_answer_without_usage_has_no_cost_yet() -> None:
    rig = Rig(lambda _: answer(usage=None))

    told = await rig.errands.run(asked(rig, a_caller()))

    assert told.cost_nanousd is None


async def test_there_are_at_most_so_many_of_a_kind() -> None:
    rig, caller = Rig(lambda _: forever()), a_caller()
    running = [asyncio.ensure_future(rig.errands.run(asked(rig, caller))) for _ in range(AT_ONCE[Purpose.JUDGE])]
    await asyncio.sleep(0)

    with pytest.raises(ErrandFailed, match="crowded"):
        await rig.errands.run(asked(rig, caller))

    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert len(rig.recorded) == AT_ONCE[Purpose.JUDGE]
    assert is_given_back(rig, caller)


@pytest.mark.parametrize(("what", "why"), [("ledger", "ledger"), ("closed", "closed")])
async def test_nothing_is_asked_that_could_not_be_billed_or_after_the_end(what: str, why: str) -> None:
    rig = Rig()
    rig.ledger.takes_billable = what != "ledger"
    if what == "closed":
        rig.errands.close()

    with pytest.raises(ErrandFailed, match=why):
        await rig.errands.run(asked(rig, a_caller()))

    assert rig.far_side.calls == []
    assert rig.recorded == []


async def test_what_has_no_price_is_not_asked_where_that_is_forbidden() -> None:
    rig = Rig()
    caller = a_caller(replace(CHEAP, price=None))
    cast("Any", caller.generation).unpriced = "deny"

    with pytest.raises(ErrandFailed):
        await rig.errands.run(asked(rig, caller))

    assert rig.far_side.calls == []
    assert len(rig.recorded) == 1


@pytest.mark.parametrize("of", ["caller", "route"])
async def test_nobody_is_asked_who_may_not_see_what_the_caller_sends(of: str) -> None:
    rig, eu = Rig(), Requirements(regions=frozenset({"eu"}))
    needs = NO_NEEDS._replace(requires=eu) if of == "caller" else NO_NEEDS
    route = replace(ROUTE, requires=eu) if of == "route" else ROUTE

    with pytest.raises(ErrandFailed, match="nobody"):
        asked(rig, a_caller(route=route, needs=needs))

    assert asked(rig, a_caller(replace(CHEAP, region="eu-west-1"), route=route, needs=needs)).candidates


async def test_nobody_of_that_name_or_for_that_endpoint() -> None:
    rig = Rig()
    chat_only = replace(CHEAP, endpoints=frozenset({Endpoint.CHAT}))

    with pytest.raises(ErrandFailed, match="nobody"):
        rig.errands.to(Purpose.JUDGE, a_caller(MAIN), "cheap", embedding_request("cheap", "x"), 1.0)
    with pytest.raises(ErrandFailed, match="nobody"):
        rig.errands.to(Purpose.EMBEDDING, a_caller(chat_only), "cheap", embedding_request("cheap", "x"), 1.0)


async def test_after_a_reload_the_new_deployment_is_asked() -> None:
    rig, renewed = Rig(), replace(CHEAP, model="mini-2")
    await rig.errands.run(asked(rig, a_caller()))

    await rig.errands.run(asked(rig, a_caller(renewed)))

    assert rig.recorded[1].attempts[0].deployment is renewed
    assert rig.recorded[1].route is not None
    assert rig.recorded[1].route.targets == (Target(renewed),)


async def test_a_deployments_limits_hold_for_errands_too() -> None:
    rig, caller = Rig(), a_caller()
    seen: list[str] = []

    class Limits:
        def of_deployment(self, deployment: Any) -> tuple[()]:
            seen.append(deployment.name)
            return ()

    cast("Any", caller.generation).limits = Limits()

    await rig.errands.run(asked(rig, caller))

    assert seen == ["cheap"]
