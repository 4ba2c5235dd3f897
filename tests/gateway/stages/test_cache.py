from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import RequestError, UpstreamError
from gateway.records.settlement import settle
from gateway.signals.telemetry import Outcome
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.store import Kept, StoreUnavailable
from policies.cache_curves import risk_of
from policies.cache_rules import Bypass, JudgeRules, SemanticRules, ShadowRules, Sharing
from policies.caching import Verdict
from policies.route_rules import Needs, Requirements
from policies.vocabulary import Deployment, Failure, FailureKind, Principal
from tests.gateway.cached_calls import (
    AMY,
    ANN,
    BOB,
    LOGIN,
    NOW_S,
    SEMANTIC,
    CacheGround,
    Likeness,
    Told,
    outcome,
    outcomes,
    said,
    streamed,
    text_of,
    with_rules,
)
from tests.gateway.stages.a_call import Next, a_call

NO_VERDICT = Verdict(None, 1.0, 0.01)
DOWN = UpstreamError(Failure(FailureKind.STATUS, "down", 503), "chatty")


@pytest.fixture
async def ground() -> CacheGround:
    return CacheGround()


@pytest.fixture
async def semantic() -> CacheGround:
    found = CacheGround(SEMANTIC)
    assert found.embedder is not None
    found.embedder.angles = {LOGIN: 0.0, "How can I log in?": 0.02, "Where are you?": 1.2}
    return found


async def test_a_route_without_a_cache_passes_untouched(ground: CacheGround) -> None:
    call, then = a_call(), Next()
    await ground.stage(call, then)
    assert (then.calls, call.cached) == ([call], None)


# -- levels


async def test_the_same_request_is_answered_from_what_was_kept(ground: CacheGround) -> None:
    first, again = ground.call(), ground.call()
    bodies = [await ground.ask(first), await ground.ask(again)]
    assert [outcome(first), outcome(again)] == ["miss", "exact"]
    assert list(map(text_of, bodies)) == ["Hello.", "Hello."]
    assert ground.behind.calls == [first]
    assert again.attempts == []
    kept, cached = first.cached, again.cached
    assert kept is not None
    assert cached is not None
    assert (cached.entry_id, cached.deployment, cached.model, cached.joined) == (kept.entry_id, "chatty", "gpt", None)
    assert cached.saved is not None
    assert (cached.saved.input_tokens, cached.saved.output_tokens) == (11, 7)


async def test_manners_keep_no_question_from_its_answer(ground: CacheGround) -> None:
    assert await outcomes(ground, ground.call(), ground.call("how do i log in")) == ["miss", "near"]
    with_rules(ground, near=False)
    assert await outcomes(ground, ground.call("how  do i log in")) == ["miss"]


async def test_what_means_the_same_is_answered_from_what_was_kept(semantic: CacheGround) -> None:
    call = semantic.call("How can I log in?")
    assert await outcomes(semantic, semantic.call(), call) == ["miss", "semantic"]
    assert call.cached is not None
    assert call.cached.similarity == pytest.approx(0.9998, abs=1e-3)
    assert call.cached.risk is not None
    assert 0.0 < call.cached.risk < 0.4
    other = semantic.call("Where are you?")
    assert await outcomes(semantic, other) == ["miss"]
    assert other.cached is not None
    assert other.cached.similarity is not None
    assert other.cached.similarity < 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"before": [{"role": "system", "content": "Be brief."}]},
        {"before": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi!"}]},
        {"top_p": 0.5},
        {"seed": 7},
        {"max_tokens": 5},
        {"response_format": {"type": "json_object"}},
        {"tomorrows_parameter": True},
    ],
)
async def test_whatever_else_can_change_an_answer_keeps_requests_apart(
    semantic: CacheGround, change: dict[str, Any]
) -> None:
    found = await outcomes(
        semantic, semantic.call(), semantic.call(**change), semantic.call("How can I log in?", **change)
    )
    assert found[:2] == ["miss", "miss"]
    assert found[2] == "semantic"
    assert len(semantic.behind.calls) == 2


async def test_numbers_forbid_whatever_the_similarity(semantic: CacheGround) -> None:
    assert semantic.embedder is not None
    semantic.embedder.angles = {"What is 7 % of 300?": 0.0, "What is 8 % of 300?": 0.001}
    call = semantic.call("What is 8 % of 300?")
    assert await outcomes(semantic, semantic.call("What is 7 % of 300?"), call) == ["miss", "miss"]
    assert call.cached is not None
    assert call.cached.veto == "numbers"


async def test_a_question_of_the_day_is_served_to_its_exact_like_only(semantic: CacheGround) -> None:
    today = "What is the weather like today?"
    call = semantic.call("what is the weather like today")
    assert await outcomes(semantic, semantic.call(today), semantic.call(today), call) == ["miss", "exact", "miss"]
    assert call.cached is not None
    assert call.cached.closed is Bypass.TIME
    assert semantic.embedder is not None
    assert semantic.embedder.asked == []


