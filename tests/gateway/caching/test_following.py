from __future__ import annotations

import asyncio

import pytest

from gateway.caching.following import Followed
from gateway.errors import UpstreamError
from policies.cache_rules import Level
from policies.vocabulary import Failure, FailureKind
from tests.gateway.cached_calls import CacheGround, Told, outcome, read_all, streamed

DOWN = UpstreamError(Failure(FailureKind.TRUNCATED, "cut"), "chatty")


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
