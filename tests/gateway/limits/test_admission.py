from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Cached
from gateway.errors import LimitError, RequestError
from gateway.limits.admitted import Admitted
from gateway.limits.view import LimitsView
from gateway.signals import limit_telemetry
from gateway.state.answers.store import Used
from policies import cache_rules
from policies.cache_rules import CacheRules
from policies.calendars import Calendars
from policies.usage import Usage
from policies.vocabulary import FailureKind, Period
from tests.gateway.limited_calls import NOW_S, A, B, Gate, Prompts, Spent, held, limit

if TYPE_CHECKING:
    from gateway.limits.view import Level

EXACT = cache_rules.Level.EXACT


async def test_a_call_holds_all_its_limits_and_settles_what_it_used() -> None:
    gate = Gate(limit("requests", 3), limit("tokens", 1000), limit("concurrent", 1), limit("cost", 10**9, Period.DAY))
    call = await gate.admit(gate.call(output_tokens_max=50))
    before = await gate.accounts()
    assert before["key.tokens.60.0:ci"].held == 150
    assert before["key.cost.day:ci"].held == 100 * 3000 + 50 * 6000 + 2, "the dearest of the chain"
    gate.attempt(call, Usage(10, 20))
    call.scope.close()
    after = await gate.accounts()
    assert {name.split(":")[0]: account.used for name, account in after.items()} == {
        "key.requests.60.0": 1,
        "key.tokens.60.0": 30,
        "key.concurrent": 0,
        "key.cost.day": 10 * 1000 + 20 * 2000,
    }
    assert set(held(after)) == {0}
    assert gate.admission.reservations == 0


@pytest.mark.parametrize(
    ("charges_hits", "level", "used"),
    [(False, EXACT, [0, 0]), (True, EXACT, [1, 30]), (True, None, [0, 0])],
)
async def test_a_hit_counts_as_an_answer_where_its_route_charges_for_it(
    *, charges_hits: bool, level: cache_rules.Level | None, used: list[int]
) -> None:
    gate = Gate(limit("requests", 3), limit("tokens", 1000), limit("concurrent", 1))
    call = await gate.admit(gate.call(output_tokens_max=50))
    assert call.route is not None
    call.route = replace(call.route, cache=CacheRules(charges_hits=charges_hits))
    call.cached = Cached(level=level, saved=Used(10, 20))
    call.scope.close()
    after = await gate.accounts()
    assert [account.used for account in after.values()] == [*used, 0]
    assert set(held(after)) == {0}


async def test_the_room_is_there_again_when_the_scope_has_closed() -> None:
    gate = Gate(limit("concurrent", 1))
    first = await gate.admit(gate.call())
    with pytest.raises(LimitError) as caught:
        await gate.admit(gate.call())
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "rate_limit_exceeded", 1.0)
    gate.attempt(first, Usage(1, 1))
    first.scope.close()
    await gate.admit(gate.call())


async def test_a_denial_names_limit_wait_and_reason() -> None:
    gate = Gate(limit("requests", 2), limit("tokens", 10_000))
    for _ in range(2):
        await gate.admit(gate.call(output_tokens_max=1))
    refused = gate.call(output_tokens_max=1)
    with pytest.raises(LimitError, match="2 requests per minute for the key 'ci'") as caught:
        await gate.admit(refused)
    error = caught.value
    assert (error.status, error.type, error.code, error.should_retry) == (429, "requests", "rate_limit_exceeded", True)
    assert error.retry_after_s is not None
    assert error.retry_after_s == pytest.approx(30.0, abs=0.01)
    assert refused.admitted is not None
    assert refused.admitted.refused_by == "key.requests.60.0"
    assert dict(refused.admitted.headers(gate.now))["x-ratelimit-remaining-requests"] == "0"
    (told,) = (one for one in gate.registry.snapshot() if one.family is limit_telemetry.DECISIONS)
    assert dict(told.values)["key", "requests", "denied"] == 1


async def test_a_spent_budget_is_a_quota_that_no_retry_mends() -> None:
    gate = Gate(limit("cost", 10**9, Period.MONTH, "org"), ledger=Spent(before=10**9))
    with pytest.raises(LimitError, match=r"\$1\.00 per month for the org 'acme'") as caught:
        await gate.admit(gate.call(output_tokens_max=10))
    error = caught.value
    assert (error.status, error.type, error.code, error.should_retry) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
        False,
    )
    ((account, window_s),) = gate.ledger.asked
    assert account == "acme|org.cost.month:acme"
    assert window_s < NOW_S


