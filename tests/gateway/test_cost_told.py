from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.cost_told import StreamCost, body_told, cost_headers, cost_lines
from policies.usage import Usage
from policies.vocabulary import Endpoint, Failure, FailureKind
from tests.gateway.calls import FREE_OF_PRICE, PRINCIPAL, ROUTE, answered, attempt, cached_hit, call

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.generation import Generation

# 12 tokens at 2.50 and 34 at 10 USD a million.
COST = "0.00037"
COMMENT = b": x-pointsman-cost-usd 0.00037\n\n"
DONE = b"data: [DONE]\n\n"
LOST = Failure(FailureKind.TRUNCATED, maybe_billed=True)
REFUSED = Failure(FailureKind.STATUS, status=429)


def quiet(one: Call) -> Call:
    telemetry = SimpleNamespace(cost_header=False)
    one.generation = cast("Generation", SimpleNamespace(config=SimpleNamespace(telemetry=telemetry)))
    return one


def event(**members: object) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


TOLD = {
    "answered": (answered(), [("x-pointsman-cost-usd", COST)]),
    "after a failure that cost nothing": (
        call(attempt(failure=REFUSED), attempt(Usage(12, 34), number=2, finish=("stop",))),
        [("x-pointsman-cost-usd", COST)],
    ),
    "after a failure that cost": (
        call(
            attempt(Usage(12, 34), failure=LOST, finish=("stop",)),
            attempt(Usage(12, 34), number=2, finish=("stop",)),
        ),
        [("x-pointsman-cost-usd", "0.00074")],
    ),
    "after a failure that nobody has counted": (
        call(attempt(failure=LOST, text=("a b",)), attempt(Usage(12, 34), number=2, finish=("stop",))),
        [],
    ),
    "beside a hedge that may have cost": (
        call(attempt(Usage(12, 34), finish=("stop",)), attempt(cancelled=True, number=2)),
        [],
    ),
    "an error after a failure that cost": (
        call(attempt(Usage(12, 34), failure=LOST, finish=("stop",)), status=502, error_code="x", stream=True),
        [("x-pointsman-cost-usd", COST)],
    ),
    "an error that cost nothing": (call(attempt(failure=REFUSED), status=429, error_code="x"), []),
    "refused before any attempt": (call(status=401, error_code="x", principal=None), []),
    "without a price": (call(attempt(Usage(12, 34), deployment=FREE_OF_PRICE, finish=("stop",))), []),
    "without usage": (call(attempt(text=("a b",))), []),
    "a stream that goes on": (answered(stream=True), []),
    "a hit": (cached_hit(), [("x-pointsman-cost-usd", "0"), ("x-pointsman-cost-saved-usd", "0.00035")]),
    "a streamed hit": (
        cached_hit(stream=True),
        [("x-pointsman-cost-usd", "0"), ("x-pointsman-cost-saved-usd", "0.00035")],
    ),
    "not told": (quiet(answered()), []),
}


@pytest.mark.parametrize(("one", "headers"), TOLD.values(), ids=TOLD)
def test_the_head_tells_the_whole_cost_or_nothing(one: Call, headers: list[tuple[str, str]]) -> None:
    assert cost_headers(one) == headers
    assert cost_lines(one) == "".join(f"{name}: {value}\r\n" for name, value in headers)


def test_a_hit_of_unknown_cost_has_saved_nobody_knows_what() -> None:
    one = cached_hit()
    assert one.cached is not None
    one.cached.saved = None
    assert cost_headers(one) == [("x-pointsman-cost-usd", "0")]


def test_an_answer_of_an_earlier_call_costs_nothing_again() -> None:
    one = call()
    one.replay_of = "req_1"
    assert cost_headers(one) == [("x-pointsman-cost-usd", "0")]


def test_a_stream_tells_its_cost_before_its_end() -> None:
    cost = StreamCost(answered(stream=True))
    text = event(choices=[{"delta": {"content": "[DONE]"}}])
    assert cost.over(text) == text
    assert cost.over(text + DONE) == text + COMMENT + DONE
    assert cost.last() == b""


def test_an_end_marker_alone_is_preceded_by_the_comment() -> None:
    assert StreamCost(answered(stream=True)).over(DONE) == COMMENT + DONE


