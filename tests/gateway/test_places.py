from __future__ import annotations

import pytest

from adapters.llama_cpp_job import Place
from adapters.llama_cpp_place import decode_place, encode_place
from adapters.openai_request import parse
from adapters.schema import InvalidRequest
from gateway.places import patience_s, place_of
from gateway.upstream import Exchange
from policies.route_rules import Priority
from policies.vocabulary import Endpoint, Principal, Timeouts

SHOP = Principal("k", "key", team="shop", org="acme", priority=Priority.HIGH)
TOLD = encode_place(Place("far/lab", 5.0, 3, "far", 7.0), "s")


def exchange(caller: Principal | None = None, told: str | None = None, *, stream: bool = False) -> Exchange:
    body = (
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": %s}' % str(stream).lower().encode()
    )
    request = parse(Endpoint.CHAT, body)
    timeouts = Timeouts(first_token_s=4.0)
    return Exchange(request, timeouts, 100.0, "r", caller=caller, weight_of=lambda _: 3.0, told_place=told)


def test_a_call_stands_where_its_caller_belongs() -> None:
    assert place_of(exchange(SHOP), 2.5) == Place("acme/shop", 3.0, 2, "acme", 2.5)
    assert place_of(exchange(), -1.0) == Place(patience_s=0.0)


def test_a_gateways_call_stands_where_the_gateway_says_and_within_what_is_the_gateways() -> None:
    told = decode_place(TOLD)
    place = place_of(exchange(SHOP, TOLD), 20.0)
    assert place == Place(f"acme/shop/{told.flow}", 5.0, 3, f"acme/{told.scope}", 7.0)
    assert place_of(exchange(SHOP, TOLD), 2.0).patience_s == 2.0


def test_what_is_said_by_halves_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        place_of(exchange(SHOP, TOLD[:-1]), 1.0)


@pytest.mark.parametrize(("stream", "now", "left_s"), [(False, 40.0, 60.0), (True, 40.0, 4.0), (True, 99.0, 1.0)])
def test_a_stream_waits_for_its_first_token_and_another_call_to_its_end(
    *, stream: bool, now: float, left_s: float
) -> None:
    assert patience_s(exchange(stream=stream), now) == left_s
    assert patience_s(exchange(stream=stream), 101.0) == 0.0
