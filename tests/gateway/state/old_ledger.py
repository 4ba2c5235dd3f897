"""A ledger as the first release wrote it: its statements as they were, and rows of 35 values."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tests.gateway.state.ledger_rows import a_row, unpriced

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.ledger.schema import LedgerRow

STATEMENTS = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version VALUES (1)",
    (
        'CREATE TABLE attempts ("request_id" TEXT NOT NULL, "attempt" INTEGER NOT NULL, '
        '"started_at_ms" INTEGER NOT NULL, '
        '"key_id" TEXT, "key_name" TEXT, "team" TEXT, "user" TEXT, "route" TEXT, "endpoint" TEXT NOT NULL, '
        '"model_requested" TEXT NOT NULL, "deployment" TEXT NOT NULL, "provider" TEXT NOT NULL, "model" TEXT NOT NULL, '
        '"outcome" TEXT NOT NULL, "status" INTEGER NOT NULL, "error_code" TEXT, "stream" INTEGER NOT NULL, '
        '"cancelled" INTEGER NOT NULL, "input_tokens" INTEGER NOT NULL, "cached_input_tokens" INTEGER NOT NULL, '
        '"cache_write_tokens" INTEGER NOT NULL, "output_tokens" INTEGER NOT NULL, "reasoning_tokens" INTEGER NOT NULL, '
        '"estimated" INTEGER NOT NULL, "cost_nanousd" INTEGER, "input_nanousd" INTEGER, '
        '"cached_input_nanousd" INTEGER, '
        '"cache_write_nanousd" INTEGER, "output_nanousd" INTEGER, "unpriced_reason" TEXT, "price_id" TEXT, '
        '"price_source" TEXT, "price_as_of" TEXT, "duration_ms" INTEGER NOT NULL, "ttft_ms" INTEGER, '
        "PRIMARY KEY (request_id, attempt))"
    ),
)


def old_rows() -> list[LedgerRow]:
    """Two hours, two teams, an attempt without a price and an estimated one; nothing of what came later."""
    rows = [a_row(f"req_{number:03}") for number in range(200)]
    rows = [row._replace(started_at_ms=row.started_at_ms + index * 30_000) for index, row in enumerate(rows)]
    rows += [unpriced(a_row("req_x")), a_row("req_x", 2)._replace(estimated=1, team=None)]
    return [row._replace(org=None, tags=None, charges=None) for row in rows]


def write_old(path: Path, version: int = 1) -> list[LedgerRow]:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in STATEMENTS:
            connection.execute(statement)
        connection.execute("UPDATE schema_version SET version = ?", (version,))
        marks = ", ".join("?" * 35)
        insert = f"INSERT INTO attempts VALUES ({marks})"  # noqa: S608 - only marks
        connection.executemany(insert, [row[:35] for row in old_rows()])
    return old_rows()
