"""Orgs, teams and users in the database. None goes while something of it is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from gateway.state.keys.records import Conflict, Invalid, ManagedElsewhere, Member, NotFound, Org, Outdated, is_name
from gateway.state.keys.shapes import MemberShape, OrgShape, accepted, check_timezone
from gateway.state.keys.tables import KEYS, ORGS, TEAMS, USERS, member_of, org_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.state.keys.changes import ChangeLog
    from gateway.state.keys.records import ManagedOwners

DEFAULT_ORG = "default"


class OrgStore:
    """The orgs. `managed` tells what the policy file says."""

    def __init__(self, log: ChangeLog, managed: Callable[[], ManagedOwners]) -> None:
        self._log = log
        self._managed = managed

    async def create(self, org: Org) -> Org:
        """Raises `Invalid`, `Conflict`, `ManagedElsewhere`."""
        self._check_managed(org.name)
        shape = accepted(OrgShape, {"name": org.name, "timezone": org.timezone, "weight": org.weight})
        await asyncio.to_thread(check_timezone, shape.timezone)
        async with self._log.change() as (connection, revision):
            if await has_org(connection, shape.name):
                raise Conflict(f"there is an org '{shape.name}' already")
            made = Org(name=shape.name, timezone=shape.timezone, weight=shape.weight, revision=revision)
            await connection.execute(insert(ORGS).values(**_columns(made)))
        return made

    async def list(self) -> list[Org]:
        """By name."""
        async with self._log.read() as connection:
            return [org_of(row) for row in await connection.execute(select(ORGS).order_by(ORGS.c.name))]

    async def get(self, name: str) -> Org:
        """Raises `NotFound`."""
        async with self._log.read() as connection:
            return await _org(connection, name)

    async def update(self, org: Org, revision: int | None = None) -> Org:
        """Give it another time zone or weight. Raises as `create` does, `NotFound`, `Conflict` when it is no more at
        `revision`.
        """
        self._check_managed(org.name)
        shape = accepted(OrgShape, {"name": org.name, "timezone": org.timezone, "weight": org.weight})
        await asyncio.to_thread(check_timezone, shape.timezone)
        async with self._log.change() as (connection, new):
            check_revision(await _org(connection, org.name), revision)
            made = Org(name=shape.name, timezone=shape.timezone, weight=shape.weight, revision=new)
            await connection.execute(update(ORGS).where(ORGS.c.name == org.name).values(**_columns(made)))
        return made

    async def delete(self, name: str, revision: int | None = None) -> None:
        """Raises `NotFound`, and `Conflict` for `default` and while it has teams, users or keys, revoked ones too."""
        self._check_managed(name)
        if name == DEFAULT_ORG:
            raise Conflict("the org 'default' stays: keys that name no org are its")
        async with self._log.change() as (connection, _):
            check_revision(await _org(connection, name), revision)
            for table, what in ((KEYS, "keys"), (TEAMS, "teams"), (USERS, "users")):
                if await _any(connection, table, table.c.org == name):
                    raise Conflict(f"the org '{name}' has {what}")
            await connection.execute(delete(ORGS).where(ORGS.c.name == name))

    def _check_managed(self, name: str) -> None:
        if name in self._managed().orgs:
            raise ManagedElsewhere(f"org '{name}'")


class MemberStore:
    """The teams of all orgs, or the users."""

    def __init__(self, log: ChangeLog, table: Table, managed: Callable[[], ManagedOwners]) -> None:
        self._log = log
        self._table = table
        self._managed = managed
        self._what = what_of(table)

    async def create(self, org: str, name: str) -> Member:
        """Raises `Invalid`, `Conflict`, `ManagedElsewhere`."""
        accepted(MemberShape, {"org": org, "name": name})
        self._check_managed(org, name)
        async with self._log.change() as (connection, revision):
            await require_org(connection, org, self._managed())
            if await _any(connection, self._table, self._is(org, name)):
                raise Conflict(f"the org '{org}' has a {self._what} '{name}' already")
            await connection.execute(insert(self._table).values(org=org, name=name, revision=revision))
        return Member(org=org, name=name, revision=revision)

    async def list(self, org: str | None = None) -> list[Member]:
        """By org and name."""
        query = select(self._table).order_by(self._table.c.org, self._table.c.name)
        if org is not None:
            if not is_name(org):
                return []
            query = query.where(self._table.c.org == org)
        async with self._log.read() as connection:
            return [member_of(row) for row in await connection.execute(query)]

    async def get(self, org: str, name: str) -> Member:
        """Raises `NotFound`."""
        async with self._log.read() as connection:
            return await self._member(connection, org, name)

    async def delete(self, org: str, name: str, revision: int | None = None) -> None:
        """Raises `NotFound`, `Conflict` while it has keys that are not revoked, `ManagedElsewhere`."""
        self._check_managed(org, name)
        async with self._log.change() as (connection, _):
            check_revision(await self._member(connection, org, name), revision)
            held = (KEYS.c.org == org) & (KEYS.c[self._what] == name) & KEYS.c.revoked_at_ms.is_(None)
            if await _any(connection, KEYS, held):
                raise Conflict(f"the {self._what} '{name}' has keys: revoke them or give them to another")
            await connection.execute(delete(self._table).where(self._is(org, name)))

    async def _member(self, connection: AsyncConnection, org: str, name: str) -> Member:
        if not (is_name(org) and is_name(name)):
            raise NotFound(f"there is no such {self._what}")
        row = (await connection.execute(select(self._table).where(self._is(org, name)))).first()
        if row is None:
            raise NotFound(f"the org '{org}' has no {self._what} '{name}'")
        return member_of(row)

    def _check_managed(self, org: str, name: str) -> None:
        if (org, name) in self._managed().members(self._what):
            raise ManagedElsewhere(f"{self._what} '{name}'")

    def _is(self, org: str, name: str) -> Any:  # noqa: ANN401 - SQLAlchemy's expressions
        return (self._table.c.org == org) & (self._table.c.name == name)


async def has_org(connection: AsyncConnection, name: str) -> bool:
    return await _any(connection, ORGS, ORGS.c.name == name)


async def require_org(connection: AsyncConnection, name: str, managed: ManagedOwners) -> None:
    """Raises `Invalid`."""
    if name not in managed.orgs and not await has_org(connection, name):
        raise Invalid("org", f"'{name}' does not exist")


async def require_member(
    connection: AsyncConnection, table: Table, org: str, name: str | None, managed: ManagedOwners
) -> None:
    """Raises `Invalid` for a team or user that the org does not have."""
    what = what_of(table)
    if name is None or (org, name) in managed.members(what):
        return
    if not await _any(connection, table, (table.c.org == org) & (table.c.name == name)):
        raise Invalid(what, f"'{name}' is none of the org '{org}'")


def what_of(table: Table) -> str:
    return "team" if table is TEAMS else "user"


def check_revision(record: Any, revision: int | None) -> None:  # noqa: ANN401 - any record that has one
    """Raises `Outdated` where somebody has changed the record since it was seen at `revision`."""
    if revision is not None and record.revision != revision:
        raise Outdated(f"it was changed meanwhile: it is at revision {record.revision}, not {revision}")


async def _org(connection: AsyncConnection, name: str) -> Org:
    if not is_name(name):
        raise NotFound("there is no such org")
    row = (await connection.execute(select(ORGS).where(ORGS.c.name == name))).first()
    if row is None:
        raise NotFound(f"'{name}' does not exist")
    return org_of(row)


async def _any(connection: AsyncConnection, table: Table, condition: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's expressions
    return (await connection.execute(select(1).select_from(table).where(condition).limit(1))).first() is not None


def _columns(org: Org) -> dict[str, Any]:
    return {"name": org.name, "timezone": org.timezone, "weight": org.weight, "revision": org.revision}