async def test_the_prompt_is_counted_only_where_its_bound_is_too_much() -> None:
    gate = Gate(limit("tokens", 1000), prompts=Prompts(400, exact=40))
    for _ in range(2):
        await gate.admit(gate.call(output_tokens_max=1))
    assert gate.prompts.counted == 0
    call = await gate.admit(gate.call(output_tokens_max=1))
    assert gate.prompts.counted == 1
    assert (await gate.accounts())["key.tokens.60.0:ci"].held == 401 + 401 + 41
    gate.attempt(call, Usage(40, 1))
    call.scope.close()
    assert (await gate.accounts())["key.tokens.60.0:ci"].held == 802


async def test_counting_is_spared_where_another_limit_is_short_too() -> None:
    gate = Gate(limit("tokens", 500), limit("requests", 1), prompts=Prompts(400, exact=40))
    await gate.admit(gate.call(output_tokens_max=1))
    with pytest.raises(LimitError):
        await gate.admit(gate.call(output_tokens_max=1))
    assert gate.prompts.counted == 0


async def test_what_can_never_fit_is_the_requests_fault() -> None:
    gate = Gate(limit("tokens", 100), limit("requests", 3), prompts=Prompts(400, exact=90))
    call = gate.call(output_tokens_max=20)
    with pytest.raises(RequestError) as caught:
        await gate.admit(call)
    assert (caught.value.status, caught.value.code) == (400, "request_too_large_for_limit")
    assert all((account.used, account.held) == (0, 0) for account in (await gate.accounts()).values())
    assert call.admitted is not None
    told = dict(call.admitted.headers(NOW_S))
    assert (told["x-ratelimit-remaining-tokens"], told["x-ratelimit-remaining-requests"]) == ("100", "3")
    await gate.admit(gate.call(output_tokens_max=10))


async def test_a_failed_call_pays_for_its_request_and_a_call_without_attempts_for_nothing() -> None:
    gate = Gate(limit("requests", 9), limit("tokens", 1000))
    failed, refused = await gate.admit(gate.call(output_tokens_max=9)), await gate.admit(gate.call(output_tokens_max=9))
    gate.attempt(failed, None, sent=False)
    failed.scope.close()
    refused.scope.close()
    accounts = await gate.accounts()
    assert [account.used for account in accounts.values()] == [1, 0]
    assert held(accounts) == [0, 0]


async def test_what_must_still_be_counted_gives_back_its_place_at_once_and_the_rest_later() -> None:
    gate = Gate(limit("tokens", 1000), limit("concurrent", 1))
    call = await gate.admit(gate.call(output_tokens_max=50))
    attempt = gate.attempt(call, None)
    call.scope.close()
    accounts = await gate.accounts()
    assert [accounts["key.tokens.60.0:ci"].held, accounts["key.concurrent:ci"].held] == [150, 0]
    attempt.usage = Usage(7, 3, estimated=True)
    assert call.admitted is not None
    call.admitted.settle_counted()
    call.admitted.settle_counted()
    account = (await gate.accounts())["key.tokens.60.0:ci"]
    assert (account.used, account.held) == (10, 0)


async def test_what_nobody_could_count_is_charged_as_reserved() -> None:
    gate = Gate(limit("tokens", 1000))
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, None)
    call.scope.close()
    assert call.admitted is not None
    call.admitted.settle_counted()
    assert (await gate.accounts())["key.tokens.60.0:ci"].used == 150


async def test_a_further_attempt_after_a_billed_one_reserves_anew_and_each_settles_its_own() -> None:
    gate = Gate(limit("requests", 9), limit("tokens", 1000), limit("concurrent", 1))
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, None, sent=False)
    await gate.admission.extend(call)
    assert (await gate.accounts())["key.tokens.60.0:ci"].held == 150, "nothing was billed yet"
    gate.attempt(call, Usage(5, 5))
    await gate.admission.extend(call)
    accounts = await gate.accounts()
    assert accounts["key.tokens.60.0:ci"].held == 300
    assert (accounts["key.requests.60.0:ci"].held, accounts["key.concurrent:ci"].held) == (1, 1)
    await gate.admission.extend(call)
    assert (await gate.accounts())["key.tokens.60.0:ci"].held == 300, "the last reservation is unused yet"
    gate.attempt(call, Usage(20, 20))
    call.scope.close()
    accounts = await gate.accounts()
    assert (accounts["key.tokens.60.0:ci"].used, accounts["key.requests.60.0:ci"].used) == (50, 1)
    assert set(held(accounts)) == {0}


async def test_a_further_attempt_that_does_not_fit_ends_the_call() -> None:
    gate = Gate(limit("tokens", 200))
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, Usage(100, 50))
    with pytest.raises(LimitError):
        await gate.admission.extend(call)
    call.scope.close()
    assert (await gate.accounts())["key.tokens.60.0:ci"] == (150.0, NOW_S, 0)


