from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.explaining.decisions import Decision, decision_of, kept, written
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.ledger.schema import storable
from policies.choosing import Choice, Refused, Rejection
from policies.route_rules import Capability, Needs, Requirements
from policies.usage import Usage
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.gateway.calls import DEAR, FREE_OF_PRICE, RECEIVED_S, attempt, cached_hit, call

if TYPE_CHECKING:
    from gateway.call import Call

SECOND = Deployment("gpt-4o", "openai", "openai", "gpt-4o", credential="b")
BLIND = Deployment("blind", "p", "openai", "m")
CHOICE = Choice(
    (DEAR, SECOND, FREE_OF_PRICE),
    2,
    (Rejection(BLIND, Refused.CAPABILITY, "images"),),
    ((DEAR.id, 0.25), (SECOND.id, float("inf"))),
    "cheapest",
    (FREE_OF_PRICE,),
)


def as_json(made: Call) -> Any:
    return msgspec.json.decode(msgspec.json.encode(decision_of(made)))


def test_every_candidate_is_told_with_its_place_and_score_or_why_it_is_none() -> None:
    made = call(attempt())
    made.choice = CHOICE
    made.needs = Needs(frozenset({Capability.IMAGES}), 120, None, Requirements(frozenset({"eu"}), frozenset()))
    told = as_json(made)
    assert told["candidates"] == [
        {"deployment": "gpt-4o", "place": 1, "score": 0.25},
        {"deployment": "gpt-4o", "credential": "b", "place": 2},
        {"deployment": "llama-eu", "place": 3, "part": "fallback"},
        {"deployment": "llama-eu", "place": 1, "part": "context_fallback"},
        {"deployment": "blind", "refused": "capability", "detail": "images"},
    ]
    assert told["needs"] == {"capabilities": ["images"], "input_tokens": 120, "regions": ["eu"]}
    assert (told["route"], told["strategy"], told["why"]) == ("smart", "ordered", "cheapest")
    assert (told["key"], told["team"], told["status"]) == ("ci", "platform", 200)


def test_who_was_set_aside_has_no_place_and_says_for_how_long() -> None:
    made = call(attempt(deployment=SECOND))
    made.choice = CHOICE
    made.set_aside = {DEAR.id: RECEIVED_S + 59.94, FREE_OF_PRICE.id: math.inf}
    told = as_json(made)["candidates"]
    assert told[0] == {"deployment": "gpt-4o", "refused": "set_aside", "detail": "for 59.9 s"}
    assert told[1]["place"] == 1
    assert [(c["deployment"], c.get("part"), c["refused"]) for c in told[2:4]] == [
        ("llama-eu", "fallback", "set_aside"),
        ("llama-eu", "context_fallback", "set_aside"),
    ]


def test_who_was_tried_although_all_were_set_aside_has_the_first_place() -> None:
    made = call(attempt(deployment=SECOND))
    made.choice = CHOICE
    made.set_aside = dict.fromkeys((DEAR.id, SECOND.id, FREE_OF_PRICE.id), RECEIVED_S + 1.0)
    told = decision_of(made).candidates
    assert [c.credential for c in told if c.place is not None] == ["b"]


def test_every_attempt_is_told_with_how_it_ended_and_when() -> None:
    failed = attempt(failure=Failure(FailureKind.STATUS, "no", 503, code="overloaded"))
    won = attempt(number=2, deployment=SECOND, first_token_s=RECEIVED_S + 0.1)
    left = attempt(number=3, cancelled=True)
    told = msgspec.to_builtins(decision_of(call(failed, won, left)))["attempts"]
    assert [(step["attempt"], step.get("outcome", "ok"), step.get("credential", "")) for step in told] == [
        (1, "status", ""),
        (2, "ok", "b"),
        (3, "client_cancelled", ""),
    ]
    assert (told[0]["status"], told[0]["code"]) == (503, "overloaded")
    assert (told[1]["began_ms"], told[1]["first_token_ms"], told[1]["ended_ms"]) == (2.0, 100.0, 500.0)


def test_what_is_kept_holds_nothing_of_what_was_said() -> None:
    made = call(attempt(text=("a secret answer",)), model="m" * 5000)
    remains = kept(made)
    assert "a secret answer" not in repr(remains)
    assert len(remains.model) == 200
    assert written(remains).model == "m" * 200


def test_a_call_without_a_route_has_a_record_too() -> None:
    told = msgspec.to_builtins(decision_of(call(status=404, error_code="model_not_found", route=None, principal=None)))
    assert (told["status"], told["error"]) == (404, "model_not_found")
    assert not {"route", "candidates", "key"} & set(told)


def test_an_answer_that_was_given_before_names_the_call_it_was_given_to() -> None:
    made = call()
    made.replay_of = "req_first"
    told = msgspec.to_builtins(decision_of(made))
    assert told["replay_of"] == "req_first"
    assert not {"candidates", "attempts"} & set(told)


def test_the_record_as_text_reads_back() -> None:
    made = call(attempt(), model=f"ä{Random(1).random()}")
    made.choice = CHOICE
    assert msgspec.convert(as_json(made), Decision) == decision_of(made)


def test_what_the_cache_did_is_part_of_the_decision() -> None:
    told = as_json(cached_hit())
    assert told["cache"]["level"] == "semantic"
    assert (told["cache"]["risk"], told["cache"]["bar"], told["cache"]["saved_nano_usd"]) == (0.0042, 0.01, 350_000)
    assert "cache" not in as_json(call(attempt()))


def test_a_row_that_cannot_be_packed_is_kept_as_the_ledger_has_it() -> None:
    made = call(attempt(Usage(100, 10)))
    (row,) = ledger_rows(settle(made))
    assert kept(made, [row], "ok").rows == [row]
    for strange in (row._replace(cost_nanousd=1 << 70), row._replace(model_requested="\ud800")):
        assert kept(made, [strange], "ok").rows == [storable(strange)]
