from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from multidict import CIMultiDict

from adapters.schema import InferenceRequest
from gateway.asking import CACHED_TOKENS_MIN, SESSION_CHARS, Wants, asked_of, wants_of
from policies.choosing import NOBODY, Choice, Refused, Rejection
from policies.expectations import BYTES_PER_TOKEN
from policies.route_rules import NO_NEEDS, Affinity, AffinityBy
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target

if TYPE_CHECKING:
    from gateway.call import Call

A = Deployment("a", "p", "openai", "m")
PLAIN = Route("r", ("r",), Strategy.ORDERED, (Target(A),))
SYSTEM = {"role": "system", "content": "Be brief. " * 500}
QUESTION = {"role": "user", "content": "How is the weather?"}
ANSWER = {"role": "assistant", "content": "Fine."}


def by(affinity: AffinityBy, header: str = "", strategy: Strategy = Strategy.STICKY) -> Route:
    return Route("r", ("r",), strategy, (Target(A),), affinity=Affinity(affinity, header))


def a_call(
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    principal: Principal | None = None,
    endpoint: Endpoint = Endpoint.CHAT,
) -> Call:
    members = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in (body or {}).items()}
    request = InferenceRequest(endpoint, "r", False, False, members, 0)
    call = SimpleNamespace(
        request=request,
        headers=CIMultiDict(headers or {}),
        principal=principal,
        candidates=(A,),
        needs=NO_NEEDS,
        met=frozenset({"inner"}),
        choice=None,
        peer=lambda: "10.0.0.1",
    )
    return cast("Call", call)


def prefix_of(*messages: object, **more: object) -> tuple[str, int]:
    route = by(AffinityBy.PREFIX)
    asked = asked_of(a_call({"messages": list(messages)} | more), route, wants_of(route))
    return asked.prefix, asked.prefix_tokens


def test_a_plain_route_looks_at_nothing_in_the_call() -> None:
    assert wants_of(PLAIN) == Wants()
    asked = asked_of(a_call({"user": "u"}), PLAIN, wants_of(PLAIN))
    assert (asked.caller, asked.session, asked.prefix, asked.met) == (NOBODY, "", "", frozenset({"inner"}))


def test_what_a_route_inside_goes_by_counts_too() -> None:
    outer = Route("o", ("o",), Strategy.ORDERED, (Target(by(AffinityBy.HEADER, "x-session")),))
    assert wants_of(outer) == Wants(caller=True, header="x-session")


def test_who_was_ruled_out_before_stays_told() -> None:
    call = a_call()
    call.choice = Choice((A,), 0, (Rejection(A, Refused.REGION, "eu"),))
    assert asked_of(call, PLAIN, Wants()).rejected == call.choice.rejected


def test_a_key_and_its_user_are_told_apart_from_others() -> None:
    route = by(AffinityBy.USER)
    wants = wants_of(route)
    one, two = Principal("k1", "one", user="ann"), Principal("k2", "two", user="ann")
    assert asked_of(a_call(principal=one), route, wants).caller.user == "ann"
    said = [asked_of(a_call({"user": "bob"}, principal=who), route, wants).caller.user for who in (one, two)]
    assert said[0] != said[1], "a name that a caller chooses is that caller's only"
    assert asked_of(a_call(), route, wants).caller.key_id == "10.0.0.1"


@pytest.mark.parametrize("user", [7, None, {"a": 1}, ["x"]])
def test_a_user_that_is_no_text_is_none(user: object) -> None:
    route = by(AffinityBy.USER)
    who = Principal("k", "k", user="ann")
    assert asked_of(a_call({"user": user}, principal=who), route, wants_of(route)).caller.user == "ann"


def test_a_session_is_a_headers_value_of_bounded_length() -> None:
    route = by(AffinityBy.HEADER, "x-session")
    call = a_call(headers={"X-Session": "s" * 10_000})
    assert asked_of(call, route, wants_of(route)).session == "s" * SESSION_CHARS
    assert asked_of(a_call(), route, wants_of(route)).session == ""


def test_a_conversation_keeps_its_beginning_while_it_grows() -> None:
    first = prefix_of(SYSTEM, QUESTION)
    assert first == prefix_of(SYSTEM, QUESTION, ANSWER, QUESTION)
    assert first[1] >= CACHED_TOKENS_MIN
    assert first != prefix_of(SYSTEM, {"role": "user", "content": "Another one?"})
    assert first != prefix_of(SYSTEM, QUESTION, tools=[{"type": "function"}])


def test_a_short_beginning_saves_nothing() -> None:
    prefix, tokens = prefix_of(QUESTION)
    assert prefix
    assert tokens == 0


@pytest.mark.parametrize("said", ["a text", {"not": "a list"}, [], [1, "x"], None])
def test_odd_messages_are_no_error(said: object) -> None:
    route = by(AffinityBy.PREFIX)
    asked = asked_of(a_call({"messages": said}), route, wants_of(route))
    assert asked.prefix_tokens < CACHED_TOKENS_MIN * BYTES_PER_TOKEN


def test_an_embedding_has_no_beginning() -> None:
    route = by(AffinityBy.PREFIX)
    call = a_call({"input": "text " * 5000}, endpoint=Endpoint.EMBEDDINGS)
    assert asked_of(call, route, wants_of(route)).prefix == ""
    call = a_call({"input": "text " * 5000}, endpoint=Endpoint.RESPONSES)
    assert asked_of(call, route, wants_of(route)).prefix_tokens > CACHED_TOKENS_MIN


@pytest.mark.parametrize(
    ("strategy", "compares"), [(Strategy.CHEAPEST, True), (Strategy.SPILL, True), (Strategy.ORDERED, False)]
)
def test_where_prices_are_compared_the_moment_is_told(
    strategy: Strategy,
    compares: bool,  # noqa: FBT001 - a table's column
) -> None:
    route = Route("r", ("r",), strategy, (Target(A),))
    assert (asked_of(a_call(), route, wants_of(route)).now_s > 1_700_000_000) is compares
