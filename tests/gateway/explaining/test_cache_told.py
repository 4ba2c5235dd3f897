from __future__ import annotations

import msgspec

from gateway.call import Cached
from gateway.explaining.cache_told import cache_told, result_of
from gateway.state.answers.store import Used
from policies.cache_rules import Bypass, Level
from tests.gateway.calls import cached_hit


def told(cached: Cached | None) -> object:
    assert cached is not None
    return msgspec.to_builtins(cache_told(cached))


def test_a_hit_is_told_with_its_risk_and_what_it_saved() -> None:
    assert told(cached_hit().cached) == {
        "result": "hit",
        "kind": "semantic",
        "level": "semantic",
        "id": "ce_1",
        "age_s": 31.0,
        "risk": 0.0042,
        "bar": 0.01,
        "similarity": 0.9712,
        "lookup_ms": 12.1,
        "saved_nano_usd": 350_000,
        "saved_tokens": 110,
    }


def test_a_hit_whose_answer_is_still_under_way_says_whose_it_is() -> None:
    shown = told(Cached(level=Level.EXACT, joined="req_1", saved=Used(1, 2)))
    told_of = {"age_s": 0.0, "joined": "req_1", "saved_tokens": 3}
    assert shown == {"result": "hit", "kind": "exact", "level": "exact", **told_of}


def test_a_miss_says_what_forbade_the_nearest_question() -> None:
    missed = Cached(closed=Bypass.TIME, similarity=0.99, veto="numbers", judged=True)
    shown = {
        "result": "miss",
        "kind": "semantic",
        "reason": "time",
        "similarity": 0.99,
        "veto": "numbers",
        "judged": True,
    }
    assert told(missed) == shown


def test_a_bypass_says_why() -> None:
    left_alone = Cached(bypass=Bypass.TEMPERATURE)
    assert told(left_alone) == {"result": "bypass", "reason": "temperature"}
    assert [result_of(one) for one in (left_alone, Cached(), Cached(level=Level.NEAR))] == ["bypass", "miss", "hit"]
