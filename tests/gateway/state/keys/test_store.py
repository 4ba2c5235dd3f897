from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.keys.peppers import PepperError
from gateway.keys.virtual_keys import check, checksum, public_id
from gateway.state.keys.records import (
    Conflict,
    Invalid,
    KeyChange,
    KeyFilter,
    ManagedElsewhere,
    NewKey,
    NotFound,
    Org,
)
from tests.gateway.state.key_stores import FILE_KEY, NOW_MS, PEPPER, Stores, stores

if TYPE_CHECKING:
    from gateway.state.database import Database


@pytest.fixture
def made(database: Database) -> Stores:
    return stores(database)


FULL: dict[str, Any] = {
    "routes": ("smart", "gpt-*"),
    "networks": ("10.0.0.0/8", "2001:db8::/32"),
    "tags": ("cost:42", "blue"),
    "limits": ({"requests": "60/min"}, {"cost": "20 USD/month", "when": "true"}),
    "output_tokens_default": 500,
    "priority": "high",
    "uses_cache": False,
    "content": "redacted",
    "cost_in_body": True,
    "trust_trace_context": True,
    "require_region": "eu",
    "require_data_classes": ("phi", "pii"),
    "not_before_ms": NOW_MS + 1,
    "expires_at_ms": NOW_MS + 100_000,
}


async def test_a_key_is_made_with_all_that_was_said_and_its_secret_shown_once(made: Stores) -> None:
    await made.teams.create("default", "platform")
    await made.users.create("default", "ada")
    issued = await made.keys.create(NewKey(name="ci", team="platform", user="ada", env="test", **FULL))
    key = issued.key
    assert check(issued.secret) is None
    assert (key.id, key.last4) == (public_id(issued.secret), issued.secret[-11:-7])
    assert (key.name, key.org, key.team, key.user, key.env) == ("ci", "default", "platform", "ada", "test")
    assert {name: getattr(key, name) for name in FULL} == FULL
    assert (key.disabled, key.revoked_at_ms, key.last_used_at_ms, key.former_until_ms) == (False, None, None, None)
    assert key.created_at_ms == NOW_MS
    assert await made.keys.get(key.id) == key
    assert issued.secret not in repr(key)


