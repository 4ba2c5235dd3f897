from __future__ import annotations

from typing import Any

import pytest

from gateway.watching.told_call import Paint, told_call

PLAIN = Paint(is_on=False)
EVENT: dict[str, Any] = {
    "ts": "2026-11-22T12:30:01.250Z",
    "status": 200,
    "outcome": "ok",
    "model_requested": "smart",
    "attempts": [{"deployment": "llama"}, {"deployment": "gpt-4o"}],
    "timing_ms": {"total": 1240.4, "ttft": 120.2},
    "tokens": {"input": 812, "output": 53, "estimated": False},
    "cost": {"total_nano_usd": 1_230_000},
    "team": "red",
    "key_alias": "ci",
    "request_id": "req_1",
}


def test_a_call_is_told_on_one_line() -> None:
    assert told_call(EVENT, PLAIN) == (
        "12:30:01  200 ok  smart > llama > gpt-4o  1.24 s, first 120 ms  812+53 tokens  0.00123 USD  red/ci  req_1"
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tokens": {"input": 1, "output": 2, "estimated": True}}, "1+2 tokens (estimated)"),
        ({"cost": {"total_nano_usd": None, "unpriced": "no_price"}}, "unpriced: no_price"),
        ({"cost": {"total_nano_usd": 0, "saved_nano_usd": 5_000_000_000}}, "0 USD, saved 5"),
        ({"cache": {"result": "hit", "kind": "semantic"}}, "hit (semantic)"),
        ({"made_for": {"purpose": "judge", "request_id": "req_0", "route": "faq"}}, "red/ci  for req_0  req_1"),
        ({"error_code": "timeout", "error_message": "took too long"}, "timeout: took too long"),
    ],
)
def test_what_is_out_of_the_ordinary_is_told_too(changed: dict[str, Any], words: str) -> None:
    assert words in told_call({**EVENT, **changed}, PLAIN)


def test_a_call_of_which_little_is_known_is_told_all_the_same() -> None:
    assert told_call({"ts": "2026-11-22T12:30:01.250Z", "status": 401, "outcome": "denied_auth"}, PLAIN) == (
        "12:30:01  401 denied_auth  -"
    )


@pytest.mark.parametrize(("outcome", "colour"), [("ok", "32"), ("denied_rate", "33"), ("timeout", "31"), ("new", "31")])
def test_on_a_terminal_colours_tell_whose_fault_it_was(outcome: str, colour: str) -> None:
    assert f"\x1b[{colour}m200 {outcome}\x1b[0m" in told_call({**EVENT, "outcome": outcome}, Paint(is_on=True))


def test_what_foreign_words_would_do_to_a_terminal_they_do_not() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\n"
    changed = dict.fromkeys(("outcome", "model_requested", "team", "key_alias", "request_id", "error_code"), hostile)
    told = told_call({**EVENT, **changed, "attempts": [{"deployment": hostile}]}, PLAIN)
    assert "\x1b" not in told
    assert "\n" not in told


def test_on_a_narrow_terminal_it_goes_on_below_with_whole_parts() -> None:
    told = told_call(EVENT, PLAIN, 60)
    assert told.split("\n") == [
        "12:30:01  200 ok  smart > llama > gpt-4o",
        "          1.24 s, first 120 ms  812+53 tokens  0.00123 USD",
        "          red/ci  req_1",
    ]
    assert told_call(EVENT, Paint(is_on=True), 60).count("\n") == 2
    assert told_call(EVENT, PLAIN, 200) == told_call(EVENT, PLAIN)
