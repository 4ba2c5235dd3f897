"""The routes of invoices: what providers billed, noted by people, beside what the ledger expects."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.admin.shapes import Name
from gateway.admin.usage_routes import Day, Month, span_of
from gateway.errors import RequestError
from gateway.state.database import Database
from gateway.state.ledger.invoices import Invoice, captured, note, noted
from gateway.state.ledger.reports import ALL_TIME_MS, Span

INVOICES: Final = "/admin/v1/invoices"
MOST_SHOWN: Final = 200
_LARGEST_NANOUSD: Final = 10**18


class InvoiceToNote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider billed for a month, or from `since` and before `until`; takes the place of an earlier note."""

    provider: Name
    nanousd: Annotated[int, Meta(ge=0, le=_LARGEST_NANOUSD, description="In billionths of a USD.")]
    month: Month | UnsetType = UNSET
    since: Day | UnsetType = UNSET
    until: Day | UnsetType = UNSET


class ReconciledInvoice(Struct, frozen=True, kw_only=True):
    """An invoice beside the ledger. `ratio` is the part of it that the ledger has; null where nothing was billed."""

    invoice: Invoice
    ledger_nanousd: int
    unpriced_tokens: int
    estimated_share: float
    ratio: float | None


class Invoices(Struct, frozen=True, kw_only=True):
    """The latest, newest last, by provider."""

    invoices: list[ReconciledInvoice]


class InvoiceRoutes:
    """`heard` is called after each note, so that the metrics follow."""

    def __init__(self, ledger: Database, heard: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._heard = heard

    def routes(self) -> tuple[Route, ...]:
        shown = {200: Told("Invoices beside the ledger.", Invoices)}
        kept = {200: Told("The invoice beside the ledger.", ReconciledInvoice)}
        return (
            Route("GET", INVOICES, Permission.USAGE_READ, self._show, "Show noted invoices", answers=shown),
            Route(
                "PUT",
                INVOICES,
                Permission.USAGE_WRITE,
                self._note,
                "Note what a provider billed",
                body=InvoiceToNote,
                answers=kept,
            ),
        )

    async def _show(self, _: Asked) -> Answer:
        async with self._ledger.read() as connection:
            found = (await noted(connection))[-MOST_SHOWN:]
        told = Invoices(invoices=[await self._beside(one) for one in found])
        return as_json(msgspec.to_builtins(told))

    async def _note(self, asked: Asked) -> Answer:
        body: InvoiceToNote = asked.body
        span = span_of(body.since, body.until, body.month)
        if span.since_ms == ALL_TIME_MS[0] or span.until_ms == ALL_TIME_MS[1]:
            raise RequestError("Say for which month, or since and until when.", param="month")
        if span.since_ms >= span.until_ms:
            raise RequestError("until must be after since.", param="until")
        invoice = Invoice(body.provider, *span, body.nanousd, time.time_ns() // 1_000_000)
        async with self._ledger.begin() as connection:
            await note(connection, invoice)
        await self._heard()
        return as_json(msgspec.to_builtins(await self._beside(invoice)))

    async def _beside(self, invoice: Invoice) -> ReconciledInvoice:
        span = Span(invoice.since_ms, invoice.until_ms)
        async with self._ledger.read() as connection:
            found = await captured(connection, invoice.provider, span, invoice.nanousd)
        return ReconciledInvoice(
            invoice=invoice,
            ledger_nanousd=found.ledger_nanousd,
            unpriced_tokens=found.unpriced_tokens,
            estimated_share=found.estimated_share,
            ratio=found.ratio,
        )
