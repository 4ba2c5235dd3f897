from __future__ import annotations

import asyncio

import pytest

from gateway.caching.following import Followed
from gateway.errors import LimitError, UpstreamError
from gateway.records.settlement import settle
from gateway.signals.telemetry import Outcome
from policies.cache_rules import Level, SemanticRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.cached_calls import (
    SEMANTIC,
    CacheGround,
    Told,
    outcome,
    read_all,
    said,
    streamed,
    text_of,
    with_rules,
)

DOWN = UpstreamError(Failure(FailureKind.TRUNCATED, "cut"), "chatty")


@pytest.fixture
async def ground() -> CacheGround:
    return CacheGround()


@pytest.fixture
async def semantic() -> CacheGround:
    found = CacheGround(SEMANTIC)
    assert found.embedder is not None
    found.embedder.angles = {"How do I log in?": 0.0, "How can I log in?": 0.02}
    return found


async def test_a_follower_of_what_breaks_was_served_with_nothing() -> None:
    ground = CacheGround()
    ground.behind.gate.clear()
    ground.behind.answers = [Told(pieces=[*streamed("Hel", finish=None), DOWN])]
    calls = [ground.call(stream=True), ground.call(stream=True)]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    led, followed = await asyncio.gather(*asking)
    assert isinstance(followed.answer, Followed)
    assert calls[1].cached is not None
    assert calls[1].cached.level is Level.EXACT
    for reply in (led, followed):
        with pytest.raises(UpstreamError):
            await read_all(reply)
    assert outcome(calls[1]) == "miss"


