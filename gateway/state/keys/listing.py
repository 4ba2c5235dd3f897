"""Reading keys: in pages for people, and what is new for the nodes that hold them in memory."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import bindparam, select, tuple_, update

from gateway.state.keys.records import Changes, Invalid, Page, StoredKey, is_name
from gateway.state.keys.tables import (
    KEYS,
    ORGS,
    SECRETS,
    current_revision,
    key_of,
    newest_first,
    org_of,
    secret_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import BindParameter, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.state.keys.changes import ChangeLog
    from gateway.state.keys.records import KeyFilter, StoredSecret

PAGE_MAX: Final = 1_000


async def keys_of(connection: AsyncConnection, query: Select[Any]) -> list[StoredKey]:
    """The keys that a query of `virtual_keys` finds, each with its secrets."""
    rows = (await connection.execute(query)).all()
    ids = query.with_only_columns(KEYS.c.id).subquery()
    secrets: dict[str, list[StoredSecret]] = defaultdict(list)
    for row in await connection.execute(select(SECRETS).where(SECRETS.c.key_id.in_(select(ids.c.id)))):
        secrets[row.key_id].append(secret_of(row))
    found = []
    for row in rows:
        own = newest_first(secrets[row.id])
        found.append(StoredKey(key_of(row, own), tuple(own)))
    return found


async def listed(connection: AsyncConnection, wanted: KeyFilter, cursor: str | None, limit: int) -> Page:
    """One page, in the order of creation. Raises `Invalid`."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid("limit", f"must be from 1 to {PAGE_MAX}")
    query = _wanted(wanted).order_by(KEYS.c.created_at_ms, KEYS.c.id).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(KEYS.c.created_at_ms, KEYS.c.id) > tuple_(*_place(cursor)))
    keys = [stored.key for stored in await keys_of(connection, query)]
    last = keys[limit - 1] if len(keys) > limit else None
    return Page(keys[:limit], None if last is None else _cursor(last.created_at_ms, last.id))


def _wanted(wanted: KeyFilter) -> Select[Any]:
    query = select(KEYS)
    for name in ("org", "team", "user", "name"):
        if (value := _name(wanted, name)) is not None:
            query = query.where(KEYS.c[name] == value)
    if (tag := _name(wanted, "tag")) is not None:  # tags are written as a JSON list, so a quoted name is a whole one
        query = query.where(KEYS.c.tags.contains(msgspec.json.encode(tag).decode(), autoescape=True))
    if wanted.revoked is not None:
        query = query.where(KEYS.c.revoked_at_ms.is_not(None) if wanted.revoked else KEYS.c.revoked_at_ms.is_(None))
    return query


def _name(wanted: KeyFilter, field: str) -> str | None:
    value: str | None = getattr(wanted, field)
    if value is not None and not is_name(value):
        raise Invalid(field, "must be a name")
    return value


def _cursor(created_at_ms: int, key_id: str) -> str:
    return urlsafe_b64encode(f"{created_at_ms}:{key_id}".encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[int, str]:
    try:
        created, _, key_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
    except ValueError:
        created = key_id = ""
    if not (created.isdecimal() and created.isascii() and len(created) < 16 and key_id and is_name(key_id)):
        raise Invalid("cursor", "is not one that a list has given")
    return int(created), key_id


class KeyFeed:
    """What is new in the store, for `key_view`, and what that saw, for the store."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    async def changes(self, since: int | None, at_most: int) -> Changes | None:
        """What is newer than the revision `since`; all, up to `at_most` keys, for None or a store gone back."""
        async with self._log.read() as connection:
            # Read first, so that whatever comes in between is at worst read twice.
            revision = await current_revision(connection)
            if since == revision:
                return None
            whole = since is None or since > revision
            query, orgs = select(KEYS).order_by(KEYS.c.created_at_ms, KEYS.c.id), select(ORGS)
            if whole:
                query = query.where(KEYS.c.revoked_at_ms.is_(None)).limit(at_most)
            else:
                query, orgs = query.where(KEYS.c.revision > since), orgs.where(ORGS.c.revision > since)
            keys = await keys_of(connection, query)
            found = [org_of(row) for row in await connection.execute(orgs)]
            had_keys = (await connection.execute(select(KEYS.c.id).limit(1))).first() is not None
        return Changes(revision, whole, had_keys, keys, found)

    async def note_use(self, used: Mapping[str, int]) -> None:
        """When keys were last used, in Unix milliseconds; never an earlier time than is known."""
        at: BindParameter[int] = bindparam("at_ms")
        is_newer = KEYS.c.last_used_at_ms.is_(None) | (KEYS.c.last_used_at_ms < at)
        statement = update(KEYS).where((KEYS.c.id == bindparam("key")) & is_newer).values(last_used_at_ms=at)
        # Sorted: two nodes that note the same keys take them in the same order, and no deadlock comes of it.
        rows = [{"key": key_id, "at_ms": at_ms} for key_id, at_ms in sorted(used.items())]
        if rows:
            async with self._log.note() as connection:
                await connection.execute(statement, rows)
