"""The route of single calls: where one went, how long each part took, and what it cost, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.errors import RequestError
from gateway.explaining.traced import Sources, TracedCall, traced
from gateway.state.ledger.lookup import Found, rows_of
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from gateway.explaining.recent import RecentDecisions
    from gateway.state.database import Database

REQUESTS: Final = "/admin/v1/requests"


class RequestRoutes:
    def __init__(self, recent: RecentDecisions, ledger: Database) -> None:
        self._recent = recent
        self._ledger = ledger

    def routes(self) -> tuple[Route, ...]:
        told = {200: Told("All that is known of the call.", TracedCall)}
        read = Permission.DECISIONS_READ
        return (Route("GET", f"{REQUESTS}/{{request_id}}", read, self._show, "Trace one call", answers=told),)

    async def _show(self, asked: Asked) -> Answer:
        request_id = asked.names["request_id"]
        found = traced(request_id, await self._sources(request_id))
        if found is None:
            raise RequestError(
                "Neither the ledger nor this process knows of this call. One that was sent to nobody is kept among the "
                "latest only, by the process that served it.",
                status=404,
                code="request_not_found",
            )
        return as_json(msgspec.to_builtins(found))

    async def _sources(self, request_id: str) -> Sources:
        """What memory has of a call is told also where the ledger cannot be asked."""
        kept = self._recent.kept(request_id)
        try:
            async with self._ledger.read() as connection:
                return Sources(kept, await rows_of(connection, request_id))
        except LedgerError:
            if kept is None:
                raise
            return Sources(kept, Found([], {}), "it cannot be asked now")
