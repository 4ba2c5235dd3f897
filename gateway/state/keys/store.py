"""Virtual keys in the database: made, changed, rotated and revoked. What callers present is checked in `key_view`.

Of a secret the store keeps an HMAC under a pepper that is not in the database, never the secret; nothing it keeps is
ever taken for one. Keys are never deleted: a revoked one stays as history, and says for good that keys are required.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from gateway.keys.virtual_keys import Refusal, check, generate, public_id, same_digest
from gateway.state.keys.listing import keys_of, listed
from gateway.state.keys.owner_store import check_revision, require_member, require_org
from gateway.state.keys.records import Conflict, Invalid, Issued, KeyChange, ManagedElsewhere, NotFound, is_name
from gateway.state.keys.shapes import NewKeyShape, TermsShape, terms_of
from gateway.state.keys.tables import KEYS, SECRETS, TEAMS, USERS, row_of, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.keys.peppers import Pepper, Peppers
    from gateway.keys.virtual_keys import KeyRing
    from gateway.state.keys.changes import ChangeLog
    from gateway.state.keys.records import Key, KeyFilter, ManagedOwners, NewKey, Page, StoredSecret
    from policies.vocabulary import Predicate

OVERLAP_MAX_S: Final = 30 * 86_400.0


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Rules(NamedTuple):
    """What the store asks the rest of the gateway: what the policy file in force says, and how a `when` is compiled."""

    managed: Callable[[], KeyRing]
    owners: Callable[[], ManagedOwners]
    predicate: Callable[[str], Predicate]


class KeyStore:
    """The keys. Methods raise `KeyStoreError`s, and `LedgerError` where the database does not do it."""

    def __init__(self, log: ChangeLog, peppers: Peppers, rules: Rules, now_ms: Callable[[], int] = unix_ms) -> None:
        self._log = log
        self._peppers = peppers
        self._rules = rules
        self._now_ms = now_ms

    async def create(self, new: NewKey) -> Issued:
        """A key and its secret. Raises `Invalid`, `Conflict` for a name that is taken, `ManagedElsewhere`."""
        terms = terms_of(NewKeyShape, msgspec.to_builtins(new), self._rules.predicate)
        now_ms = self._now_ms()
        if terms["expires_at_ms"] is not None and terms["expires_at_ms"] <= now_ms:
            raise Invalid("expires_at_ms", "is in the past")
        pepper = await asyncio.to_thread(self._peppers.for_new_keys)
        secret = generate(terms["env"])
        key_id = public_id(secret) or ""
        row = {"id": key_id, "last4": last4(secret), "created_at_ms": now_ms, **row_of(terms)}
        async with self._log.change() as (connection, revision):
            await require_org(connection, terms["org"], self._rules.owners())
            await self._check_names(connection, terms)
            await connection.execute(insert(KEYS).values(**row, revision=revision))
            await connection.execute(insert(SECRETS).values(**_secret_row(key_id, secret, pepper, now_ms)))
            made = await _found(connection, key_id)
        return Issued(made, secret)

    async def get(self, key_id: str) -> Key:
        """Raises `NotFound`, `ManagedElsewhere` for a key of the policy file."""
        self._check_managed(key_id)
        async with self._log.read() as connection:
            return await _found(connection, key_id)

    async def list(self, wanted: KeyFilter, cursor: str | None = None, limit: int = 100) -> Page:
        """The keys that are wanted in the order of their creation, from `cursor` on. Raises `Invalid`."""
        async with self._log.read() as connection:
            return await listed(connection, wanted, cursor, limit)

    async def update(self, key_id: str, change: KeyChange, revision: int | None = None) -> Key:
        """Raises as `create` does, `NotFound`, and `Conflict` for a revoked key or one no more at `revision`."""
        self._check_managed(key_id)
        given = msgspec.to_builtins(change)
        async with self._log.change() as (connection, new):
            key = await self._living(connection, key_id, revision)
            now = {name: getattr(key, name) for name in TermsShape.model_fields} | {"org": key.org, "env": key.env}
            terms = terms_of(NewKeyShape, now | given, self._rules.predicate)
            await self._check_names(connection, terms, was=key)
            await connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(**row_of(terms), revision=new))
            return await _found(connection, key_id)

    async def disable(self, key_id: str, revision: int | None = None) -> Key:
        """Until `enable`. Raises as `update` does."""
        return await self.update(key_id, KeyChange(disabled=True), revision)

    async def enable(self, key_id: str, revision: int | None = None) -> Key:
        return await self.update(key_id, KeyChange(disabled=False), revision)

    async def rotate(self, key_id: str, overlap_s: float = 0.0, revision: int | None = None) -> Issued:
        """A new secret; the one before works on for `overlap_s`, any older one no more. Raises as `update` does."""
        self._check_managed(key_id)
        if not 0 <= overlap_s <= OVERLAP_MAX_S:
            raise Invalid("overlap_s", f"must be from 0 to {OVERLAP_MAX_S:.0f}")
        pepper = await asyncio.to_thread(self._peppers.for_new_keys)
        now_ms = self._now_ms()
        async with self._log.change() as (connection, new):
            key = await self._living(connection, key_id, revision)
            secret = generate(key.env, key_id=key_id)
            before = (await secrets_of(connection, key_id))[0]
            await connection.execute(delete(SECRETS).where(SECRETS.c.key_id == key_id))
            rows = [_secret_row(key_id, secret, pepper, now_ms)]
            if overlap_s:
                until_ms = now_ms + round(overlap_s * 1000)
                rows.append({"key_id": key_id, **before._asdict(), "expires_at_ms": until_ms})
            await connection.execute(insert(SECRETS), rows)
            changed = {"last4": last4(secret), "revision": new}
            await connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(**changed))
            made = await _found(connection, key_id)
        return Issued(made, secret)

    async def revoke(self, key_id: str, revision: int | None = None) -> Key:
        """For good. A key that is revoked already stays as it is. Raises `NotFound`, `Conflict`, `ManagedElsewhere`."""
        self._check_managed(key_id)
        async with self._log.change() as (connection, new):
            key = await _found(connection, key_id)
            if key.revoked_at_ms is not None:
                return key
            check_revision(key, revision)
            changed = {"revoked_at_ms": self._now_ms(), "revision": new}
            await connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(**changed))
            return await _found(connection, key_id)

    async def revoke_leaked(self, presented: str) -> Key:
        """Revoke the key that this is, whole, whichever of its secrets; for those who found one somewhere.

        Raises `NotFound` unless it is really one: its public part alone may stand in any log. `ManagedElsewhere`.
        """
        refusal = check(presented) if presented.isascii() else Refusal.MALFORMED
        found = self._rules.managed().identify(presented, 0.0, str)
        if not isinstance(found, Refusal) or found not in (Refusal.UNKNOWN, Refusal.MALFORMED, Refusal.CHECKSUM):
            raise ManagedElsewhere("this key")
        key_id = public_id(presented) if refusal is None else None
        if key_id is not None:
            async with self._log.read() as connection:
                secrets = await secrets_of(connection, key_id)
            if any(self._is(presented, secret) for secret in secrets):
                return await self.revoke(key_id)
        raise NotFound("no key of this store has this secret")

    def _is(self, presented: str, secret: StoredSecret) -> bool:
        mac = self._peppers.mac_of(secret.pepper)
        return mac is not None and same_digest(mac.digest(presented.encode()), secret.digest)

    async def _living(self, connection: AsyncConnection, key_id: str, revision: int | None) -> Key:
        key = await _found(connection, key_id)
        check_revision(key, revision)
        if key.revoked_at_ms is not None:
            raise Conflict(f"the key '{key.name}' is revoked, for good")
        return key

    async def _check_names(self, connection: AsyncConnection, terms: dict[str, Any], was: Key | None = None) -> None:
        """The key's name is free, and its owners are there; what stays as it was is not asked about."""
        org, name = terms["org"], terms["name"]
        if was is None or was.name != name:
            if any((held.org, held.key_name) == (org, name) for held in self._rules.managed().principals()):
                raise ManagedElsewhere(f"key '{name}'")
            living = (KEYS.c.org == org) & (KEYS.c.name == name) & KEYS.c.revoked_at_ms.is_(None)
            if (await connection.execute(select(KEYS.c.id).where(living))).first() is not None:
                raise Conflict(f"the org '{org}' has a key '{name}' already")
        if was is None or was.team != terms["team"]:
            await require_member(connection, TEAMS, org, terms["team"], self._rules.owners())
        if was is None or was.user != terms["user"]:
            await require_member(connection, USERS, org, terms["user"], self._rules.owners())

    def _check_managed(self, key_id: str) -> None:
        if not is_name(key_id):
            raise NotFound("there is no such key")
        for held in self._rules.managed().principals():
            if held.key_id == key_id:
                raise ManagedElsewhere(f"key '{held.key_name}'")


def last4(secret: str) -> str:
    """What tells one secret from another for those who hold it; not of the checksum, which says nothing of its own."""
    return secret[:-7][-4:]


async def _found(connection: AsyncConnection, key_id: str) -> Key:
    rows = await keys_of(connection, select(KEYS).where(KEYS.c.id == key_id))
    if not rows:
        raise NotFound(f"there is no key '{key_id}'" if public_shape(key_id) else "there is no such key")
    return rows[0].key


def public_shape(key_id: str) -> bool:
    """Whether a text may be repeated as a key's public part: somebody may have given the secret for it."""
    return len(key_id) <= 12 and key_id.isalnum()


def _secret_row(key_id: str, secret: str, pepper: Pepper, now_ms: int) -> dict[str, Any]:
    return {
        "key_id": key_id,
        "digest": pepper.mac.digest(secret.encode()),
        "pepper": pepper.version,
        "created_at_ms": now_ms,
        "expires_at_ms": None,
    }
