from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.caching.asked import Asked, asked_of
from gateway.caching.lookup import Doubtful, Found
from gateway.caching.views import Views
from gateway.call import Cached
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.store import Kept, Neighbour, Record
from policies.cache_rules import JudgeRules, Level, SemanticRules
from policies.caching import Verdict
from tests.gateway.cached_calls import NOW_S, SEMANTIC, CacheGround, outcome, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Entry, Place

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


class Hostile(InProcessAnswers):
    """Gives back whatever it was told to, asked or not."""

    def __init__(self, entry: Entry, level: Level) -> None:
        super().__init__(clock=lambda: NOW_S)
        self._given = Kept(entry, Record(), level)

    async def find(self, owner: str, exact: bytes, near: bytes) -> Kept | None:  # noqa: ARG002 - whatever is asked
        return self._given

    async def nearest(self, place: Place, vector: Vector, count: int) -> Sequence[Neighbour]:  # noqa: ARG002
        return [Neighbour(self._given, 1.0)] * count


OTHERS = {
    "owner": st.sampled_from(["team:acme/sales", "all", "", "team:acme/shop ", "org:acme"]),
    "exact": st.binary(max_size=33),
    "near": st.binary(max_size=33),
    "scope": st.binary(max_size=33),
    "endpoint": st.sampled_from(["completions", "responses", "", "chat"]),
    "expires_at_s": st.sampled_from([NOW_S, 0.0, -1.0, float("nan")]),
    "stored_at_s": st.sampled_from([NOW_S + 100.0, float("nan"), float("inf")]),
    "deployment": st.sampled_from(["other", ""]),
    "id": st.sampled_from(["ce_\r\nset-cookie: a=b", "", "x", "ce_" + "a" * 99]),
    "body": st.sampled_from([b"", b"[]", b"null", b"{"]),
}
WRONG = st.sampled_from(sorted(set(OTHERS) - {"exact", "near", "scope"})).flatmap(
    lambda name: st.tuples(st.just(name), OTHERS[name])
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=WRONG, level=st.sampled_from(Level))
async def test_what_a_store_gives_back_is_believed_only_where_it_fits(change: tuple[str, Any], level: Level) -> None:
    honest = CacheGround(SEMANTIC)
    await honest.ask(honest.call())
    ((kept, _),) = [pair async for pair in honest.store.entries()]
    ground = CacheGround(SEMANTIC, Hostile(msgspec.structs.replace(kept.entry, **dict([change])), level))
    call = ground.call()
    await ground.ask(call)
    assert outcome(call) == "miss"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exact=OTHERS["exact"], near=OTHERS["near"], scope=OTHERS["scope"])
async def test_an_entry_under_other_digests_is_nobodys(exact: bytes, near: bytes, scope: bytes) -> None:
    honest = CacheGround(SEMANTIC)
    await honest.ask(honest.call())
    ((kept, _),) = [pair async for pair in honest.store.entries()]
    other = msgspec.structs.replace(kept.entry, exact=exact, near=near, scope=scope)
    ground = CacheGround(SEMANTIC, Hostile(other, Level.EXACT))
    assert await outcomes(ground, ground.call()) == ["miss"]
