"""The routes of virtual keys.

There is no `Idempotency-Key`: to repeat an answer that holds a secret, the gateway would have to keep the secret. Names
are unique within an org, so a creation that is sent twice makes one key (the second answer is 409), and whoever lost
the first answer rotates.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from gateway.admin.answers import as_json, as_record
from gateway.admin.routes import Permission, Precondition, Route, Told
from gateway.admin.shapes import (
    IssuedKey,
    KeyList,
    KeyQuery,
    KeyToChange,
    KeyToCreate,
    Leaked,
    Rotation,
    given,
    set_or_none,
)
from gateway.state.keys.records import Key, KeyChange, KeyFilter, NewKey
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.admin.answers import Answer
    from gateway.admin.routes import Asked
    from gateway.keys.service import KeyService, Registry

log = logging.getLogger(__name__)

KEYS: Final = "/admin/v1/keys"
KEY: Final = "/admin/v1/keys/{key_id}"
T = TypeVar("T")

READ, WRITE = Permission.KEYS_READ, Permission.KEYS_WRITE
HEEDED, REQUIRED = Precondition.HEEDED, Precondition.REQUIRED


class KeyRoutes:
    def __init__(self, service: KeyService) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        one, issued = (
            {200: Told("The key as it is now.", Key)},
            Told("The key and its new secret, shown once.", IssuedKey),
        )
        return (
            Route("GET", KEYS, READ, self._list, "List keys", KeyQuery, answers={200: Told("The keys.", KeyList)}),
            Route("POST", KEYS, WRITE, self._create, "Create a key", body=KeyToCreate, answers={201: issued}),
            Route(
                "POST", f"{KEYS}/revoke-leaked", WRITE, self._revoke_leaked, "Revoke a key that was found somewhere",
                body=Leaked, answers={200: Told("The key, which is revoked now.", Key)},
            ),
            Route("GET", KEY, READ, self._get, "Show a key", answers={200: Told("The key.", Key)}),
            Route(
                "PATCH", KEY, WRITE, self._change, "Change a key",
                body=KeyToChange, precondition=REQUIRED, answers=one,
            ),
            Route("DELETE", KEY, WRITE, self._revoke, "Revoke a key, for good", precondition=HEEDED, answers=one),
            Route(
                "POST", f"{KEY}/rotate", WRITE, self._rotate, "Give a key a new secret",
                body=Rotation, precondition=HEEDED, answers={200: issued},
            ),
            Route("POST", f"{KEY}/disable", WRITE, self._disable, "Refuse a key", precondition=HEEDED, answers=one),
            Route("POST", f"{KEY}/enable", WRITE, self._enable, "Accept a key again", precondition=HEEDED, answers=one),
        )  # fmt: skip

    async def _list(self, asked: Asked) -> Answer:
        query: KeyQuery = asked.query
        wanted: dict[str, Any] = {name: set_or_none(getattr(query, name)) for name in KeyFilter.__struct_fields__}
        page = await (await self._registry()).keys.list(KeyFilter(**wanted), set_or_none(query.cursor), query.limit)
        return as_json(KeyList(keys=page.keys, cursor=page.cursor))

    async def _create(self, asked: Asked) -> Answer:
        new = msgspec.convert(given(asked.body), NewKey)
        issued = await seen(self._service, (await self._registry()).keys.create(new))
        place = (("location", f"{KEYS}/{issued.key.id}"),)
        return as_record(IssuedKey(key=issued.key, secret=issued.secret), issued.key.revision, 201, place)

    async def _get(self, asked: Asked) -> Answer:
        return _shown(await (await self._registry()).keys.get(asked.names["key_id"]))

    async def _change(self, asked: Asked) -> Answer:
        change = msgspec.convert(given(asked.body), KeyChange)
        keys = (await self._registry()).keys
        return _shown(await seen(self._service, keys.update(asked.names["key_id"], change, asked.revision)))

    async def _rotate(self, asked: Asked) -> Answer:
        keys, overlap_s = (await self._registry()).keys, asked.body.overlap_s
        issued = await seen(self._service, keys.rotate(asked.names["key_id"], overlap_s, asked.revision))
        return as_record(IssuedKey(key=issued.key, secret=issued.secret), issued.key.revision)

    async def _disable(self, asked: Asked) -> Answer:
        keys = (await self._registry()).keys
        return _shown(await seen(self._service, keys.disable(asked.names["key_id"], asked.revision)))

    async def _enable(self, asked: Asked) -> Answer:
        keys = (await self._registry()).keys
        return _shown(await seen(self._service, keys.enable(asked.names["key_id"], asked.revision)))

    async def _revoke(self, asked: Asked) -> Answer:
        keys = (await self._registry()).keys
        return _shown(await seen(self._service, keys.revoke(asked.names["key_id"], asked.revision)))

    async def _revoke_leaked(self, asked: Asked) -> Answer:
        key = await seen(self._service, (await self._registry()).keys.revoke_leaked(asked.body.key))
        return as_record(key, key.revision, headers=(("content-location", f"{KEYS}/{key.id}"),))

    async def _registry(self) -> Registry:
        return await self._service.registry()


def _shown(key: Key) -> Answer:
    return as_record(key, key.revision)


async def seen(service: KeyService, change: Awaitable[T]) -> T:
    """What a change came to, once this node acts upon it; the others hear of it meanwhile."""
    done = await change
    try:
        await service.refresh()
    except LedgerError as problem:  # it stands all the same, and is looked for again
        log.warning("a change of keys is not in force here yet: %s", problem)
    return done
