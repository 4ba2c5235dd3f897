from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.state.keys.records import Conflict, Invalid, KeyChange, ManagedElsewhere, NewKey, NotFound, Org, Outdated
from tests.gateway.state.key_stores import Stores, stores

if TYPE_CHECKING:
    from gateway.state.database import Database
    from gateway.state.keys.owner_store import MemberStore


@pytest.fixture
def made(database: Database) -> Stores:
    return stores(database)


def members(made: Stores, what: str) -> MemberStore:
    return made.teams if what == "team" else made.users


def new_key(what: str, owner: str, org: str = "default") -> NewKey:
    return msgspec.convert({"name": "ci", "org": org, what: owner}, NewKey)


def change(what: str, owner: str | None) -> KeyChange:
    return msgspec.convert({what: owner}, KeyChange)


async def test_an_org_is_made_changed_and_removed(made: Stores) -> None:
    org = await made.orgs.create(Org(name="acme", timezone="Europe/Berlin", weight=3))
    assert await made.orgs.get("acme") == org
    assert [each.name for each in await made.orgs.list()] == ["acme", "default"]
    changed = await made.orgs.update(Org(name="acme", timezone="UTC", weight=5), org.revision)
    assert (changed.timezone, changed.weight) == ("UTC", 5)
    with pytest.raises(Outdated):
        await made.orgs.update(Org(name="acme"), org.revision)
    with pytest.raises(Outdated):
        await made.orgs.delete("acme", org.revision)
    await made.orgs.delete("acme", changed.revision)
    with pytest.raises(NotFound):
        await made.orgs.get("acme")


@pytest.mark.parametrize(
    ("org", "field"),
    [
        (Org(name=""), "name"),
        (Org(name="deployment:gpt"), "name"),
        (Org(name="a", timezone="Mars/Olympus"), "timezone"),
        (Org(name="a", timezone="../../etc/passwd"), "timezone"),
        (Org(name="a", timezone="x" * 5_000), "timezone"),
        (Org(name="a", timezone="UTC\0"), "timezone"),
        (Org(name="a", weight=0), "weight"),
        (Org(name="a", weight=10**9), "weight"),
    ],
)
async def test_what_no_org_can_be_is_refused(made: Stores, org: Org, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await made.orgs.create(org)
    assert refused.value.field == field
    assert [each.name for each in await made.orgs.list()] == ["default"]


async def test_an_org_stays_while_something_is_its(made: Stores) -> None:
    for what in ("team", "user"):
        await made.orgs.create(Org(name="acme"))
        await members(made, what).create("acme", "one")
        with pytest.raises(Conflict, match=what):
            await made.orgs.delete("acme")
        await members(made, what).delete("acme", "one")
        await made.orgs.delete("acme")
    await made.orgs.create(Org(name="acme"))
    key = (await made.keys.create(NewKey(name="ci", org="acme"))).key
    await made.keys.revoke(key.id)
    with pytest.raises(Conflict, match="keys"):
        await made.orgs.delete("acme")
    with pytest.raises(Conflict, match="default"):
        await made.orgs.delete("default")


@pytest.mark.parametrize("what", ["team", "user"])
async def test_a_team_or_user_with_keys_stays(made: Stores, what: str) -> None:
    kept = members(made, what)
    await kept.create("default", "one")
    key = (await made.keys.create(new_key(what, "one"))).key
    with pytest.raises(Conflict, match="has keys"):
        await kept.delete("default", "one")
    await made.keys.update(key.id, change(what, None))
    await kept.delete("default", "one")
    await kept.create("default", "one")
    await made.keys.update(key.id, change(what, "one"))
    await made.keys.revoke(key.id)
    await kept.delete("default", "one")
    assert getattr(await made.keys.get(key.id), what) == "one", "a revoked key is history"
    assert await kept.list() == []


async def test_a_team_does_not_go_while_a_key_is_made_for_it(made: Stores) -> None:
    await made.teams.create("default", "one")
    await asyncio.gather(
        made.keys.create(NewKey(name="ci", team="one")), made.teams.delete("default", "one"), return_exceptions=True
    )
    changes = await made.feed.changes(None, 10)
    assert changes is not None
    assert len(changes.keys) + len(await made.teams.list()) in (0, 2), "both are there, or neither"


@pytest.mark.parametrize("what", ["team", "user"])
async def test_members_are_of_one_org(made: Stores, what: str) -> None:
    kept = members(made, what)
    await made.orgs.create(Org(name="acme"))
    one = await kept.create("acme", "one")
    await kept.create("default", "one")
    assert await kept.get("acme", "one") == one
    assert [(each.org, each.name) for each in await kept.list()] == [("acme", "one"), ("default", "one")]
    assert await kept.list("acme") == [one]
    with pytest.raises(Conflict):
        await kept.create("acme", "one")
    with pytest.raises(Invalid, match="org"):
        await kept.create("nowhere", "one")
    with pytest.raises(Invalid, match="name"):
        await kept.create("acme", "a b")
    with pytest.raises(NotFound):
        await kept.delete("acme", "two")
    with pytest.raises(Outdated):
        await kept.delete("acme", "one", one.revision - 1)
    await kept.create("default", "only-here")
    with pytest.raises(Invalid, match=f"{what}: '.*' is none of the org"):
        await made.keys.create(new_key(what, "only-here", org="acme"))


@pytest.mark.parametrize("name", ["", "\0", "\udcff", "é", "x" * 5_000, "' OR 1=1 --"])
async def test_what_is_no_name_is_nobodys(made: Stores, name: str) -> None:
    for attempt in (
        made.orgs.get(name),
        made.orgs.delete(name),
        made.teams.get(name, "a"),
        made.teams.get("default", name),
        made.users.delete("default", name),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert len(refused.value.message) < 100
    assert await made.teams.list(name) == []


async def test_owners_of_the_policy_file_serve_keys_and_are_changed_there(made: Stores) -> None:
    assert (await made.keys.create(NewKey(name="a", org="filed", team="crew"))).key.org == "filed"
    assert (await made.keys.create(NewKey(name="b", team="crew", user="bob"))).key.user == "bob"
    await made.teams.create("filed", "another")
    for attempt in (
        made.orgs.create(Org(name="filed")),
        made.orgs.update(Org(name="filed", weight=2)),
        made.orgs.delete("filed"),
        made.teams.create("filed", "crew"),
        made.teams.delete("default", "crew"),
        made.users.create("default", "bob"),
        made.users.delete("default", "bob"),
    ):
        with pytest.raises(ManagedElsewhere, match="managed by the policy file"):
            await attempt
