from __future__ import annotations

import pytest

from gateway.errors import RequestError
from gateway.limits.claims import Claim, Place
from gateway.limits.demands import Demand
from gateway.limits.plans import Plan
from gateway.limits.reservations import Reservations
from policies.limits import Denied, Granted
from tests.gateway.limited_calls import NOW_S, A, B, Gate, Prompts, limit

PLAN = Plan([(limit("tokens", 500), "ci"), (limit("requests", 9), "ci")])


def a_claim(gate: Gate, reservation: str, prompts: Prompts) -> Claim:
    demand = Demand(gate.call(output_tokens_max=10), prompts)
    demand.cap_output(PLAN)
    reservations = Reservations(gate.store, gate.ledger, gate.clock)
    return Claim(reservations, Place("t", reservation, (A, B)), PLAN, demand, lambda _: (NOW_S, NOW_S + 1, NOW_S + 2))


async def test_a_claim_may_be_tried_until_it_is_granted_and_given_back() -> None:
    gate = Gate()
    first, second = a_claim(gate, "r1", Prompts(400)), a_claim(gate, "r2", Prompts(400))
    granted = await first.reserve()
    assert isinstance(granted, Granted)
    denied = await second.reserve()
    assert isinstance(denied, Denied)
    assert second.short(denied) == {"t|key.tokens.60.0:ci"}
    first.give_back(granted)
    assert [account.used for account in (await gate.accounts("t")).values()] == [0, 0]
    assert isinstance(await second.reserve(), Granted)


async def test_each_amount_is_asked_under_an_id_of_its_own() -> None:
    gate = Gate()
    await a_claim(gate, "r1", Prompts(400)).reserve()
    claim = a_claim(gate, "r2", Prompts(400, exact=40))
    assert isinstance(await claim.reserve(), Granted)
    assert claim.reservation == "r2=1"
    assert (await gate.accounts("t"))["key.tokens.60.0:ci"].held == 410 + 50


async def test_what_never_fits_is_counted_before_it_is_refused() -> None:
    gate, prompts = Gate(), Prompts(4000, exact=3000)
    with pytest.raises(RequestError, match="3010 tokens"):
        await a_claim(gate, "r", prompts).reserve()
    assert prompts.counted == 1
    assert await gate.accounts("t") == {}