@pytest.mark.parametrize("trouble", ["away", "slow", "none"])
async def test_an_embedder_that_cannot_be_asked_costs_hits_and_never_an_answer(
    semantic: CacheGround, trouble: str
) -> None:
    await semantic.ask(semantic.call())
    embedder = semantic.embedder
    assert embedder is not None
    embedder.is_away, embedder.delay_s = trouble == "away", 0.2 if trouble == "slow" else 0.0
    semantic.embedder = None if trouble == "none" else embedder
    call = semantic.call("How can I log in?")
    assert text_of(await semantic.ask(call)) == "Hello."
    assert call.cached is not None
    assert (outcome(call), call.cached.closed) == ("miss", Bypass.UNAVAILABLE)
    embedder.is_away, embedder.delay_s, semantic.embedder = False, 0.0, embedder
    # What was slow has its vector by now, since nobody waits for it any more.
    found = await outcomes(semantic, semantic.call("How can I log in?"))
    assert found == ["exact"]


async def test_a_question_beyond_the_embedders_window_has_no_third_level(semantic: CacheGround) -> None:
    call = semantic.call("Tell me, " + "very " * 300 + "long.")
    assert await outcomes(semantic, call) == ["miss"]
    assert call.cached is not None
    assert call.cached.closed is Bypass.LONG


async def test_all_requests_bring_their_share_of_the_budget(semantic: CacheGround) -> None:
    await outcomes(semantic, *(semantic.call() for _ in range(4)), semantic.call("How can I log in?"))
    ((_, experience),) = semantic.learning.all()
    assert experience.requests == 5.0
    assert experience.spent > 0.0


# -- streams


async def test_a_stream_is_kept_whole_and_told_as_is_wished(ground: CacheGround) -> None:
    made = ground.call(stream=True)
    assert text_of(await ground.ask(made)) == "Hello."
    whole, stream = ground.call(), ground.call(stream=True, stream_options={"include_usage": True})
    assert text_of(await ground.ask(whole)) == "Hello."
    events = await ground.ask(stream)
    assert text_of(events) == "Hello."
    assert events.endswith(b"data: [DONE]\n\n")
    assert b'"total_tokens":18' in events
    assert [outcome(call) for call in (made, whole, stream)] == ["miss", "exact", "exact"]
    assert len(ground.behind.calls) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Told(said(finish="length")), "truncated"),
        (Told(said(finish="content_filter")), "filtered"),
        (Told(said("I'm sorry, but I can't help with that.")), "refusal"),
        (Told(said("x" * 2_000)), "long"),
        (Told(b"<html>"), "unreadable"),
    ],
)
async def test_what_is_no_good_answer_is_not_kept(ground: CacheGround, answer: Told, why: str) -> None:
    with_rules(ground, answer_bytes_max=1_500)
    ground.behind.answers = [answer]
    assert await outcomes(ground, ground.call(), ground.call()) == ["miss", "miss"]
    assert ground.not_stored == [("faq", why)]


async def test_a_stream_that_breaks_is_not_kept(ground: CacheGround) -> None:
    ground.behind.answers = [Told(pieces=[*streamed("Hel", finish=None), DOWN])]
    with pytest.raises(UpstreamError):
        await ground.ask(ground.call(stream=True))
    assert await outcomes(ground, ground.call()) == ["miss"]


# -- what callers say