async def test_who_asks_the_same_at_once_shares_one_call(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    calls = [ground.call(), ground.call(), ground.call("how do i log in")]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    bodies = [reply.answer.body for reply in await asyncio.gather(*asking)]
    assert bodies == [said()] * 3
    assert [outcome(call) for call in calls] == ["miss", "exact", "near"]
    leader, *followers = [call.cached for call in calls]
    assert leader is not None
    for cached in followers:
        assert cached is not None
        assert (cached.joined, cached.entry_id, cached.deployment) == (calls[0].id, leader.entry_id, "chatty")
        assert cached.saved == leader.saved is not None
    assert len(ground.behind.calls) == 1


async def test_streams_and_whole_answers_are_separate_calls(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    asking = [ground.asking(ground.call(stream=stream)) for stream in (False, True)]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    await asyncio.gather(*asking)
    assert len(ground.behind.calls) == 2


async def test_a_follower_of_a_stream_learns_at_its_end_what_it_saved(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    calls = [ground.call(stream=True), ground.call(stream=True)]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    replies = await asyncio.gather(*asking)
    assert [text_of(body) for body in await asyncio.gather(*map(read_all, replies))] == ["Hello.", "Hello."]
    assert calls[1].cached is not None
    assert calls[1].cached.saved is not None
    assert calls[1].cached.saved.output_tokens == 7


async def test_an_upstreams_failure_is_everybodys(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    ground.behind.answers = [DOWN]
    calls = [ground.call() for _ in range(3)]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    assert await asyncio.gather(*asking, return_exceptions=True) == [DOWN] * 3
    assert len(ground.behind.calls) == 1
    assert [outcome(call) for call in calls] == ["miss"] * 3
    for call in calls:
        call.status = 503
    assert {settle(call).outcome for call in calls[1:]} == {Outcome.UPSTREAM_ERROR}


async def test_a_leader_that_fails_by_itself_is_followed_by_another(ground: CacheGround) -> None:
    over = LimitError("over", status=429, type_="requests", code="rate_limit_exceeded", retry_after_s=1.0)
    ground.behind.gate.clear()
    ground.behind.answers = [over]
    calls = [ground.call() for _ in range(4)]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found[0] is over
    assert all(not isinstance(one, BaseException) for one in found[1:])
    assert [outcome(call) for call in calls] == ["miss", "miss", "exact", "exact"]
    assert len(ground.behind.calls) == 2


async def test_followers_who_only_ever_meet_bad_leaders_make_their_calls_themselves(ground: CacheGround) -> None:
    over = LimitError("over", status=429, type_="requests", code="rate_limit_exceeded", retry_after_s=1.0)
    ground.behind.gate.clear()
    ground.behind.answers = [over] * 5
    asking = [ground.asking(ground.call()) for _ in range(7)]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found.count(over) == 5
    assert len(ground.flights) == 0


async def test_a_leader_that_leaves_is_followed_to_the_end(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    calls = [ground.call(), ground.call()]
    leading, following = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leading.cancel()
    await asyncio.wait([leading])
    assert calls[0].drain is not None
    draining = asyncio.ensure_future(calls[0].drain())
    await asyncio.sleep(0)
    ground.behind.gate.set()
    assert (await following).answer.body == said()
    await draining
    assert len(ground.behind.calls) == 1


async def test_who_follows_a_semantic_hit_is_one_and_takes_from_the_budget(semantic: CacheGround) -> None:
    await semantic.ask(semantic.call())
    assert semantic.embedder is not None
    semantic.embedder.delay_s = 0.01
    calls = [semantic.call("How can I log in?") for _ in range(3)]
    await asyncio.gather(*(semantic.asking(call) for call in calls))
    assert [outcome(call) for call in calls] == ["semantic"] * 3
    ((_, experience),) = semantic.learning.all()
    assert sum(experience.served) == 3.0
    assert len({call.cached.risk for call in calls if call.cached is not None}) == 1


async def test_who_wants_nothing_old_does_not_follow_who_got_it(semantic: CacheGround) -> None:
    await semantic.ask(semantic.call())
    semantic.now_s += 60.0
    assert semantic.embedder is not None
    semantic.embedder.delay_s = 0.01
    led, followed = (
        semantic.call("How can I log in?"),
        semantic.call("How can I log in?", ("Cache-Control", "max-age=5")),
    )
    await asyncio.gather(*map(semantic.asking, (led, followed)))
    assert [outcome(led), outcome(followed)] == ["semantic", "miss"]


async def test_a_crowd_behind_a_semantic_hit_gets_no_more_than_the_budget_holds(semantic: CacheGround) -> None:
    """Whoever it does not suffice for asks the model, all of them together once."""
    await semantic.ask(semantic.call())
    with_rules(semantic, semantic=SemanticRules(0.05))
    assert semantic.embedder is not None
    semantic.embedder.delay_s = 0.01
    semantic.embedder.angles["How can I log in?"] = 0.35
    calls = [semantic.call("How can I log in?") for _ in range(400)]
    await asyncio.gather(*map(semantic.asking, calls))
    served = [call.cached for call in calls if call.cached is not None and call.cached.level is Level.SEMANTIC]
    spent = sum(cached.risk or 0.0 for cached in served)
    assert 0 < len(served) < 400
    assert spent <= 0.05 * (401 + 50)
    assert len(semantic.behind.calls) == 2


async def test_a_leader_whose_key_allows_less_leads_none_that_may_have_more(ground: CacheGround) -> None:
    ground.behind.gate.clear()
    calls = [ground.call(), ground.call()]
    calls[0].request.output_tokens_added = 5
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    await asyncio.gather(*asking)
    assert ground.behind.calls == calls


async def test_a_request_that_its_upstream_refuses_does_not_speak_for_others(ground: CacheGround) -> None:
    """Members that change no answer may be what it is refused for, and be put there for that."""
    ground.behind.gate.clear()
    ground.behind.answers = [UpstreamError(Failure(FailureKind.STATUS, "no such tier", 400), "chatty")]
    calls = [ground.call(service_tier="bogus"), ground.call()]
    asking = [ground.asking(call) for call in calls]
    await asyncio.sleep(0)
    ground.behind.gate.set()
    refused, made = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(refused, UpstreamError)
    assert not isinstance(made, BaseException)
    assert made.answer.body == said()
