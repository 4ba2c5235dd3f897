"""The tables of keys and owners, and how a row becomes a record and back.

Every change takes the one row of `key_changes` first. So changes come one after the other, their revisions in the order
of their commits (a reader that asks for what is newer than the last it saw misses none), and what one of them looks at
before it writes (has this team keys?) stays true until it commits. Owners are referred to by name, without foreign
keys: the policy file may have them instead, and a revoked key names them after they are gone. Imports SQLAlchemy, so it
is imported by those that are about to use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text, select, update

from gateway.state.keys.records import FLAGS, Key, Member, Org, StoredSecret

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

METADATA: Final = MetaData()
JSON_COLUMNS: Final = ("routes", "networks", "tags", "limits", "require_data_classes")


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text) for name in names]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger) for name in names]


CHANGES: Final = Table("key_changes", METADATA, Column("only", Integer), *_numbers("revision"))
ORGS: Final = Table("orgs", METADATA, *_texts("name", "timezone"), *_numbers("weight", "revision"))
TEAMS: Final = Table("teams", METADATA, *_texts("org", "name"), *_numbers("revision"))
USERS: Final = Table("users", METADATA, *_texts("org", "name"), *_numbers("revision"))
KEYS: Final = Table(
    "virtual_keys",
    METADATA,
    *_texts(
        "id", "org", "name", "env", "last4", "team", "user", "priority", "require_region", "content", *JSON_COLUMNS
    ),
    *_numbers("output_tokens_default", "not_before_ms", "expires_at_ms", "revoked_at_ms", "last_used_at_ms"),
    *_numbers(*FLAGS, "created_at_ms", "revision"),
)
SECRETS: Final = Table(
    "key_secrets",
    METADATA,
    *_texts("key_id", "pepper"),
    Column("digest", LargeBinary),
    *_numbers("created_at_ms", "expires_at_ms"),
)


async def next_revision(connection: AsyncConnection) -> int:
    """The revision of the change that begins here; others wait until it is committed or given up."""
    await connection.execute(update(CHANGES).values(revision=CHANGES.c.revision + 1))
    return await current_revision(connection)


async def current_revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(CHANGES.c.revision))).scalar_one())


async def secrets_of(connection: AsyncConnection, key_id: str) -> list[StoredSecret]:
    """The newest first."""
    rows = await connection.execute(
        select(SECRETS)
        .where(SECRETS.c.key_id == key_id)
        .order_by(SECRETS.c.created_at_ms.desc(), SECRETS.c.expires_at_ms)
    )
    return newest_first(map(secret_of, rows))


def newest_first(found: Any) -> list[StoredSecret]:  # noqa: ANN401 - any iterable
    """The secret without an end is the newest: two may have been made in the same millisecond."""
    return sorted(found, key=lambda secret: (secret.expires_at_ms is not None, -secret.created_at_ms))


def secret_of(row: Row[Any]) -> StoredSecret:
    return StoredSecret(bytes(row.digest), row.pepper, row.created_at_ms, row.expires_at_ms)


def org_of(row: Row[Any]) -> Org:
    return Org(name=row.name, timezone=row.timezone, weight=row.weight, revision=row.revision)


def member_of(row: Row[Any]) -> Member:
    return Member(org=row.org, name=row.name, revision=row.revision)


def key_of(row: Row[Any], secrets: list[StoredSecret]) -> Key:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    values |= {name: _read(values[name]) for name in JSON_COLUMNS}
    former = secrets[1].expires_at_ms if len(secrets) > 1 else None
    flags = {name: bool(values[name]) for name in FLAGS}
    return Key(**values | flags | {"former_until_ms": former})


def row_of(terms: dict[str, Any]) -> dict[str, Any]:
    """The terms of a key as columns."""
    written = {name: None if terms[name] is None else _write(terms[name]) for name in JSON_COLUMNS}
    return terms | written


def _write(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read(text: str | None) -> tuple[Any, ...] | None:
    return None if text is None else tuple(msgspec.json.decode(text))
