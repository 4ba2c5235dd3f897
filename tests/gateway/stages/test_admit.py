from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.errors import LimitError, RequestError
from gateway.stages.admit import Admit
from policies.tariffs import Price
from policies.vocabulary import Endpoint
from tests.gateway.limited_calls import A, B, Gate, Spent, limit
from tests.gateway.stages.a_call import Next

if TYPE_CHECKING:
    from gateway.call import Call
    from policies.vocabulary import Deployment

UNPRICED = replace(A, name="unpriced", price=None)
FREE = replace(A, name="free", price=Price("f", "override", "", 0, None, None, 0))
BUDGET = limit("cost", 10**9)


class Full(Spent):
    takes_billable = False


async def through(gate: Gate, call: Call, **generation: Any) -> Next:
    call.generation = cast("Any", gate.generation(**generation))
    then = Next()
    await Admit(gate.admission, gate.ledger)(call, then)
    return then


async def test_a_call_that_nothing_limits_passes_untouched() -> None:
    gate = Gate(limit("tokens", 1, 60.0, "deployment"))
    call = gate.call()
    request = call.request
    assert (await through(gate, call)).calls == [call]
    assert call.admitted is None
    assert call.request is request
    assert call.scope._exits == []


async def test_a_call_whose_conditions_are_not_met_passes_untouched() -> None:
    gate = Gate(replace(limit("tokens", 1), applies=lambda subject: subject.stream))
    call = gate.call()
    await through(gate, call)
    assert call.admitted is None


async def test_a_call_under_limits_is_held_to_them() -> None:
    gate = Gate(limit("requests", 1))
    assert (await through(gate, gate.call())).calls
    with pytest.raises(LimitError):
        await through(gate, gate.call())


@pytest.mark.parametrize(
    ("unpriced", "budget", "kept"),
    [
        ("auto", False, "unpriced a"),
        ("auto", True, "a"),
        ("allow", True, "unpriced a"),
        ("deny", False, "a"),
        ("deny", True, "a"),
    ],
)
async def test_what_has_no_price_goes_where_the_policy_says(unpriced: str, budget: bool, kept: str) -> None:  # noqa: FBT001 - a table
    gate = Gate(BUDGET if budget else limit("requests", 9))
    call = gate.call(candidates=(UNPRICED, A), output_tokens_max=5)
    await through(gate, call, unpriced=unpriced)
    assert " ".join(deployment.name for deployment in call.candidates) == kept


async def test_with_no_price_left_the_call_is_refused() -> None:
    for gate, unpriced in ((Gate(BUDGET), "auto"), (Gate(), "deny")):
        with pytest.raises(RequestError, match="not known") as caught:
            await through(gate, gate.call(candidates=(UNPRICED,)), unpriced=unpriced)
        assert (caught.value.status, caught.value.code) == (403, "price_unknown")


async def test_embeddings_need_no_price_of_output() -> None:
    gate = Gate(BUDGET)
    halves = replace(A, price=Price("h", "override", "", 5, None, None, None))
    call = gate.call(candidates=(halves,), generations=0)
    call.request.endpoint = Endpoint.EMBEDDINGS
    await through(gate, call)
    with pytest.raises(RequestError):
        await through(gate, gate.call(candidates=(halves,)))


@pytest.mark.parametrize(
    ("when_full", "budget", "candidates", "passes"),
    [
        ("closed", False, (A,), False),
        ("closed", False, (FREE,), True),
        ("closed", False, (FREE, B), False),
        ("auto", False, (A,), True),
        ("auto", True, (A,), False),
        ("open", True, (A,), True),
    ],
)
async def test_what_may_cost_waits_for_a_ledger_with_room(
    when_full: str,
    budget: bool,  # noqa: FBT001 - a table
    candidates: tuple[Deployment, ...],
    passes: bool,  # noqa: FBT001
) -> None:
    gate = Gate(*([BUDGET] if budget else []), ledger=Full())
    call = gate.call(candidates=candidates, output_tokens_max=5)
    if passes:
        assert (await through(gate, call, when_full=when_full)).calls
        return
    with pytest.raises(LimitError) as caught:
        await through(gate, call, when_full=when_full)
    assert (caught.value.status, caught.value.code) == (503, "ledger_unavailable")


async def test_without_a_principal_nothing_is_asked() -> None:
    gate = Gate()
    call = gate.call()
    call.principal = None
    call.generation = cast("Any", SimpleNamespace())
    then = Next()
    await Admit(gate.admission, gate.ledger)(call, then)
    assert then.calls == [call]


@pytest.mark.parametrize("scope", ["deployment", "provider"])
async def test_an_unknown_price_is_nothing_for_the_budget_of_a_deployment_either(scope: str) -> None:
    gate = Gate(limit("cost", 10**9, scope=scope))
    call = gate.call(candidates=(UNPRICED, A))
    assert [d.name for d in (await through(gate, call, unpriced="auto")).calls[0].candidates] == ["a"]
    assert len((await through(gate, gate.call(candidates=(UNPRICED, A)), unpriced="allow")).calls[0].candidates) == 2
    with pytest.raises(RequestError) as refused:
        await through(gate, gate.call(candidates=(UNPRICED,)), unpriced="auto")
    assert (refused.value.status, refused.value.code) == (403, "price_unknown")


async def test_an_unpriced_deployment_without_a_budget_stays_beside_one_that_has() -> None:
    gate = Gate(replace(limit("cost", 10**9, scope="deployment"), holder="a"))
    call = gate.call(candidates=(UNPRICED, A))
    assert len((await through(gate, call, unpriced="auto")).calls[0].candidates) == 2


async def test_a_deployments_budget_waits_for_a_ledger_with_room_too() -> None:
    gate = Gate(limit("cost", 10**9, scope="deployment"), ledger=Full())
    with pytest.raises(LimitError) as refused:
        await through(gate, gate.call(), when_full="auto")
    assert refused.value.status == 503
