"""The routes of orgs, teams and users. A team or a user has nothing but its name, so there is nothing to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.admin.answers import NOTHING, as_json, as_record
from gateway.admin.key_routes import seen
from gateway.admin.routes import Permission, Precondition, Route, Told
from gateway.admin.shapes import (
    MemberQuery,
    MemberToCreate,
    OrgList,
    OrgToChange,
    OrgToCreate,
    TeamList,
    UserList,
    given,
    set_or_none,
)
from gateway.state.keys.records import Member, Org

if TYPE_CHECKING:
    from gateway.admin.answers import Answer
    from gateway.admin.routes import Asked
    from gateway.keys.service import KeyService
    from gateway.state.keys.owner_store import MemberStore, OrgStore

BASE: Final = "/admin/v1"
READ, WRITE = Permission.OWNERS_READ, Permission.OWNERS_WRITE
HEEDED, REQUIRED = Precondition.HEEDED, Precondition.REQUIRED
DELETED: Final = {204: Told("It is deleted.")}


class OrgRoutes:
    def __init__(self, service: KeyService) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        orgs, org = f"{BASE}/orgs", f"{BASE}/orgs/{{org}}"
        one, made = {200: Told("The org.", Org)}, {201: Told("The org, made.", Org)}
        return (
            Route("GET", orgs, READ, self._list, "List orgs", answers={200: Told("The orgs.", OrgList)}),
            Route("POST", orgs, WRITE, self._create, "Create an org", body=OrgToCreate, answers=made),
            Route("GET", org, READ, self._get, "Show an org", answers=one),
            Route(
                "PATCH", org, WRITE, self._change, "Change an org",
                body=OrgToChange, precondition=REQUIRED, answers=one,
            ),
            Route("DELETE", org, WRITE, self._delete, "Delete an empty org", precondition=HEEDED, answers=DELETED),
        )  # fmt: skip

    async def _list(self, _: Asked) -> Answer:
        return as_json(OrgList(orgs=await (await self._orgs()).list()))

    async def _create(self, asked: Asked) -> Answer:
        org = await seen(self._service, (await self._orgs()).create(Org(**given(asked.body))))
        return as_record(org, org.revision, 201, (("location", f"{BASE}/orgs/{org.name}"),))

    async def _get(self, asked: Asked) -> Answer:
        org = await (await self._orgs()).get(asked.names["org"])
        return as_record(org, org.revision)

    async def _change(self, asked: Asked) -> Answer:
        orgs, name = await self._orgs(), asked.names["org"]
        now = await orgs.get(name)
        # What is written is the whole record, so it must be the one that was read.
        revision = now.revision if asked.revision is None else asked.revision
        values: dict[str, Any] = {"name": name, "timezone": now.timezone, "weight": now.weight} | given(asked.body)
        org = await seen(self._service, orgs.update(Org(**values), revision))
        return as_record(org, org.revision)

    async def _delete(self, asked: Asked) -> Answer:
        await seen(self._service, (await self._orgs()).delete(asked.names["org"], asked.revision))
        return NOTHING

    async def _orgs(self) -> OrgStore:
        return (await self._service.registry()).orgs


class Words(NamedTuple):
    """What the two kinds of member are called."""

    one: str
    several: str
    list: Any


TEAM: Final = Words("team", "teams", TeamList)
USER: Final = Words("user", "users", UserList)


class MemberRoutes:
    """The routes of teams, or of users."""

    def __init__(self, service: KeyService, words: Words) -> None:
        self._service = service
        self._words = words

    def routes(self) -> tuple[Route, ...]:
        one, several, shape = self._words
        all_, member = f"{BASE}/{several}", f"{BASE}/{several}/{{org}}/{{name}}"
        found, made = {200: Told(f"The {one}.", Member)}, {201: Told(f"The {one}, made.", Member)}
        listed = {200: Told(f"The {several}, by org and name.", shape)}
        return (
            Route("GET", all_, READ, self._list, f"List {several}", MemberQuery, answers=listed),
            Route("POST", all_, WRITE, self._create, f"Create a {one}", body=MemberToCreate, answers=made),
            Route("GET", member, READ, self._get, f"Show a {one}", answers=found),
            Route(
                "DELETE", member, WRITE, self._delete, f"Delete a {one} without keys",
                precondition=HEEDED, answers=DELETED,
            ),
        )  # fmt: skip

    async def _list(self, asked: Asked) -> Answer:
        members = await (await self._members()).list(set_or_none(asked.query.org))
        return as_json(self._words.list(**{self._words.several: members}))

    async def _create(self, asked: Asked) -> Answer:
        made = await seen(self._service, (await self._members()).create(asked.body.org, asked.body.name))
        place = f"{BASE}/{self._words.several}/{made.org}/{made.name.replace('/', '%2F')}"
        return as_record(made, made.revision, 201, (("location", place),))

    async def _get(self, asked: Asked) -> Answer:
        member = await (await self._members()).get(asked.names["org"], asked.names["name"])
        return as_record(member, member.revision)

    async def _delete(self, asked: Asked) -> Answer:
        members, names = await self._members(), asked.names
        await seen(self._service, members.delete(names["org"], names["name"], asked.revision))
        return NOTHING

    async def _members(self) -> MemberStore:
        registry = await self._service.registry()
        return registry.teams if self._words is TEAM else registry.users
