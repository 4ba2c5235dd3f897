"""`pointsman usage reconcile`: the ledger beside a provider's invoice, which is kept for the metrics that compare."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.commands.invoice_lines import lines_of, nanousd_of
from gateway.commands.usage_shown import NOTHING, UNPRICED, usd
from gateway.errors import MissingExtra
from gateway.scrubbing import printable
from gateway.state.database import Database
from gateway.state.ledger.invoices import Invoice, captured, captured_by_model, note, noted
from gateway.state.ledger.reports import ALL_TIME_MS, Span
from gateway.state.ledger.schema import LedgerError
from gateway.state.migrating import require_current
from gateway.tables import table

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.ledger.invoices import Captured


class Told(NamedTuple):
    """What the command line says: the sum of an invoice, or a file with its lines; neither: one that was noted."""

    provider: str
    span: Span
    amount: str | None = None
    lines: Path | None = None


class Reconciled(NamedTuple):
    total: Captured
    models: list[Captured]


def reconcile(ledger: str, told: Told, *, as_json: bool) -> int:
    """Print the comparison, and keep the invoice where one is told. Exit code 2 where that cannot be."""
    try:
        _check(told.span)
        lines = {} if told.lines is None else lines_of(told.lines)
        amount = sum(lines.values()) if told.lines is not None else None
        if told.amount is not None:
            amount = nanousd_of(told.amount)
        found = asyncio.run(_compared(ledger, told, amount, lines))
    except (LedgerError, MissingExtra, OSError, ValueError) as error:
        print(f"pointsman usage reconcile: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    print(_document(told, found) if as_json else _table(told.provider, found))  # noqa: T201 - as above
    return 0


def _check(span: Span) -> None:
    if span.since_ms == ALL_TIME_MS[0] or span.until_ms == ALL_TIME_MS[1]:
        raise ValueError("say for which span: --month 2026-10, or --since and --until")
    if span.since_ms >= span.until_ms:
        raise ValueError("the span ends before it begins")


async def _compared(url: str, told: Told, amount: int | None, lines: dict[str, int]) -> Reconciled:
    database = Database(url)
    provider, span = told.provider, told.span
    try:
        await require_current(database)
        if amount is not None:
            async with database.begin() as connection:
                await note(connection, Invoice(provider, *span, amount, time.time_ns() // 1_000_000))
        async with database.read() as connection:
            if amount is None:
                known = {(one.provider, one.since_ms, one.until_ms): one.nanousd for one in await noted(connection)}
                amount = known.get((provider, *span))
            total = await captured(connection, provider, span, amount)
            return Reconciled(total, await captured_by_model(connection, provider, span, lines))
    finally:
        await database.close()


def _table(provider: str, found: Reconciled) -> str:
    heads = ("model", "ledger USD", "invoice USD", "ratio", "estimated", "unpriced tokens")
    rows = [_cells(one, one.model or NOTHING) for one in found.models]
    shown = table(heads, [*rows, _cells(found.total, f"all of {printable(provider, 100)}")])
    if found.total.invoice_nanousd is None:
        shown += "\nno invoice was noted for this span: --invoice USD, or --lines FILE"
    if all(one.ledger_nanousd == 0 and not one.unpriced_tokens for one in found.models):
        shown += "\nthe ledger has no cost of this provider in this span; is that its name in the policy?"
    return shown


def _cells(one: Captured, name: str) -> list[object]:
    invoice = NOTHING if one.invoice_nanousd is None else usd(one.invoice_nanousd)
    ratio = NOTHING if one.ratio is None else f"{one.ratio:.4f}"
    ledger = UNPRICED if one.unpriced_tokens and not one.ledger_nanousd else usd(one.ledger_nanousd)
    return [name, ledger, invoice, ratio, f"{one.estimated_share:.1%}", one.unpriced_tokens or None]


def _document(told: Told, found: Reconciled) -> str:
    document = {
        "provider": told.provider,
        "since_ms": told.span.since_ms,
        "until_ms": told.span.until_ms,
        "total": _object(found.total),
        "models": [_object(one) for one in found.models],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _object(one: Captured) -> dict[str, object]:
    return {**msgspec.to_builtins(one), "ratio": one.ratio}
