"""Stored keys without a database: what `Changes` would bring of them."""

from __future__ import annotations

from typing import Any

from gateway.keys.peppers import Peppers, pepper_of
from gateway.keys.stored_rules import StoredRules
from gateway.keys.view import KeyView, StoredKeys
from gateway.keys.virtual_keys import HeldKey, KeyRing, generate, public_id
from gateway.secret import Secret
from gateway.state.keys.records import Changes, Key, ManagedOwners, Org, StoredKey, StoredSecret
from policies.route_rules import NO_REQUIREMENTS, Requirements
from policies.vocabulary import Limit, LimitScope, Resource

PEPPERS = ("the newest pepper, 32 characters", "the pepper before, 32 characters")
NOW_S = 1_800_000_000.0
LIMIT = Limit("own.key.requests.60s", LimitScope.KEY, Resource.REQUESTS, 60, 60.0)


def digest(secret: str, until_s: float | None = None, pepper: str = PEPPERS[0]) -> StoredSecret:
    made = pepper_of(pepper)
    return StoredSecret(
        made.mac.digest(secret.encode()), made.version, 0, None if until_s is None else int(until_s * 1000)
    )


def a_key(secret: str, **terms: Any) -> Key:
    values: dict[str, Any] = {
        "id": public_id(secret),
        "name": f"name-of-{public_id(secret)}",
        "org": "default",
        "env": "live",
        "last4": "....",
        "disabled": False,
        "revoked_at_ms": None,
        "created_at_ms": 0,
        "last_used_at_ms": None,
        "former_until_ms": None,
        "revision": 1,
    }
    return Key(**values | terms)


def a_stored(secret: str, *more: StoredSecret, **terms: Any) -> StoredKey:
    return StoredKey(a_key(secret, **terms), (digest(secret), *more))


def changes(*keys: StoredKey, revision: int = 1, whole: bool = False, orgs: tuple[Org, ...] = ()) -> Changes:
    return Changes(revision, whole, had_keys=bool(keys), keys=list(keys), orgs=list(orgs))


def limits_of(key: Key) -> tuple[Limit, ...]:
    if key.limits != ({"requests": "60/min"},):
        raise ValueError("limits[0]: limits nothing")
    return (LIMIT,)


def a_store(*keys: StoredKey, keys_max: int = 1_000) -> StoredKeys:
    made = StoredKeys(Peppers(PEPPERS, None), limits_of, keys_max)
    made.take(changes(*keys, whole=True))
    return made


def a_view(stored: StoredKeys, *held: HeldKey, is_open: bool = True, owners: Requirements = NO_REQUIREMENTS) -> KeyView:
    words = {"smart": {"smart", "smart#2"}, "smart-*": {"smart"}, "fast": {"fast"}}
    rules = StoredRules({word: frozenset(names) for word, names in words.items()}, lambda *_: owners)
    return KeyView(KeyRing(held, b"p" * 32), stored, rules, ManagedOwners(), is_open=is_open)


def held(secret: str, name: str = "of-file") -> HeldKey:
    return HeldKey(Secret(secret), name)


def fresh() -> str:
    return generate("live")
