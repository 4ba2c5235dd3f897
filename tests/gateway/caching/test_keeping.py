from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.caching import keeping
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.store import Which
from policies.attempts import AttemptKind
from tests.gateway.cached_calls import EXACT, NOW_S, SEMANTIC, CacheGround, Likeness, Told, outcome, streamed

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Entry
    from policies.cache_rules import CacheRules


async def test_what_is_kept_says_all_that_a_hit_needs() -> None:
    ground = CacheGround(SEMANTIC)
    call = ground.call()
    await ground.ask(call)
    ((kept, vector),) = [pair async for pair in ground.store.entries()]
    entry = kept.entry
    assert call.cached is not None
    assert (entry.id, entry.owner, entry.route, entry.request_id) == (
        call.cached.entry_id,
        "team:acme/shop",
        "faq",
        call.id,
    )
    assert (entry.question, entry.embedder, entry.endpoint) == ("How do I log in?", Likeness.id, "chat/completions")
    assert (entry.stored_at_s, entry.expires_at_s) == (NOW_S, NOW_S + 3600.0)
    assert (entry.used.input_tokens, entry.used.output_tokens, entry.used.cost_nanousd) == (11, 7, None)
    assert vector is not None


async def test_a_stream_that_was_resumed_is_two_models_words_and_not_kept() -> None:
    ground = CacheGround()
    call = ground.call(stream=True)
    reply = await ground.stage(call, ground.behind)
    call.attempts[0].kind = AttemptKind.RESUME
    while await reply.answer.read():
        pass
    assert ground.not_stored == [("faq", "resumed")]


async def test_a_stream_that_no_whole_answer_has_a_place_for_is_not_kept() -> None:
    ground = CacheGround()
    odd = b'data: {"choices":[{"index":0,"delta":{"hologram":"x"},"finish_reason":"stop"}]}\n\n'
    ground.behind.answers = [Told(pieces=[*streamed("a", finish=None), odd, b"data: [DONE]\n\n"])]
    await ground.ask(ground.call(stream=True))
    assert ground.not_stored == [("faq", "lossy")]


async def test_too_much_at_once_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "AT_ONCE_MAX", 0)
    ground = CacheGround()
    await ground.ask(ground.call())
    assert ground.not_stored == [("faq", "crowded")]


async def test_what_is_on_its_way_is_kept_before_the_process_ends() -> None:
    ground = CacheGround(SEMANTIC)
    assert ground.embedder is not None
    ground.embedder.delay_s = 0.06  # longer than a call waits
    reply = await ground.stage(ground.call(), ground.behind)
    assert reply.answer.body is not None
    await ground.keeper.close()
    again = ground.call()
    await ground.ask(again)
    assert outcome(again) == "exact"
    assert len(asyncio.all_tasks()) == 1


async def test_what_has_no_vector_is_kept_before_its_caller_has_it() -> None:
    ground = CacheGround()
    await ground.stage(ground.call(), ground.behind)
    assert not ground.keeper.is_busy
    assert (await ground.store.stock()).entries == 1


async def test_a_store_that_cannot_keep_it_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    ground = CacheGround(store=Broken())
    reply = await ground.stage(ground.call(), ground.behind)
    assert reply.answer.body is not None
    assert "an answer could not be kept" in caplog.text


class Broken(InProcessAnswers):
    def keep_now(self, entry: Entry, vector: Vector | None) -> None:
        raise RuntimeError(f"{entry.id} has no room, nor has {vector}")


@pytest.mark.parametrize("rules", [EXACT, SEMANTIC], ids=["at once", "behind the call"])
async def test_what_was_under_way_when_its_like_was_dropped_is_not_kept(rules: CacheRules) -> None:
    """What was dropped and is taken from an export again is what its operator wants; it is kept."""
    ground = CacheGround(rules)
    ground.behind.gate.clear()
    asking = ground.asking(ground.call())
    await asyncio.sleep(0.1)
    ground.now_s += 1.0
    assert await ground.store.drop(Which(route="faq")) == 0
    ground.behind.gate.set()
    await asking
    await ground.settled()
    assert [pair async for pair in ground.store.entries()] == []
    call = ground.call()
    await ground.ask(call)
    assert outcome(call) == "miss"
    ((kept, vector),) = [pair async for pair in ground.store.entries()]
    ground.now_s += 1.0
    assert await ground.store.drop(Which(route="faq")) == 1
    await ground.store.keep(kept.entry, vector)
    assert len([pair async for pair in ground.store.entries()]) == 1
