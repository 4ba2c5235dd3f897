from __future__ import annotations

import json

from policies.usage import Usage
from policies.vocabulary import Period
from tests.gateway.limited_calls import NOW_S, Gate, limit


async def test_a_call_tells_its_limits_as_they_stood_when_it_was_admitted() -> None:
    gate = Gate(limit("requests", 60), limit("requests", 9, 60.0, "deployment"))
    first = await gate.admit(gate.call())
    assert await gate.admission.enter(first, first.candidates[0], gate.index.of_deployment(first.candidates[0])) is None
    await gate.admit(gate.call())
    assert first.admitted is not None
    told = dict(first.admitted.headers(NOW_S))
    assert told["ratelimit"] == '"key.requests.60.0";r=59;t=1'
    assert told["ratelimit-policy"] == '"key.requests.60.0";q=60;w=60;qu="requests"'


async def test_charges_are_per_attempt_over_all_reservations() -> None:
    gate = Gate(limit("requests", 9, Period.DAY), limit("tokens", 1000, Period.DAY, "org"), limit("tokens", 1000))
    call = await gate.admit(gate.call(output_tokens_max=10))
    first = gate.attempt(call, Usage(1, 2))
    await gate.admission.extend(call)
    second = gate.attempt(call, Usage(3, 4))
    call.scope.close()
    assert call.admitted is not None
    assert json.loads(call.admitted.charges(first) or "") == [
        ["acme|key.requests.day:ci", NOW_S, 1],
        ["acme|org.tokens.day:acme", NOW_S, 3],
    ]
    assert json.loads(call.admitted.charges(second) or "") == [["acme|org.tokens.day:acme", NOW_S, 7]]


async def test_without_a_calendar_nothing_is_charged_to_one() -> None:
    gate = Gate(limit("tokens", 1000))
    call = await gate.admit(gate.call(output_tokens_max=10))
    made = gate.attempt(call, Usage(1, 2))
    call.scope.close()
    assert call.admitted is not None
    assert call.admitted.charges(made) is None
