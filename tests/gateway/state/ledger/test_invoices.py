from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.state.ledger.invoices import Captured, Invoice, captured, captured_by_model, latest, note, noted
from gateway.state.ledger.reports import Span
from gateway.state.ledger.sql import append
from tests.gateway.state.ledger_rows import NOON_MS, a_row, unpriced

if TYPE_CHECKING:
    from gateway.state.database import Database

DAY = Span(NOON_MS // 86_400_000 * 86_400_000, (NOON_MS // 86_400_000 + 1) * 86_400_000)


async def test_the_ledger_has_what_providers_bill_and_not_what_is_charged(database: Database) -> None:
    rows = [a_row("req_1"), a_row("req_2")._replace(upstream_nanousd=100), unpriced(a_row("req_3"))]
    await append(database, [*rows, a_row("req_4")._replace(started_at_ms=DAY.until_ms)])
    async with database.read() as connection:
        found = await captured(connection, "openai", DAY, 900)
        nobody = await captured(connection, "azure", DAY, None)
    assert found == Captured(None, 450, 110, 0.0, 900)
    assert found.ratio == 0.5
    assert (nobody, nobody.ratio) == (Captured(None, 0, 0, 0.0, None), None)


async def test_models_are_those_that_either_side_names(database: Database) -> None:
    await append(database, [a_row("req_1"), a_row("req_2")._replace(provider="azure", model="other")])
    async with database.read() as connection:
        found = await captured_by_model(connection, "openai", DAY, {"o3": 7})
    assert [(one.model, one.ledger_nanousd, one.invoice_nanousd) for one in found] == [
        ("o3", 0, 7),
        ("gpt-4o-2024", 350, None),
    ]


async def test_the_latest_invoice_is_the_one_that_goes_furthest(database: Database) -> None:
    invoices = [Invoice("openai", 5, 9, 3, 1), Invoice("openai", 0, 5, 2, 2), Invoice("azure", 0, 5, 1, 3)]
    async with database.begin() as connection:
        for one in invoices:
            await note(connection, one)
        await note(connection, Invoice("azure", 0, 5, 4, 9))
    async with database.read() as connection:
        found = await noted(connection)
    assert len(found) == 3
    assert latest(found) == [Invoice("azure", 0, 5, 4, 9), invoices[0]]


def test_nothing_billed_has_no_ratio() -> None:
    assert Captured(None, 5, 0, 0.0, 0).ratio is None
