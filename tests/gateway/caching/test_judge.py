"""A judge is believed only when it clearly says yes, in time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from gateway.caching.errands import AT_ONCE
from gateway.caching.judge import Judge, Judgement
from gateway.errors import UpstreamError
from gateway.signals.cache_telemetry import Purpose
from policies.cache_rules import JudgeRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.caching.errand_calls import Rig, a_caller, answer

RULES = JudgeRules("cheap", within_s=5.0)
FAILED = UpstreamError(Failure(FailureKind.RESET), "cheap")


class Bench:
    def __init__(self, respond: Any = lambda _: answer()) -> None:
        self.rig = Rig(respond)
        self.told: list[tuple[str, str]] = []
        self.judge = Judge(self.rig.errands, lambda route, verdict: self.told.append((route, verdict)))


@pytest.mark.parametrize(
    ("respond", "verdict"),
    [
        (lambda _: answer("yes"), Judgement.YES),
        (lambda _: answer("no"), Judgement.NO),
        (lambda _: answer("I think so"), Judgement.NO),
        (lambda _: FAILED, Judgement.FAILED),
    ],
)
async def test_what_it_says(respond: Any, verdict: Judgement) -> None:
    bench = Bench(respond)

    says_same = await bench.judge.says_same(a_caller(), "How do I cancel?", "How to cancel?", RULES)

    assert says_same is (verdict is Judgement.YES)
    assert bench.told == [("faq", verdict.value)]
    assert len(bench.rig.recorded) == 1


async def test_it_is_asked_about_both_questions() -> None:
    bench = Bench()

    await bench.judge.says_same(a_caller(), "one?", "other?", RULES)

    [call] = bench.rig.recorded
    asked = msgspec.json.decode(call.request.members["messages"])[-1]["content"]
    assert json.loads(asked) == {"first": "one?", "second": "other?"}
    assert call.request.model == "cheap"


async def test_too_late_is_no() -> None:
    bench = Bench(lambda _: asyncio.sleep(10, answer()))

    verdict = await bench.judge.judgement(a_caller(), "a?", "b?", JudgeRules("cheap", within_s=0.02))

    assert verdict is Judgement.LATE
    assert len(bench.rig.recorded) == 1


async def test_too_much_to_compare_costs_nothing() -> None:
    bench = Bench()

    assert await bench.judge.judgement(a_caller(), "a" * 10_000, "b?", RULES) is Judgement.LONG
    assert await bench.judge.judgement(a_caller(), "a?", "b?", JudgeRules("unheard-of")) is Judgement.FAILED
    assert bench.rig.recorded == []


async def test_a_crowd_is_told_no_at_once() -> None:
    bench = Bench(lambda _: asyncio.sleep(10, answer()))
    caller = a_caller()
    crowd = [
        asyncio.ensure_future(bench.judge.says_same(caller, "a?", "b?", RULES)) for _ in range(AT_ONCE[Purpose.JUDGE])
    ]
    await asyncio.sleep(0)

    assert await bench.judge.judgement(caller, "a?", "b?", RULES) is Judgement.CROWDED

    for one in crowd:
        one.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