async def test_no_store_leaves_a_call_alone(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    assert await outcomes(ground, ground.call(LOGIN, ("Cache-Control", "no-store"))) == ["no_store"]
    assert await outcomes(ground, ground.call("Why?", ("Cache-Control", "no-store")), ground.call("Why?")) == [
        "no_store",
        "miss",
    ]


async def test_no_cache_is_a_new_answer_that_is_kept(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    ground.behind.answers = [Told(said("New."))]
    fresh = ground.call(LOGIN, ("Cache-Control", "no-cache"))
    assert [text_of(await ground.ask(call)) for call in (fresh, ground.call())] == ["New.", "New."]
    assert outcome(fresh) == "miss"


async def test_max_age_is_the_oldest_that_is_taken(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    ground.now_s += 31.0
    young, old = (ground.call(LOGIN, ("Cache-Control", f"max-age={seconds}")) for seconds in (30, 31))
    assert await outcomes(ground, old, young) == ["exact", "miss"]
    assert old.cached is not None
    assert old.cached.age_s == 31.0


async def test_only_if_cached_is_answered_from_here_or_not_at_all(semantic: CacheGround) -> None:
    only = ("Cache-Control", "only-if-cached")
    missed = semantic.call(LOGIN, only)
    with pytest.raises(RequestError) as refused:
        await semantic.ask(missed)
    assert (refused.value.status, refused.value.code) == (504, "cache_miss")
    missed.status, missed.error_code = 504, "cache_miss"
    assert settle(missed).outcome is Outcome.CLIENT_ERROR
    await semantic.ask(semantic.call())
    found = await outcomes(semantic, semantic.call(LOGIN, only), semantic.call("How can I log in?", only))
    assert found == ["exact", "semantic"]
    assert len(semantic.behind.calls) == 1


async def test_answers_live_as_long_as_their_route_says(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    ground.now_s = NOW_S + 3600.0
    assert await outcomes(ground, ground.call()) == ["miss"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"before": [{"role": "tool", "tool_call_id": "c", "content": "7"}]}, "tool_calls"),
    ],
)
async def test_rules_leave_calls_alone(ground: CacheGround, members: dict[str, Any], why: str) -> None:
    assert await outcomes(ground, ground.call(**members), ground.call(**members)) == [why, why]
    assert await outcomes(ground, ground.call(temperature=0)) == ["miss"]


async def test_a_key_may_be_kept_off(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    assert await outcomes(ground, ground.call(principal=replace(ANN, uses_cache=False))) == ["off"]


async def test_tags_of_route_and_caller_are_on_the_entry(ground: CacheGround) -> None:
    with_rules(ground, tags=("faq",))
    await ground.ask(ground.call(LOGIN, ("x-pointsman-cache-tags", "v2, faq")))
    ((kept, _),) = [pair async for pair in ground.store.entries()]
    assert kept.entry.tags == ("faq", "v2")
    assert kept.entry.headers == (("openai-version", "1"),)
    assert kept.entry.question == ""


# -- walls


@pytest.mark.parametrize(
    ("sharing", "amy", "bob"),
    [
        (Sharing.KEY, "miss", "miss"),
        (Sharing.TEAM, "exact", "miss"),
        (Sharing.ORG, "exact", "exact"),
        (Sharing.ALL, "exact", "exact"),
    ],
)
async def test_who_is_served_with_whose_answers(ground: CacheGround, sharing: Sharing, amy: str, bob: str) -> None:
    with_rules(ground, sharing=sharing)
    await ground.ask(ground.call())
    found = await outcomes(ground, ground.call(principal=AMY), ground.call(principal=BOB))
    assert found == [amy, bob]


async def test_keys_without_a_team_share_nothing(ground: CacheGround) -> None:
    one, other = Principal("k_1", "one"), Principal("k_2", "two")
    assert await outcomes(ground, ground.call(principal=one), ground.call(principal=other)) == ["miss", "miss"]


async def test_who_requires_more_is_not_served_with_what_was_made_for_less(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    bound = ground.call()
    bound.needs = Needs(requires=Requirements(frozenset({"eu"})))
    assert await outcomes(ground, bound) == ["miss"]


async def test_an_answer_goes_with_the_deployment_that_made_it(ground: CacheGround) -> None:
    await ground.ask(ground.call())
    call = ground.call()
    call.candidates = (Deployment("chatty", "p", "openai", "another-model"),)
    assert await outcomes(ground, call) == ["miss"]


class Away(InProcessAnswers):
    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:  # noqa: ARG002 - whatever is asked
        raise StoreUnavailable


async def test_a_store_that_is_away_is_left_alone() -> None:
    ground = CacheGround(store=Away())
    call = ground.call()
    assert text_of(await ground.ask(call)) == "Hello."
    assert outcome(call) == "unavailable"


async def test_the_bar_holds_however_alike_questions_are_said_to_be() -> None:
    """A budget of next to nothing serves next to nothing by meaning."""
    rules = replace(SEMANTIC, semantic=SemanticRules(1e-6))
    ground = CacheGround(rules)
    assert ground.embedder is not None
    ground.embedder.angles = {LOGIN: 0.0, "How can I log in?": 0.02}
    assert await outcomes(ground, ground.call(), ground.call("How can I log in?")) == ["miss", "miss"]


@pytest.mark.parametrize("says", [True, False])
async def test_a_judge_decides_of_the_doubtful_where_its_yes_is_worth_the_risk(
    says: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubtful = Verdict(0, risk_of(-1.5), 0.01, doubtful=True, log_odds=-1.5)
    monkeypatch.setattr("gateway.caching.lookup.decide", lambda candidates, *_: doubtful if candidates else NO_VERDICT)
    ground = CacheGround(replace(SEMANTIC, semantic=SemanticRules(0.02, judge=JudgeRules("cheap"))))
    assert ground.embedder is not None
    ground.embedder.angles = {LOGIN: 0.0, "How can I log in?": 0.5}
    ground.aside.says = says
    call = ground.call("How can I log in?")
    assert await outcomes(ground, ground.call(), call) == ["miss", "semantic" if says else "miss"]
    assert ground.aside.asked == [("How can I log in?", LOGIN)]
    assert call.cached is not None
    assert call.cached.judged
    ((_, experience),) = ground.learning.all()
    assert (experience.requests, sum(experience.served)) == (2.0, 1.0 if says else 0.0)


async def test_hits_by_meaning_are_offered_to_shadow_checks(semantic: CacheGround) -> None:
    rules = replace(SEMANTIC, semantic=SemanticRules(0.2, shadow=ShadowRules()))
    with_rules(semantic, semantic=rules.semantic)
    call = semantic.call("How can I log in?")
    assert await outcomes(semantic, semantic.call(), semantic.call(), call) == ["miss", "exact", "semantic"]
    (hit,) = semantic.aside.hits
    assert (hit.call, hit.kept.entry.question, hit.question) == (call, LOGIN, "How can I log in?")
    assert hit.where.embedder == Likeness.id