@pytest.mark.parametrize("end", [b"event: end\ndata: [DONE]\n\n", b'data: {"x":"[DONE]"}\n\n', b"data: x [DONE]\n\n"])
def test_no_event_is_cut_in_two(end: bytes) -> None:
    assert StreamCost(answered(stream=True)).over(end) == end


@pytest.mark.parametrize(
    "one",
    [
        call(attempt(text=("a b",)), stream=True),
        call(attempt(Usage(1, 1), deployment=FREE_OF_PRICE), stream=True),
        cached_hit(stream=True),
        quiet(answered(stream=True)),
    ],
    ids=["no usage", "no price", "a hit, whose head has told it", "not told"],
)
def test_a_stream_of_unknown_cost_says_nothing(one: Call) -> None:
    cost = StreamCost(one)
    assert cost.over(DONE) == DONE
    assert cost.last() == b""


def test_streams_without_that_marker_tell_it_last() -> None:
    one = answered(stream=True)
    cost = StreamCost(one)
    completed = event(type="response.completed")
    assert cost.over(completed) + cost.last() == completed + COMMENT


def wanting(one: Call, *, route: bool = False, key: bool = False) -> Call:
    one.route, one.principal = replace(ROUTE, cost_in_body=route), replace(PRINCIPAL, cost_in_body=key)
    return one


ASKED = {"x-pointsman-cost": " Body"}
BODY = b'{"id":"c-1","usage":{"prompt_tokens":12,"new":{"kept":1},"cost":9},"x":1.50}'
FILLED = b'{"id":"c-1","usage":{"prompt_tokens":12,"new":{"kept":1},"cost":0.00037},"x":1.50}'


@pytest.mark.parametrize(
    ("one", "body"),
    [
        (wanting(answered()), BODY),
        (wanting(answered(), route=True), FILLED),
        (wanting(answered(), key=True), FILLED),
        (call(attempt(Usage(12, 34), finish=("stop",)), headers=ASKED), FILLED),
        (call(attempt(Usage(12, 34), finish=("stop",)), headers={"x-pointsman-cost": "header"}), BODY),
        (wanting(call(attempt(Usage(1, 1), deployment=FREE_OF_PRICE)), route=True), BODY),
    ],
    ids=["not asked", "by its route", "by its key", "by its caller", "asked for something else", "unpriced"],
)
def test_usage_has_its_cost_where_it_is_wanted(one: Call, body: bytes) -> None:
    assert body_told(one, BODY) == body


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"usage":null}', b'{"usage":7}', b"{}", b'{"usage":{"cost":1}'])
def test_what_has_no_usage_goes_as_it_came(body: bytes) -> None:
    assert body_told(wanting(answered(), route=True), body) == body


def test_the_last_usage_of_a_stream_has_its_cost_and_other_events_are_left_alone() -> None:
    cost = StreamCost(wanting(answered(stream=True), route=True))
    text = b'data: {"choices":[{"delta":{"content":"\\"usage\\" {"}}],"usage":null}\n\n'
    used = b'data: {"choices":[],"usage":{"prompt_tokens":12}}\n\n'
    filled = b'data: {"choices":[],"usage":{"prompt_tokens":12,"cost":0.00037}}\n\n'
    odd = b'data: {"usage":[\n\n'
    assert cost.over(text + used + odd + DONE) == text + filled + odd + COMMENT + DONE


def test_a_response_has_it_in_its_last_event() -> None:
    one = wanting(answered(stream=True), route=True)
    one.request.endpoint = Endpoint.RESPONSES
    completed = b'event: response.completed\ndata: {"type":"x","response":{"id":"r","usage":{"input_tokens":12}}}\n\n'
    told = StreamCost(one).over(completed)
    assert told.startswith(b"event: response.completed\n")
    data: dict[str, Any] = json.loads(told.partition(b"data: ")[2])
    assert data["response"] == {"id": "r", "usage": {"input_tokens": 12, "cost": 0.00037}}
    created = b'data: {"type":"x","response":{"id":"r","usage":null}}\n\n'
    assert StreamCost(one).over(created) == created