async def test_a_deployment_and_its_provider_are_taken_per_attempt() -> None:
    gate = Gate(limit("requests", 1, 60.0, "deployment"), limit("tokens", 1000, 60.0, "provider"))
    call = gate.call(output_tokens_max=50)
    bounds = gate.index.of_deployment(A)
    assert await gate.admission.enter(call, A, bounds) is None
    gate.attempt(call, Usage(1, 2))
    other = gate.call(output_tokens_max=50)
    failure = await gate.admission.enter(other, A, bounds)
    assert failure is not None
    assert failure.kind is FailureKind.LIMITED
    assert failure.retry_after_s == pytest.approx(60.0, abs=0.01)
    assert (await gate.accounts("provider:p"))["provider.tokens.60.0:p"].held == 150, "the one refused holds nothing"
    assert await gate.admission.enter(other, B, gate.index.of_deployment(B)) is None
    made = gate.attempt(other, None, sent=False, deployment=B)
    gate.admission.leave(other, made)
    assert (await gate.accounts("deployment:b"))["deployment.requests.60.0:b"].used == 1
    for one in (call, other):
        one.scope.close()
        assert one.admitted is not None
        assert one.admitted.headers(gate.now) == [], "what others use too is nobody's to know"
    account = (await gate.accounts("provider:p"))["provider.tokens.60.0:p"]
    assert (account.used, account.held) == (3, 0)


async def test_a_request_too_large_for_a_deployment_moves_on() -> None:
    gate = Gate(limit("tokens", 100, 60.0, "deployment"))
    failure = await gate.admission.enter(gate.call(output_tokens_max=50), A, gate.index.of_deployment(A))
    assert failure is not None
    assert (failure.kind, failure.code, failure.retry_after_s) == (
        FailureKind.LIMITED,
        "request_too_large_for_limit",
        None,
    )


async def test_a_call_whose_lease_ran_out_is_cancelled() -> None:
    gate = Gate(limit("tokens", 1000))
    call = gate.call(output_tokens_max=50)
    begun = asyncio.Event()

    async def run() -> None:
        await gate.admit(call)
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await begun.wait()
    gate.now += 3600.0
    await gate.store.view(("acme",))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.admitted is not None
    assert call.admitted.is_lost


async def test_a_lease_that_runs_out_after_the_call_disturbs_nobody() -> None:
    gate = Gate(limit("tokens", 1000))
    call = await gate.admit(gate.call(output_tokens_max=50))
    gate.attempt(call, None)
    call.scope.close()
    gate.now += 3600.0
    await gate.store.view(("acme",))
    task = asyncio.current_task()
    assert task is not None
    assert (task.cancelling(), call.admitted is not None and call.admitted.is_lost) == (0, False)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400), st.floats(0.0, 2.0)), min_size=1, max_size=12),
    st.integers(1, 4),
)
async def test_a_refused_call_changes_no_counter(steps: list[tuple[int, int, float]], at_once: int) -> None:
    gate = Gate(
        limit("requests", 5),
        limit("tokens", 900),
        limit("concurrent", at_once),
        limit("cost", 10**6, Period.DAY, "org"),
    )
    under_way = []
    for prompt_tokens, output_tokens, passes_s in steps:
        gate.now += passes_s
        gate.prompts.size = prompt_tokens
        before = await _levels(gate)
        call = gate.call(output_tokens_max=output_tokens)
        try:
            await gate.admit(call)
        except (LimitError, RequestError):
            call.scope.close()
            assert await _levels(gate) == before
            continue
        under_way.append(call)
        if len(under_way) == at_once:
            ended = under_way.pop(0)
            gate.attempt(ended, Usage(1, 1))
            ended.scope.close()


async def _levels(gate: Gate) -> list[Level]:
    """Used and held as of now; what is as good as untouched is left out."""
    view = LimitsView(gate.store, Calendars(lambda _: UTC), gate.clock)
    return [level for level in await view.kept(("acme",), gate.index.limits) if level.used or level.held]


async def test_a_call_that_is_over_leaves_nothing_to_the_collector() -> None:
    gate = Gate(limit("tokens", 1000), limit("cost", 10**12, Period.DAY))
    gc.collect()
    gc.disable()
    try:
        call = await gate.admit(gate.call())
        gate.attempt(call, Usage(1, 1))
        call.scope.close()
        assert any(isinstance(one, Admitted) for one in gc.get_objects())
        del call
        assert not any(isinstance(one, Admitted) for one in gc.get_objects())
    finally:
        gc.enable()
