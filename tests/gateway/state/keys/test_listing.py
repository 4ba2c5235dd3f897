from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.state.keys.records import Invalid, KeyChange, KeyFilter, NewKey, Org
from tests.gateway.state.key_stores import NOW_MS, Stores, stores

if TYPE_CHECKING:
    from gateway.state.database import Database


@pytest.fixture
def made(database: Database) -> Stores:
    return stores(database)


async def names(made: Stores, wanted: KeyFilter, limit: int = 100) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await made.keys.list(wanted, cursor, limit)
        assert len(page.keys) <= limit
        found += [key.name for key in page.keys]
        if (cursor := page.cursor) is None:
            return found


async def test_pages_have_every_key_once_in_the_order_of_creation(made: Stores) -> None:
    """Keys of one millisecond too, and with a key made while somebody reads."""
    for number in range(7):
        made.clock.now_ms += number % 2
        await made.keys.create(NewKey(name=f"k{number}"))
    everything = await names(made, KeyFilter())
    assert sorted(everything) == [f"k{number}" for number in range(7)]
    for limit in (1, 2, 3, 7, 8):
        assert await names(made, KeyFilter(), limit) == everything
    first = await made.keys.list(KeyFilter(), limit=4)
    made.clock.now_ms += 1
    await made.keys.create(NewKey(name="late"))
    rest = await made.keys.list(KeyFilter(), first.cursor, limit=100)
    assert [key.name for key in (*first.keys, *rest.keys)] == [*everything, "late"]


async def test_lists_have_what_is_wanted_only(made: Stores) -> None:
    await made.orgs.create(Org(name="acme"))
    await made.teams.create("default", "red")
    await made.users.create("default", "ada")
    made_as: dict[str, dict[str, Any]] = {
        "a": {"team": "red", "tags": ("cost:1", "x")},
        "b": {"user": "ada", "tags": ("cost:11",)},
        "c": {"org": "acme", "tags": ("cost_1",)},
        "d": {},
    }
    for name, terms in made_as.items():
        key = (await made.keys.create(NewKey(name=name, **terms))).key
        made.clock.now_ms += 1
    await made.keys.revoke(key.id)
    for wanted, expected in (
        (KeyFilter(), "abcd"),
        (KeyFilter(org="acme"), "c"),
        (KeyFilter(team="red"), "a"),
        (KeyFilter(user="ada"), "b"),
        (KeyFilter(name="b"), "b"),
        (KeyFilter(tag="cost:1"), "a"),
        (KeyFilter(tag="cost_1"), "c"),
        (KeyFilter(tag="cost:%"), ""),
        (KeyFilter(tag='x","y'), ""),
        (KeyFilter(tag="' OR 1=1 --"), ""),
        (KeyFilter(revoked=True), "d"),
        (KeyFilter(revoked=False), "abc"),
        (KeyFilter(org="default", revoked=False), "ab"),
        (KeyFilter(name="%"), ""),
    ):
        assert await names(made, wanted) == list(expected), wanted


@pytest.mark.parametrize(
    "cursor", ["x", "", "!!!!", "MQ", "OjE", "é", "a" * 10_000, "MTIzOgBh", "OTk5OTk5OTk5OTk5OTk5OTk5OmE"]
)
async def test_a_made_up_cursor_is_refused(made: Stores, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        await made.keys.list(KeyFilter(), cursor)
    assert refused.value.field == "cursor"


@pytest.mark.parametrize("field", ["org", "team", "user", "name", "tag"])
@pytest.mark.parametrize("text", ["\0", "\udcff", "é", "x" * 201])
async def test_what_is_no_name_is_not_looked_for(made: Stores, field: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        await made.keys.list(msgspec.convert({field: text}, KeyFilter))
    assert refused.value.field == field


@pytest.mark.parametrize("limit", [0, -1, 1_001])
async def test_a_page_has_a_sensible_size(made: Stores, limit: int) -> None:
    with pytest.raises(Invalid, match="limit"):
        await made.keys.list(KeyFilter(), limit=limit)


async def test_the_feed_gives_each_change_once(made: Stores) -> None:
    assert await made.feed.changes(0, 10) is None
    first = (await made.keys.create(NewKey(name="a"))).key
    second = (await made.keys.create(NewKey(name="b"))).key
    whole = await made.feed.changes(None, 10)
    assert whole is not None
    assert (whole.whole, whole.had_keys, whole.revision) == (True, True, second.revision)
    assert {stored.key.id for stored in whole.keys} == {first.id, second.id}
    assert [org.name for org in whole.orgs] == ["default"]
    await made.keys.update(first.id, KeyChange(tags=("x",)))
    await made.orgs.create(Org(name="acme"))
    news = await made.feed.changes(whole.revision, 10)
    assert news is not None
    assert (news.whole, [stored.key.tags for stored in news.keys]) == (False, [("x",)])
    assert [org.name for org in news.orgs] == ["acme"]
    assert await made.feed.changes(news.revision, 10) is None


async def test_a_revoked_key_is_news_and_then_no_part_of_the_whole(made: Stores) -> None:
    key = (await made.keys.create(NewKey(name="a"))).key
    await made.keys.revoke(key.id)
    news = await made.feed.changes(key.revision, 10)
    assert news is not None
    assert [stored.key.revoked_at_ms for stored in news.keys] == [NOW_MS]
    whole = await made.feed.changes(None, 10)
    assert whole is not None
    assert (whole.keys, whole.had_keys) == ([], True)


async def test_a_store_that_has_gone_back_is_read_whole(made: Stores) -> None:
    await made.keys.create(NewKey(name="a"))
    changes = await made.feed.changes(10_000, 10)
    assert changes is not None
    assert changes.whole
    assert len(changes.keys) == 1


async def test_no_more_is_read_than_asked_for(made: Stores) -> None:
    for name in "abc":
        await made.keys.create(NewKey(name=name))
    changes = await made.feed.changes(None, 2)
    assert changes is not None
    assert len(changes.keys) == 2
    assert all(len(stored.secrets) == 1 for stored in changes.keys)


async def test_use_is_noted_coarsely_and_never_goes_back(made: Stores) -> None:
    first = (await made.keys.create(NewKey(name="a"))).key
    second = (await made.keys.create(NewKey(name="b"))).key
    before = await made.feed.changes(None, 10)
    assert before is not None
    await made.feed.note_use({})
    await asyncio.gather(
        made.feed.note_use({first.id: NOW_MS + 5, second.id: NOW_MS + 1, "unknown": 7}),
        made.feed.note_use({second.id: NOW_MS + 9}),
    )
    await made.feed.note_use({first.id: NOW_MS + 2})
    assert (await made.keys.get(first.id)).last_used_at_ms == NOW_MS + 5
    assert (await made.keys.get(second.id)).last_used_at_ms == NOW_MS + 9
    assert (await made.keys.get(first.id)).revision == first.revision
    assert await made.feed.changes(before.revision, 10) is None, "nobody needs to hear of it"
