"""Rows to write, and what the ledger then holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.state.ledger.schema import LedgerRow

if TYPE_CHECKING:
    from gateway.state.database import Database

NOON_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z
DAY_S = 1_795_305_600

PLAIN = LedgerRow(
    "req_1", 1, NOON_MS, "k_1", "ci", "platform", "ada", "smart", "chat/completions", "smart", "gpt-4o", "openai",
    "gpt-4o-2024", "success", 200, None, 0, 0, 100, 20, 0, 10, 0, 0, 350, 250, 50, 0, 50, None, "p_1", "list",
    "2026-11-01", 830, None, "acme", '["blue"]', json.dumps([["acme|budget:ci", DAY_S, 350]]),
)  # fmt: skip


def a_row(request_id: str = "req_1", attempt: int = 1) -> LedgerRow:
    return PLAIN._replace(request_id=request_id, attempt=attempt)


def unpriced(row: LedgerRow) -> LedgerRow:
    row = row._replace(unpriced_reason="unknown_model", price_id=None, price_source=None, price_as_of=None)
    row = row._replace(cost_nanousd=None, input_nanousd=None, cached_input_nanousd=None)
    return row._replace(cache_write_nanousd=None, output_nanousd=None)


def a_hit(row: LedgerRow, saved_nanousd: int | None = 350, saved_tokens: int | None = 110) -> LedgerRow:
    """As if a cache had answered instead."""
    return row._replace(
        attempt=0, outcome="cache_hit", input_tokens=0, cached_input_tokens=0, output_tokens=0, estimated=0,
        cost_nanousd=0, input_nanousd=0, cached_input_nanousd=0, cache_write_nanousd=0, output_nanousd=0,
        price_id=None, price_source=None, price_as_of=None,
        cache_level="semantic", saved_nanousd=saved_nanousd, saved_tokens=saved_tokens,
    )  # fmt: skip


async def asked(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.exec_driver_sql(statement)]


async def written(database: Database) -> list[LedgerRow]:
    rows = await asked(database, "SELECT * FROM attempts ORDER BY request_id, attempt")
    return [LedgerRow._make(row) for row in rows]
