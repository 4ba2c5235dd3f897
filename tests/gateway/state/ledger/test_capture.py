from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.signals.capture_metrics import watch_capture
from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.state.database import DatabaseUnavailable
from gateway.state.ledger import capture as module
from gateway.state.ledger.capture import Capture, SpendCapture
from gateway.state.ledger.invoices import Invoice, note
from gateway.state.ledger.sql import append
from tests.gateway.state.ledger.test_invoices import DAY
from tests.gateway.state.ledger_rows import a_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from gateway.state.database import Database


async def test_the_latest_invoice_of_each_provider_is_compared(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(database, [a_row("req_1")])
    async with database.begin() as connection:
        await note(connection, Invoice("openai", *DAY, 700, 1))
        await note(connection, Invoice("azure", *DAY, 0, 1))
    capture = SpendCapture(database)
    await capture.look()
    assert capture.found == [Capture("azure", 0, None), Capture("openai", 700, 0.5)]

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        raise DatabaseUnavailable("it is away")
        yield

    monkeypatch.setattr(database, "read", away)
    await capture.look()
    assert len(capture.found) == 2
    registry = Registry()
    watch_capture(registry, capture)
    text = render(registry.snapshot()).decode()
    assert 'pointsman_spend_capture_ratio{provider="openai"} 0.5' in text
    assert 'pointsman_provider_invoice_usd{provider="openai"} 0.000000700' in text
    assert 'pointsman_spend_capture_ratio{provider="azure"}' not in text


async def test_it_looks_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_AFTER_S", 0.0)
    async with database.begin() as connection:
        await note(connection, Invoice("openai", *DAY, 700, 1))
    capture = SpendCapture(database)
    looked = capture.look

    async def look() -> None:
        await looked()
        seen.set()

    import asyncio  # noqa: PLC0415 - for this test alone

    seen = asyncio.Event()
    monkeypatch.setattr(capture, "look", look)
    capture.start()
    await asyncio.wait_for(seen.wait(), 10)
    await capture.close()
    assert capture.found == [Capture("openai", 700, 0.0)]
