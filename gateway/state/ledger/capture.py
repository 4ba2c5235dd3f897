"""How much of each provider's latest invoice the ledger has, looked at now and then for the metrics to tell."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.ledger.invoices import captured, latest, noted
from gateway.state.ledger.reports import Span
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from gateway.state.database import Database

log = logging.getLogger(__name__)

EVERY_S: Final = 600.0
FIRST_AFTER_S: Final = 5.0


class Capture(NamedTuple):
    """A provider's latest invoice; `ratio` is the part of it that the ledger has, None where nothing was billed."""

    provider: str
    invoice_nanousd: int
    ratio: float | None


class SpendCapture:
    """Another node, or the command line, may note an invoice at any time, so the database is asked again."""

    def __init__(self, database: Database) -> None:
        self.found: list[Capture] = []
        self._database = database
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_looking(), name="spend-capture")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> None:
        """Ask once. What cannot be asked now stays as it was."""
        try:
            async with self._database.read() as connection:
                found = []
                for one in latest(await noted(connection)):
                    span = Span(one.since_ms, one.until_ms)
                    beside = await captured(connection, one.provider, span, one.nanousd)
                    found.append(Capture(one.provider, one.nanousd, beside.ratio))
        except LedgerError as error:
            log.warning("invoices could not be compared with the ledger, which is tried again: %s", error)
            return
        self.found = found

    async def _keep_looking(self) -> None:
        await asyncio.sleep(FIRST_AFTER_S)  # a start has more urgent things to do
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)
