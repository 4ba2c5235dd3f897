from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.caching import service
from gateway.caching.errands import Office
from gateway.caching.learning import Where
from gateway.caching.service import Caching, embedder_of, store_of
from gateway.config import Config
from gateway.config.caching import AnswersSettings, EmbedderSettings, VectorSettings
from gateway.drains import Drains
from gateway.errors import MissingExtra
from gateway.signals.metrics import Registry
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.indexed import IndexedAnswers
from gateway.state.answers.shared import SharedAnswers
from policies.cache_accounts import CREDIT
from policies.cache_rules import CacheRules, SemanticRules
from policies.caching import Verdict
from tests.gateway.cached_calls import Likeness
from tests.gateway.calls import ROUTE
from tests.gateway.stages.a_call import Next

if TYPE_CHECKING:
    from gateway.generation import Generation
    from gateway.signals.cache_metrics import RouteStanding
    from policies.vocabulary import Route

PLAIN: dict[str, Any] = {
    "ledger": {"url": "sqlite:///x.db"},
    "providers": {"p": {"kind": "openai", "api_key": "none"}},
    "deployments": {"a": {"provider": "p", "model": "m"}},
}


def config(*, cache: object = True, **top: object) -> Config:
    routes = [{"model": "m", "targets": ["a"], "cache": cache}]
    return Config.model_validate(PLAIN | {"routes": routes} | top, context={"base": Path()})


def caching(policy: Config, routes: tuple[Route, ...] = ()) -> Caching:
    office = Office(Next(), lambda _: None, cast("Any", SimpleNamespace(takes_billable=True)), Drains())
    return Caching(policy, office, lambda: cast("Generation", SimpleNamespace(routes=routes)), Registry())


async def test_nothing_begins_before_a_route_has_a_cache() -> None:
    found = caching(config(cache=False))
    await found.prepare(config(cache=False))
    assert (found.is_used, list(found.stocks()), list(found.embedders())) == (False, [], [])
    await found.prepare(config())
    assert found.is_used
    assert [kind for kind, _ in found.stocks()] == ["memory"]
    assert list(found.standings()) == []
    await found.close()


async def test_a_semantic_level_without_its_parts_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.extras.is_installed", lambda _: False)
    found = caching(config(cache={"semantic": True}))
    with pytest.raises(MissingExtra, match="semantic"):
        await found.prepare(config(cache={"semantic": True}))
    assert not found.is_used
    await found.close()


@pytest.mark.parametrize(("cache", "gathers"), [(True, False), ({"semantic": True}, True)])
async def test_only_who_compares_questions_gathers_vectors(
    cache: object,
    gathers: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []

    def gather(store: SharedAnswers) -> None:
        told.append(store)

    monkeypatch.setattr(SharedAnswers, "gather", gather)
    policy = config(cache=cache, state={"url": "redis://127.0.0.1:1"})
    monkeypatch.setattr(service, "embedder_of", lambda *_: Likeness())
    found = caching(policy)
    await found.prepare(policy)
    assert bool(told) is gathers
    await found.close()


async def test_what_a_route_was_taught_is_told_after_a_restart_before_anybody_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "embedder_of", lambda *_: Likeness())
    settings = AnswersSettings(file=tmp_path / "cache.db")
    policy = config(cache={"semantic": True}).model_copy(update={"cache": settings})
    told: list[list[RouteStanding]] = []
    for _ in range(2):
        found = caching(policy, (replace(ROUTE, name="m", cache=CacheRules(semantic=SemanticRules(0.01))),))
        await found.prepare(policy)
        if not told:
            where = Where("m", "all", Likeness.id)
            await found.learning.account(where)
            for _ in range(100):
                found.learning.decided(where, Verdict(0, 0.03, 0.05, serves=True, log_odds=-3.5, cost=3.0))
            found.learning.labelled(where, -3.5, wrong=True)
        told.append(list(found.standings()))
        await found.close()
    assert told[0] == told[1]
    ((standing,), _) = told
    assert (standing.requests, standing.labels_bad, standing.is_over_budget) == (100.0, 1, True)


async def test_each_of_several_processes_lends_its_part_of_the_credit() -> None:
    policy = config(cache={"semantic": True}, server={"workers": 4}, state={"url": "redis://127.0.0.1:1", "nodes": 2})
    found = caching(policy)
    assert (await found.learning.account(Where("m", "all", "e"))).owing_max == CREDIT / 8 / 2
    await found.close()


def test_the_embedder_is_the_one_that_the_policy_names() -> None:
    errands = caching(config()).errands
    assert embedder_of(config(), errands).id.startswith("minilm")
    policy = config().model_copy(
        update={"cache": AnswersSettings(embedder=EmbedderSettings(deployment="a", window_tokens=512))}
    )
    assert embedder_of(policy, errands).id == "a/m/0"


def test_answers_are_kept_where_the_state_is() -> None:
    assert isinstance(store_of(config()), InProcessAnswers)
    assert isinstance(store_of(config(state={"url": "redis://127.0.0.1:1"})), SharedAnswers)


@pytest.mark.parametrize("named", [{"qdrant": ":memory:"}, {"pgvector": "postgresql://nobody@127.0.0.1:1/none"}])
async def test_vectors_are_kept_where_the_policy_says(named: dict[str, str]) -> None:
    pytest.importorskip("qdrant_client")
    vectors = VectorSettings.model_validate(named)
    policy = config().model_copy(update={"cache": AnswersSettings(vectors=vectors)})
    store = store_of(policy)
    assert isinstance(store, IndexedAnswers)
    await store.close()


async def test_what_was_kept_and_learnt_outlives_the_process(tmp_path: Path) -> None:
    policy = config(cache={"exact": {}})
    kept = policy.model_copy(update={"cache": policy.cache.model_copy(update={"file": tmp_path / "cache.db"})})
    found = caching(kept)
    await found.prepare(kept)
    await found.store.remember("x", b"y")
    await found.close()
    again = caching(kept)
    await again.prepare(kept)
    assert await again.store.recall("x") == b"y"
    await again.close()
