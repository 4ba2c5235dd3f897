"""Single calls out of the ledger, over SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.state.ledger.lookup import Found, last_request, rows_of
from gateway.state.ledger.prices import rates_of
from gateway.state.ledger.sql import append
from policies.tariffs import Price
from tests.gateway.state.ledger_rows import a_row

if TYPE_CHECKING:
    from gateway.state.database import Database

PRICE = Price("p_1", "table", "2026-11-01", 2_500_000_000, output_nanousd=10_000_000_000, version="genai-prices 0.2.3")


async def found(database: Database, request_id: str) -> Found:
    async with database.read() as connection:
        return await rows_of(connection, request_id)


async def last(database: Database, *, failed: bool = False) -> str | None:
    async with database.read() as connection:
        return await last_request(connection, failed=failed)


async def test_a_call_is_found_with_all_its_attempts_and_prices(database: Database) -> None:
    of_it = [a_row()._replace(request_id="req_1", attempt=number, price_id="p_1") for number in (2, 1)]
    other = a_row()._replace(request_id="req_2", price_id="p_2")
    await append(database, [*of_it, other], [("p_1", rates_of(PRICE), 7)])
    assert await found(database, "req_1") == Found(of_it[::-1], {"p_1": PRICE})
    assert await found(database, "req_2") == Found([other], {})
    assert await found(database, "req_' OR 1=1 --") == Found([], {})


async def test_a_price_that_was_tampered_with_is_none(database: Database) -> None:
    row = a_row()._replace(request_id="req_1", price_id="p_1")
    await append(database, [row], [("p_1", '{"input_nanousd": "free"}', 7)])
    assert await found(database, "req_1") == Found([row], {})


async def test_the_last_is_whose_attempt_began_last(database: Database) -> None:
    assert await last(database) is None
    rows = [
        a_row()._replace(request_id=name, attempt=number, started_at_ms=at, outcome=outcome, status=status)
        for name, number, at, outcome, status in (
            ("broke", 1, 10, "reset", 0),
            ("fell back", 1, 20, "status", 503),
            ("fell back", 2, 21, "ok", 200),
            ("theirs", 1, 30, "status", 400),
            ("hit", 0, 35, "cache_hit", 200),
            ("left", 1, 40, "client_cancelled", 200),
        )
    ]
    await append(database, rows)
    assert await last(database) == "left"
    assert await last(database, failed=True) == "broke"
    await append(database, [rows[0]._replace(request_id="limited", started_at_ms=25, outcome="status", status=429)])
    assert await last(database, failed=True) == "limited"


async def test_what_a_cache_asks_by_itself_is_not_the_last_call(database: Database) -> None:
    asked = a_row()._replace(request_id="asked", started_at_ms=10, outcome="timeout", key_id=None)
    shadow = a_row()._replace(request_id="own", started_at_ms=20, outcome="timeout", key_id="cache:shadow")
    await append(database, [asked, shadow])
    assert await last(database) == await last(database, failed=True) == "asked"
    assert (await found(database, "own")).rows == [shadow]
