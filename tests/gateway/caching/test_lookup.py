from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.caching.asked import Asked, asked_of
from gateway.caching.lookup import Doubtful, Found
from gateway.caching.views import Views
from gateway.call import Cached
from policies.cache_rules import JudgeRules, Level, SemanticRules
from policies.caching import Verdict
from tests.gateway.cached_calls import SEMANTIC, CacheGround

if TYPE_CHECKING:
    import pytest

NOTHING = Verdict(None, 1.0, 0.01)


async def looked_up(ground: CacheGround, question: str) -> tuple[Cached, Found | Doubtful | None]:
    call = ground.call(question)
    cached = call.cached = Cached()
    asked = asked_of(call, ground.route(), ground.rules, Views())
    assert isinstance(asked, Asked)
    asked.look_closer()
    assert ground.rules.semantic is not None
    return cached, await ground.lookup.by_meaning(call, asked, ground.rules.semantic)


DOUBTFUL = Verdict(0, 0.3, 0.01, doubtful=True, log_odds=-0.8)


async def test_a_candidate_above_the_bar_is_a_judges_matter_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.caching.lookup.decide", lambda candidates, *_: DOUBTFUL if candidates else NOTHING)
    rules = replace(SEMANTIC, semantic=SemanticRules(1e-6, judge=JudgeRules("cheap", risk_max=0.9)))
    ground = CacheGround(rules)
    assert ground.embedder is not None
    ground.embedder.angles = {"How do I log in?": 0.0, "How can I log in?": 0.3}
    await ground.ask(ground.call())
    cached, found = await looked_up(ground, "How can I log in?")
    assert isinstance(found, Doubtful)
    assert (cached.risk, found.verdict) == (0.3, DOUBTFUL)
    assert next(iter(ground.learning.all()))[1].requests == 1.0  # the judge's word is still to come


async def test_the_nearest_that_no_veto_forbids_is_the_one() -> None:
    ground = CacheGround(SEMANTIC)
    assert ground.embedder is not None
    ground.embedder.angles = {"How do I log in?": 0.02, "How do I not log in?": 0.0, "How can I log in?": 0.0}
    await ground.ask(ground.call())
    await ground.ask(ground.call("How do I not log in?"))
    cached, found = await looked_up(ground, "How can I log in?")
    assert isinstance(found, Found)
    assert (found.level, found.kept.entry.question) == (Level.SEMANTIC, "How do I log in?")
    assert cached.veto is None


async def test_an_owner_of_whom_nothing_is_kept_has_no_neighbours() -> None:
    ground = CacheGround(SEMANTIC)
    cached, found = await looked_up(ground, "How can I log in?")
    assert (found, cached.similarity, cached.risk) == (None, None, None)
