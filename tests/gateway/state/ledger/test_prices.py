"""Prices beside the rows that name them, over SQLite and PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.state.ledger.prices import PriceBook, prices_by_id, rates_of
from gateway.state.ledger.sql import append
from policies.tariffs import Adjustment, Price, RareRates, Rates, Tariff, Tier
from tests.gateway.state.ledger_rows import a_row, asked
from tests.gateway.state.ledgers import read, rows, started

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.database import Database

PLAIN = Price("p_1", "table", "2026-11-01", 2_500_000_000, None, None, 10_000_000_000, version="genai-prices 0.2.3")
LONG = Tier(200_000, Rates(5_000_000_000, None, None, 15_000_000_000))
FULL = Price(
    "p_2", "override", "", 1, 2, 3, 4, RareRates(request_nanousd=9, search_nanousd=0), (LONG,),
    (("flex", Tariff(Rates(1, output_nanousd=0, rare=RareRates(reasoning_nanousd=7)), (LONG,))),),
    adjusted=Adjustment(100_000, 50_000), upstream=replace(PLAIN, id="p_0"),
)  # fmt: skip


def test_a_price_says_all_that_a_bill_is_recomputed_from_and_nothing_that_it_lacks() -> None:
    assert json.loads(rates_of(PLAIN)) == {
        "source": "table",
        "as_of": "2026-11-01",
        "version": "genai-prices 0.2.3",
        "input_nanousd": 2_500_000_000,
        "output_nanousd": 10_000_000_000,
    }
    tier = {"above_input_tokens": 200_000, "input_nanousd": 5_000_000_000, "output_nanousd": 15_000_000_000}
    assert json.loads(rates_of(FULL)) == {
        "source": "override",
        "input_nanousd": 1,
        "cached_input_nanousd": 2,
        "cache_write_nanousd": 3,
        "output_nanousd": 4,
        "request_nanousd": 9,
        "search_nanousd": 0,
        "tiers": [tier],
        "services": {"flex": {"input_nanousd": 1, "output_nanousd": 0, "reasoning_nanousd": 7, "tiers": [tier]}},
        "adjusted": {"discount_ppm": 100_000, "margin_ppm": 50_000},
        "upstream": {"id": "p_0", **json.loads(rates_of(PLAIN))},
    }


def test_a_price_waits_until_it_is_written_and_never_again() -> None:
    book = PriceBook()
    book.note(PLAIN)
    waiting = book.waiting
    book.note(FULL)
    assert [row[0] for row in waiting] == ["p_1"]
    book.written(waiting)
    book.note(PLAIN)
    assert [row[0] for row in book.waiting] == ["p_2"]


async def test_prices_come_with_the_rows_and_stay_as_they_were(database: Database) -> None:
    book = PriceBook()
    for price in (FULL, PLAIN):
        book.note(price)
    assert await append(database, [a_row()], book.waiting) == 1
    other = PriceBook()
    other.note(replace(PLAIN, input_nanousd=1))
    await append(database, [a_row("req_2")], other.waiting)
    async with database.read() as connection:
        found = await prices_by_id(connection, ["p_1", "p_2", "p_3"])
        assert await prices_by_id(connection, []) == {}
    assert found == {"p_1": json.loads(rates_of(PLAIN)), "p_2": json.loads(rates_of(FULL))}


async def test_more_ids_than_one_statement_asks_for_are_all_found(database: Database) -> None:
    book = PriceBook()
    for number in range(230):
        book.note(replace(PLAIN, id=f"p_{number}"))
    await append(database, [], book.waiting)
    async with database.read() as connection:
        assert len(await prices_by_id(connection, [f"p_{number}" for number in range(230)])) == 230


async def test_a_transaction_given_up_leaves_no_price(database: Database) -> None:
    book = PriceBook()
    book.note(PLAIN)
    await append(database, [a_row()._replace(team="a\0b")], book.waiting)  # PostgreSQL takes it at the second try
    assert await asked(database, "SELECT id FROM prices") == [("p_1",)]


def test_a_ledger_writes_what_was_noted_with_the_next_rows(path: Path) -> None:
    ledger = started(path)
    ledger.note_price(PLAIN)
    ledger.append(rows(1))
    ledger.close()
    assert len(read(path)) == 1
    ledger = started(path)
    ledger.note_price(PLAIN)
    ledger.append(rows(1))
    ledger.close()
    assert len(read(path)) == 2