async def test_the_database_never_sees_the_secret(made: Stores, database: Database) -> None:
    secret = (await made.keys.create(NewKey(name="ci"))).secret
    async with database.read() as connection:
        for table in ("virtual_keys", "key_secrets"):
            rows = (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()  # noqa: S608 - one of two
            assert len(rows) == 1
            kept = b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in rows[0])
            for part in (secret, secret.split("_")[2], secret[-10:]):
                assert part.encode() not in kept
            for plain in (hashlib.sha256(secret.encode()), hmac.new(PEPPER.encode(), secret.encode(), "sha256")):
                assert plain.digest() not in kept


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"org": "nobody's"}, "org"),
        ({"org": "unknown"}, "org"),
        ({"team": "unknown"}, "team"),
        ({"user": "unknown"}, "user"),
        ({"env": "LIVE"}, "env"),
        ({"env": "a_b"}, "env"),
        ({"routes": ()}, "routes"),
        ({"routes": ("ok", "not ok")}, "routes[1]"),
        ({"networks": ("10.0.0.1/8",)}, "networks[0]"),
        ({"networks": ("10.0.0.0/8", "anywhere")}, "networks[1]"),
        ({"networks": ("10.0.0.0/33",)}, "networks[0]"),
        ({"tags": ("x" * 101,)}, "tags[0]"),
        ({"tags": tuple(f"t{number}" for number in range(101))}, "tags"),
        ({"limits": ({"requests": "many"},)}, "limits[0].requests"),
        ({"limits": ({"requests": "60/min"}, {"wishes": 3})}, "limits[1].wishes"),
        ({"limits": ({},)}, "limits[0]"),
        ({"limits": ({"requests": "60/min", "when": "nonsense("},)}, "limits[0].when"),
        ({"limits": ({"requests": "60/min"}, {"requests": "70/min"})}, "limits[1]"),
        ({"output_tokens_default": 0}, "output_tokens_default"),
        ({"output_tokens_default": -1}, "output_tokens_default"),
        ({"output_tokens_default": 2**63}, "output_tokens_default"),
        ({"priority": "urgent"}, "priority"),
        ({"content": "all"}, "content"),
        ({"content": "FULL"}, "content"),
        ({"content": True}, "content"),
        ({"cost_in_body": 2}, "cost_in_body"),
        ({"trust_trace_context": None}, "trust_trace_context"),
        ({"require_region": "e u"}, "require_region"),
        ({"require_data_classes": ("phi", "")}, "require_data_classes[1]"),
        ({"require_data_classes": tuple(f"c{number}" for number in range(21))}, "require_data_classes"),
        ({"expires_at_ms": NOW_MS}, "expires_at_ms"),
        ({"expires_at_ms": 2**70}, "expires_at_ms"),
        ({"not_before_ms": NOW_MS + 2, "expires_at_ms": NOW_MS + 1}, "expires_at_ms"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place_and_leaves_nothing(
    made: Stores, terms: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await made.keys.create(NewKey(**{"name": "k"} | terms))
    assert refused.value.field == field
    assert len(refused.value.message) > 5
    assert (await made.keys.list(KeyFilter())).keys == []
    assert await made.feed.changes(0, 10) is None


async def test_one_living_key_of_an_org_has_a_name(made: Stores) -> None:
    await made.orgs.create(org("other"))
    first = (await made.keys.create(NewKey(name="ci"))).key
    await made.keys.create(NewKey(name="ci", org="other"))
    with pytest.raises(Conflict):
        await made.keys.create(NewKey(name="ci"))
    second = (await made.keys.create(NewKey(name="cd"))).key
    with pytest.raises(Conflict):
        await made.keys.update(second.id, KeyChange(name="ci"))
    await made.keys.revoke(first.id)
    assert (await made.keys.update(second.id, KeyChange(name="ci"))).name == "ci"


async def test_a_change_touches_what_it_names_only(made: Stores) -> None:
    await made.teams.create("default", "platform")
    key = (await made.keys.create(NewKey(name="ci", team="platform", **FULL))).key
    changed = await made.keys.update(key.id, KeyChange(routes=None, tags=("red",)))
    assert changed.routes is None
    assert changed.tags == ("red",)
    same = {"id", "name", "team", "networks", "limits", "expires_at_ms", "last4", "created_at_ms", "disabled"}
    assert {name: getattr(changed, name) for name in same} == {name: getattr(key, name) for name in same}
    assert changed.revision > key.revision
    with pytest.raises(Invalid):
        await made.keys.update(key.id, KeyChange(networks=("x",)))
    assert await made.keys.get(key.id) == changed


async def test_what_is_told_of_calls_is_changed_and_taken_back(made: Stores) -> None:
    key = (await made.keys.create(NewKey(name="ci"))).key
    assert (key.content, key.cost_in_body, key.trust_trace_context) == (None, False, False)
    changed = await made.keys.update(key.id, KeyChange(content="none", cost_in_body=True))
    assert (changed.content, changed.cost_in_body, changed.trust_trace_context) == ("none", True, False)
    changed = await made.keys.update(key.id, KeyChange(trust_trace_context=True))
    assert (changed.content, changed.cost_in_body, changed.trust_trace_context) == ("none", True, True)
    assert type(changed.content) is str
    usual = KeyChange(content=None, cost_in_body=False, trust_trace_context=False)
    back = await made.keys.update(key.id, usual)
    assert msgspec.structs.replace(back, revision=key.revision) == key
    changes = await made.feed.changes(key.revision, 10)
    assert changes is not None
    assert [stored.key for stored in changes.keys] == [back], "other nodes hear of it as of any change"


async def test_who_was_slower_hears_of_it(made: Stores) -> None:
    key = (await made.keys.create(NewKey(name="ci"))).key
    newer = await made.keys.update(key.id, KeyChange(tags=("a",)), key.revision)
    for attempt in (
        made.keys.update(key.id, KeyChange(tags=("b",)), key.revision),
        made.keys.rotate(key.id, 0.0, key.revision),
        made.keys.revoke(key.id, key.revision),
        made.keys.disable(key.id, key.revision),
    ):
        with pytest.raises(Conflict):
            await attempt
    assert await made.keys.get(key.id) == newer
    assert (await made.keys.disable(key.id, newer.revision)).disabled


async def test_changes_at_the_same_time_come_one_after_the_other(made: Stores) -> None:
    key = (await made.keys.create(NewKey(name="ci"))).key
    outcomes = await asyncio.gather(
        *(made.keys.update(key.id, KeyChange(tags=(f"t{number}",)), key.revision) for number in range(5)),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(won) == 1
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if isinstance(outcome, BaseException))
    assert await made.keys.get(key.id) == won[0]


async def test_rotation_leaves_two_secrets_at_most(made: Stores) -> None:
    first = await made.keys.create(NewKey(name="ci"))
    second = await made.keys.rotate(first.key.id, overlap_s=60)
    assert second.key.id == first.key.id
    assert second.secret != first.secret
    assert public_id(second.secret) == first.key.id
    assert second.key.former_until_ms == NOW_MS + 60_000
    third = await made.keys.rotate(first.key.id, overlap_s=30)
    changes = await made.feed.changes(None, 10)
    assert changes is not None
    (stored,) = changes.keys
    assert [secret.expires_at_ms for secret in stored.secrets] == [None, NOW_MS + 30_000]
    assert third.key.last4 == third.secret[-11:-7]
    fourth = await made.keys.rotate(first.key.id)
    assert fourth.key.former_until_ms is None


@pytest.mark.parametrize("overlap_s", [-1.0, 31 * 86_400.0, float("nan"), float("inf")])
async def test_an_overlap_has_an_end(made: Stores, overlap_s: float) -> None:
    key = (await made.keys.create(NewKey(name="ci"))).key
    with pytest.raises(Invalid, match="overlap_s"):
        await made.keys.rotate(key.id, overlap_s)


async def test_a_revoked_key_stays_revoked(made: Stores) -> None:
    key = (await made.keys.create(NewKey(name="ci"))).key
    made.clock.now_ms += 5
    revoked = await made.keys.revoke(key.id)
    assert revoked.revoked_at_ms == NOW_MS + 5
    made.clock.now_ms += 5
    assert await made.keys.revoke(key.id) == revoked
    for attempt in (made.keys.rotate(key.id), made.keys.enable(key.id), made.keys.update(key.id, KeyChange(tags=()))):
        with pytest.raises(Conflict, match="revoked"):
            await attempt


async def test_a_leaked_key_is_revoked_by_any_of_its_secrets_and_by_nothing_less(made: Stores) -> None:
    first = await made.keys.create(NewKey(name="ci"))
    await made.keys.rotate(first.key.id, overlap_s=60)
    stem = first.secret[:-39] + "0" * 32
    digest = hashlib.sha256(first.secret.encode()).hexdigest()
    for wrong in ("", first.key.id, first.secret[:-1], f"{stem}_{checksum(stem)}", digest, "é", first.secret + "\0"):
        with pytest.raises(NotFound):
            await made.keys.revoke_leaked(wrong)
    assert (await made.keys.get(first.key.id)).revoked_at_ms is None
    assert (await made.keys.revoke_leaked(first.secret)).revoked_at_ms == NOW_MS


async def test_what_the_policy_file_says_is_changed_there(made: Stores) -> None:
    own = public_id(FILE_KEY) or ""
    free = stores_free_id(made)
    for key_id in (own, free):
        for attempt in (
            made.keys.get(key_id),
            made.keys.update(key_id, KeyChange(tags=())),
            made.keys.rotate(key_id),
            made.keys.disable(key_id),
            made.keys.revoke(key_id),
        ):
            with pytest.raises(ManagedElsewhere, match="managed by the policy file"):
                await attempt
    for secret in (FILE_KEY, "f" * 30):
        with pytest.raises(ManagedElsewhere):
            await made.keys.revoke_leaked(secret)
    with pytest.raises(ManagedElsewhere):
        await made.keys.create(NewKey(name="of-file"))
    key = (await made.keys.create(NewKey(name="ci"))).key
    with pytest.raises(ManagedElsewhere):
        await made.keys.update(key.id, KeyChange(name="free"))


def stores_free_id(made: Stores) -> str:
    return next(held.key_id for held in made.keys._rules.managed().principals() if held.key_name == "free")


@pytest.mark.parametrize("key_id", ["", "unknown", "x' OR 1=1 --", "%", "é", "a" * 5000, "a\0", "\udcff"])
async def test_an_unknown_key_is_not_there(made: Stores, key_id: str) -> None:
    await made.keys.create(NewKey(name="ci"))
    for attempt in (made.keys.get(key_id), made.keys.revoke(key_id), made.keys.rotate(key_id)):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert len(refused.value.message) < 100


async def test_a_refused_change_is_not_announced_and_one_that_stands_is(made: Stores) -> None:
    told: list[None] = []
    await made.announcements.start(lambda: told.append(None))
    key = (await made.keys.create(NewKey(name="ci"))).key
    assert len(told) == 1
    with pytest.raises(Conflict):
        await made.keys.create(NewKey(name="ci"))
    assert len(told) == 1
    await made.keys.revoke(key.id)
    assert len(told) == 2


async def test_without_a_pepper_a_file_gets_one_and_a_server_refuses(database: Database) -> None:
    bare = stores(database, peppers=())
    if not database.is_sqlite:
        with pytest.raises(PepperError, match=r"secrets\.pepper"):
            await bare.keys.create(NewKey(name="ci"))
        return
    issued = await bare.keys.create(NewKey(name="ci"))
    later = stores(database, peppers=())
    await asyncio.to_thread(later.peppers.load)
    assert (await later.keys.revoke_leaked(issued.secret)).name == "ci"


def org(name: str) -> Org:
    return Org(name=name)
