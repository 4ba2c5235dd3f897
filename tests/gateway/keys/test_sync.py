from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StartError
from gateway.keys.peppers import Peppers
from gateway.keys.sync import NOTE_EVERY_S, KeySync, wait_for
from gateway.keys.view import Built, StoredKeys
from gateway.state.keys.announcements import LocalAnnouncements
from gateway.state.keys.records import Changes, Org
from gateway.state.ledger.schema import LedgerError
from tests.gateway.key_sets import PEPPERS, a_stored, changes, fresh, limits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Feed:
    """A store that says what it is told to, and counts who asks."""

    def __init__(self) -> None:
        self.next: Changes | LedgerError | None = None
        self.asked: list[int | None] = []
        self.noted: list[Mapping[str, int]] = []
        self.looked = asyncio.Event()

    async def changes(self, since: int | None, at_most: int) -> Changes | None:
        self.asked.append(since)
        self.looked.set()
        if isinstance(self.next, LedgerError):
            raise self.next
        if self.next is None or (since is not None and since == self.next.revision):
            return None
        return self.next._replace(keys=self.next.keys[:at_most])

    async def note_use(self, used: Mapping[str, int]) -> None:
        self.noted.append(used)
        if isinstance(self.next, LedgerError):
            raise self.next


class Fast:
    """The announcements and waits of a sync whose time is the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.keys.sync.LOOK_GAP_S", 0.0)
        self.feed = Feed()
        self.stored = StoredKeys(Peppers(PEPPERS, None), limits_of, 1_000)
        self.announcements = LocalAnnouncements()
        self.time_is_up = asyncio.Event()
        self.sync = KeySync(self.stored, self.feed, self.announcements, self._wait)

    async def _wait(self, news: asyncio.Event, timeout_s: float) -> None:
        assert 0 < timeout_s <= 30, "without Redis a change is known within half a minute"
        either = {asyncio.create_task(news.wait()), asyncio.create_task(self.time_is_up.wait())}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in either:
                task.cancel()
            self.time_is_up.clear()

    @asynccontextmanager
    async def running(self, *, may_be_late: bool = False) -> AsyncIterator[None]:
        await self.sync.start(may_be_late=may_be_late)
        self.feed.looked.clear()
        yield
        await self.sync.close()

    async def look(self) -> None:
        async with asyncio.timeout(5):
            await self.feed.looked.wait()
            self.feed.looked.clear()
            await asyncio.sleep(0)
            await self.sync.look()  # behind the one that has begun


@pytest.fixture
async def fast(monkeypatch: pytest.MonkeyPatch) -> Fast:
    return Fast(monkeypatch)


async def test_keys_are_there_before_the_first_call(fast: Fast) -> None:
    fast.feed.next = changes(a_stored(fresh()), whole=True)
    async with fast.running():
        assert len(fast.stored) == 1
        assert fast.feed.asked == [None]


async def test_an_announcement_a_miss_and_the_time_each_make_it_look(fast: Fast) -> None:
    fast.feed.next = changes(whole=True)
    async with fast.running():
        for revision, cause in enumerate(("announced", "missed", "time"), 2):
            fast.feed.next = changes(a_stored(fresh()), revision=revision)
            if cause == "announced":
                await fast.announcements.publish()
            elif cause == "missed":
                fast.stored.missed(fresh(), 0.0)
            else:
                fast.time_is_up.set()
            await fast.look()
            assert fast.stored.revision == revision
    assert len(fast.stored) == 3


async def test_a_database_that_is_away_leaves_the_keys_and_says_so_once(
    fast: Fast, caplog: pytest.LogCaptureFixture
) -> None:
    fast.feed.next = changes(a_stored(fresh()), whole=True)
    async with fast.running():
        fast.feed.next = LedgerError("gone")
        for _ in range(3):
            fast.time_is_up.set()
            async with asyncio.timeout(5):
                await fast.feed.looked.wait()
            fast.feed.looked.clear()
            await asyncio.sleep(0.01)
        assert len(fast.stored) == 1
        assert caplog.text.count("gone") == 1
        fast.feed.next = changes(a_stored(fresh()), revision=2)
        fast.time_is_up.set()
        await fast.look()
        assert len(fast.stored) == 2


async def test_a_bug_does_not_end_the_following(fast: Fast, caplog: pytest.LogCaptureFixture) -> None:
    fast.feed.next = changes(whole=True)
    async with fast.running():
        fast.feed.next = changes(a_stored(fresh(), networks=("10.0.0.0/8",)), revision=2)._replace(orgs=[None])  # type: ignore[list-item]
        fast.time_is_up.set()
        async with asyncio.timeout(5):
            await fast.feed.looked.wait()
        fast.feed.looked.clear()
        await asyncio.sleep(0.05)
        assert "AttributeError" in caplog.text
        fast.feed.next = changes(a_stored(fresh()), revision=3)
        fast.time_is_up.set()
        await fast.look()
        assert fast.stored.revision == 3


async def test_without_keys_in_the_file_a_store_that_cannot_be_read_is_no_start(fast: Fast) -> None:
    fast.feed.next = LedgerError("gone")
    with pytest.raises(StartError, match="gone"):
        await fast.sync.start(may_be_late=False)


async def test_with_keys_in_the_file_the_store_may_come_later_and_keys_are_required(
    fast: Fast, caplog: pytest.LogCaptureFixture
) -> None:
    fast.feed.next = LedgerError("gone")
    with caplog.at_level(logging.WARNING):
        async with fast.running(may_be_late=True):
            assert fast.stored.required
            fast.feed.next = changes(a_stored(fresh()), whole=True, revision=4)
            fast.time_is_up.set()
            await fast.look()
            assert len(fast.stored) == 1
    assert caplog.text.count("gone") == 1


async def test_use_is_carried_back_now_and_then_and_at_the_end(
    fast: Fast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fast.feed.next = changes(whole=True)
    async with fast.running():
        fast.stored.used["a"] = 5.0
        fast.time_is_up.set()
        await fast.look()
        assert fast.feed.noted == []
        monkeypatch.setattr(fast.sync, "_noted_s", fast.sync._noted_s - NOTE_EVERY_S)
        fast.time_is_up.set()
        await fast.look()
        await asyncio.sleep(0.01)
        assert fast.feed.noted == [{"a": 5_000}]
        fast.stored.used["b"] = 6.0
        fast.feed.next = LedgerError("gone")
    assert fast.feed.noted == [{"a": 5_000}, {"b": 6_000}]
    assert "not noted" in caplog.text


async def test_keys_and_time_zones_are_built_off_the_event_loop(fast: Fast, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    built = fast.stored.built

    def watched(found: Changes) -> Built:
        threads.append(threading.get_ident())
        return built(found)

    monkeypatch.setattr(fast.stored, "built", watched)
    fast.feed.next = changes(a_stored(fresh()), whole=True, orgs=(Org(name="o", timezone="Asia/Tokyo"),))
    async with fast.running():
        assert str(fast.stored.zone_of("o")) == "Asia/Tokyo"
    assert threads
    assert threading.get_ident() not in threads


async def test_what_did_not_fit_is_asked_for_again_when_there_is_room(fast: Fast) -> None:
    fast.stored.keys_max = 2
    first, second, third = (a_stored(fresh()) for _ in range(3))
    fast.feed.next = changes(first, second, third, whole=True)
    async with fast.running():
        assert fast.stored.is_full
        fast.feed.next = changes(second, third, revision=2, whole=True)
        await fast.sync.look()
        assert not fast.stored.is_full
        assert third.key.id in fast.stored


async def test_waiting_ends_with_news_or_in_time() -> None:
    news = asyncio.Event()
    async with asyncio.timeout(2):
        await wait_for(news, 0.01)
        news.set()
        await wait_for(news, 60.0)
