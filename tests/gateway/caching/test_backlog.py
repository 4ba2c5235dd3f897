from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.caching import backlog
from gateway.state.answers.store import Which
from tests.gateway.cached_calls import LOGIN, SEMANTIC, CacheGround, Likeness, outcome

if TYPE_CHECKING:
    import pytest

    from gateway.state.answers.store import Kept

OTHER_WORDS = "How can I get in?"


class Slow(Likeness):
    """It is loaded when a test says so, well or not."""

    def __init__(self) -> None:
        super().__init__(**{LOGIN: 0.0, OTHER_WORDS: 0.01})
        self.is_away = True
        self.is_loaded = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return not self.is_away

    async def ready(self) -> None:
        await self.is_loaded.wait()

    def loaded(self, *, well: bool = True) -> None:
        self.is_away = not well
        self.is_loaded.set()


def ground_of(embedder: Slow) -> CacheGround:
    ground = CacheGround(SEMANTIC)
    ground.embedder = embedder
    return ground


async def test_what_is_kept_while_the_embedder_loads_is_found_by_meaning_afterwards() -> None:
    embedder = Slow()
    ground = ground_of(embedder)
    await ground.ask(ground.call())
    again = ground.call()
    await ground.ask(again)
    assert outcome(again) == "exact"
    embedder.loaded()
    await ground.keeper._backlog.settled()
    ((kept, vector),) = [pair async for pair in ground.store.entries()]
    assert vector is not None
    assert (kept.entry.embedder, kept.record.hits) == (Likeness.id, 1)
    other = ground.call(OTHER_WORDS)
    await ground.ask(other)
    assert outcome(other) == "semantic"
    await ground.keeper.close()


async def test_what_was_dropped_or_replaced_meanwhile_does_not_come_back() -> None:
    embedder = Slow()
    ground = ground_of(embedder)
    await ground.ask(ground.call("One?"))
    await ground.ask(ground.call("Two?"))
    newer = ground.call("Two?", ("cache-control", "no-cache"))
    await ground.ask(newer)
    await ground.store.drop(Which(stored_before_s=2e9))
    assert len(ground.keeper._backlog) == 3
    embedder.loaded()
    await ground.keeper._backlog.settled()
    assert [pair async for pair in ground.store.entries()] == []
    assert len(ground.keeper._backlog) == 0
    await ground.keeper.close()


async def test_what_is_dropped_while_it_is_read_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Slow()
    ground = ground_of(embedder)
    await ground.ask(ground.call())
    get = ground.store.get

    async def slowly(entry_id: str) -> Kept | None:
        kept = await get(entry_id)
        ground.now_s += 1.0
        await ground.store.drop(Which(route="faq"))
        return kept

    monkeypatch.setattr(ground.store, "get", slowly)
    embedder.loaded()
    await ground.keeper._backlog.settled()
    assert [pair async for pair in ground.store.entries()] == []
    await ground.keeper.close()


async def test_an_embedder_that_cannot_be_loaded_leaves_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "WAITING_MAX", 2)
    embedder = Slow()
    ground = ground_of(embedder)
    for question in ("One?", "Two?", "Three?"):
        await ground.ask(ground.call(question))
    assert len(ground.keeper._backlog) == 2
    asked = len(embedder.asked)
    embedder.loaded(well=False)
    await ground.keeper._backlog.settled()
    assert (len(ground.keeper._backlog), len(embedder.asked) - asked) == (0, 1)
    await ground.keeper.close()


async def test_a_process_that_ends_does_not_wait_for_it() -> None:
    ground = ground_of(Slow())
    await ground.ask(ground.call())
    await ground.keeper.close()
    assert len(asyncio.all_tasks()) == 1
