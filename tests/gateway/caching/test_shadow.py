"""A few hits are checked behind their callers' backs, within bounds, and only clear findings are labels."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from gateway.caching.errands import ErrandFailed
from gateway.caching.judge import Judge
from gateway.caching.learning import Where
from gateway.caching.shadow import AT_ONCE_MAX, Hit, Label, Scales, Shadow
from gateway.call import Cached
from gateway.embedding.embedder import EmbedderUnavailable
from gateway.errors import UpstreamError
from gateway.state.answers.store import Entry, Kept, Record, Used
from policies.cache_rules import JudgeRules, SemanticRules, ShadowRules
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.caching.errand_calls import Rig, a_caller, answer

ALWAYS = ShadowRules(share=1.0)
STORED = "Open Settings and choose Cancel."
ENTRY = Entry(
    id="ce_1", owner="o", route="faq", scope=b"s", exact=b"e", near=b"", question="How to cancel?",
    endpoint="chat/completions", body=cast("bytes", answer(STORED).body), is_events=False, headers=(), model="m",
    deployment="main", used=Used(10, 2, cost_nanousd=14), stored_at_s=0.0, expires_at_s=9.0,
)  # fmt: skip


class Vectors:
    """An embedder by a table; what is not in it does not fit."""

    id = "v"
    dimensions = 2

    def __init__(self, **known: tuple[float, float]) -> None:
        self.known = known
        self.is_away = False

    async def embed(self, text: str) -> Any:
        if self.is_away:
            raise EmbedderUnavailable("away")
        found = next((vector for word, vector in self.known.items() if word in text), None)
        return None if found is None else np.array(found, np.float32)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Yard:
    def __init__(self, respond: Any, embedder: Any = None) -> None:
        self.rig = Rig(respond)
        self.labels: list[Label] = []
        self.now_s = 0.0
        judge = Judge(self.rig.errands, lambda *_: None)
        scales = Scales(lambda: embedder, judge)
        self.shadow = Shadow(self.rig.errands, scales, self.labels.append, random.Random(1), lambda: self.now_s)

    async def over(self) -> None:
        await asyncio.gather(*self.shadow._tasks)

    async def checked(self, semantic: SemanticRules, hit: Hit | None = None) -> list[bool]:
        """Whether labels say wrong."""
        assert self.shadow.consider(hit or a_hit(), semantic)
        await self.over()
        return [label.wrong for label in self.labels]


def a_hit(entry: Entry = ENTRY) -> Hit:
    return Hit(a_caller(), Kept(entry, Record()), Where("faq", "o", "v"), -3.0, "How do I cancel?")


def rules(shadow: ShadowRules | None = ALWAYS, judge: JudgeRules | None = None) -> SemanticRules:
    return SemanticRules(shadow=shadow, judge=judge)


def says(text: str) -> Any:
    return lambda _: answer(text)


async def test_the_same_answer_is_a_good_label_of_that_hit() -> None:
    yard, hit = Yard(says("Open settings, and choose *cancel*")), a_hit()

    assert await yard.checked(rules(), hit) == [False]
    assert yard.labels[0].hit is hit
    [call] = yard.rig.recorded
    assert call.principal is not None
    assert call.principal.key_name == "cache:shadow"
    assert (call.request.stream, "stream" in call.request.members) == (False, False)
    assert hit.call.generation.in_use.calls == 0


async def test_an_answer_with_other_numbers_is_a_bad_label() -> None:
    entry = msgspec.structs.replace(ENTRY, body=answer("It takes 30 days.").body)

    assert await Yard(says("It takes 14 days.")).checked(rules(), a_hit(entry)) == [True]


@pytest.mark.parametrize(("fresh", "found"), [((1.0, 0.0), [False]), ((0.0, 1.0), [True]), ((0.8, 0.6), [])])
async def test_vectors_say_what_words_cannot(fresh: tuple[float, float], found: list[bool]) -> None:
    yard = Yard(says("Choose Cancel under Preferences."), Vectors(Settings=(1.0, 0.0), Preferences=fresh))

    assert await yard.checked(rules()) == found


@pytest.mark.parametrize("embedder", [None, Vectors(), "away"])
async def test_what_nobody_can_tell_is_no_label(embedder: Any) -> None:
    if embedder == "away":
        embedder = Vectors(Settings=(1.0, 0.0))
        embedder.is_away = True

    assert await Yard(says("Choose Cancel under Preferences."), embedder).checked(rules()) == []


@pytest.mark.parametrize(("verdict", "found"), [("yes", [False]), ("no", [True])])
async def test_a_judge_has_the_last_word(verdict: str, found: list[bool]) -> None:
    def respond(call: Any) -> Any:
        return answer(verdict if call.request.model == "cheap" else "Choose Cancel under Preferences.")

    yard = Yard(respond)

    assert await yard.checked(rules(judge=JudgeRules("cheap"))) == found
    assert len(yard.rig.recorded) == 2


async def test_a_judge_is_no_witness_for_himself() -> None:
    yard, hit = Yard(says("Choose Cancel under Preferences.")), a_hit()
    hit.call.cached = Cached(judged=True)

    assert await yard.checked(rules(judge=JudgeRules("cheap")), hit) == []
    assert len(yard.rig.recorded) == 1


async def test_a_judge_who_does_not_answer_is_no_label() -> None:
    def respond(call: Any) -> Any:
        failed = UpstreamError(Failure(FailureKind.RESET), "cheap")
        return failed if call.request.model == "cheap" else answer("Choose Cancel under Preferences.")

    assert await Yard(respond).checked(rules(judge=JudgeRules("cheap"))) == []


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: UpstreamError(Failure(FailureKind.RESET), "main"),
        says("I'm sorry, but I can't help with that."),
        says(""),
    ],
)
async def test_a_check_that_gets_no_answer_is_no_label(respond: Any) -> None:
    yard = Yard(respond)

    assert await yard.checked(rules()) == []
    assert len(yard.rig.recorded) == 1


async def test_a_bug_is_logged_and_nobody_else_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    yard = Yard(says(STORED))
    yard.shadow._learn = lambda _: 1 / 0

    assert await yard.checked(rules()) == []
    assert "a shadow check failed" in caplog.text


async def test_only_a_share_is_checked() -> None:
    yard = Yard(says(STORED))
    checked = 0
    for _ in range(2_000):
        checked += yard.shadow.consider(a_hit(), rules(ShadowRules(share=0.05, hourly_max=10_000)))
        await yard.over()

    assert 60 <= checked <= 140
    assert not yard.shadow.consider(a_hit(), rules(None))
    assert not yard.shadow.consider(a_hit(), rules(ShadowRules(share=0.0)))


async def test_what_could_not_be_compared_is_not_asked() -> None:
    yard = Yard(says(STORED))
    for entry in (
        msgspec.structs.replace(ENTRY, endpoint="embeddings"),
        msgspec.structs.replace(ENTRY, endpoint="who knows"),
        msgspec.structs.replace(ENTRY, is_events=True),
        msgspec.structs.replace(ENTRY, body=b"{"),
    ):
        assert not yard.shadow.consider(a_hit(entry), rules())


async def test_an_hours_checks_and_a_days_money_are_bounded() -> None:
    yard = Yard(lambda _: answer(STORED, Usage(1000, 0)))
    bounded = rules(ShadowRules(share=1.0, hourly_max=2, cost_max_nanousd=1_500))

    assert await yard.checked(bounded) == [False]
    assert await yard.checked(bounded) == [False, False]
    yard.now_s = 3600.0
    assert not yard.shadow.consider(a_hit(), bounded)  # the two have cost 2,000
    yard.now_s = 86_400.0
    assert await yard.checked(bounded) == [False] * 3


async def test_there_are_at_most_so_many_at_once_and_none_after_the_end() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    yard, hit = Yard(lambda _: forever()), a_hit()
    begun = [yard.shadow.consider(hit, rules()) for _ in range(AT_ONCE_MAX + 1)]
    await yard.rig.far_side.arrived.wait()

    await yard.shadow.close()

    assert begun == [True] * AT_ONCE_MAX + [False]
    assert len(yard.rig.recorded) == AT_ONCE_MAX
    assert all(call.cancelled for call in yard.rig.recorded)
    assert hit.call.generation.in_use.calls == 0
    assert not yard.shadow.consider(a_hit(), rules())
    assert yard.labels == []


async def test_answers_that_were_made_anyway_can_be_compared_too() -> None:
    yard = Yard(says(STORED))
    body = json.dumps({"choices": [{"message": {"content": STORED}, "finish_reason": "stop"}]}).encode()

    assert await yard.shadow.compare(a_hit(), body, None) is True
    assert await yard.shadow.compare(a_hit(), b"{", None) is None
    assert yard.rig.recorded == []


async def test_a_closed_office_is_no_error() -> None:
    yard = Yard(says(STORED))
    yard.rig.errands.close()

    assert await yard.checked(rules()) == []
    with pytest.raises(ErrandFailed):
        await yard.shadow._ask(a_hit())
