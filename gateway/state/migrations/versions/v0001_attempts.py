"""The ledger of version 1: one row per attempt. A file that was written before there was alembic has exactly this."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

TEXT = ("request_id", "endpoint", "model_requested", "deployment", "provider", "model", "outcome")
COLUMNS = (
    "request_id", "attempt", "started_at_ms", "key_id", "key_name", "team", "user", "route", "endpoint",
    "model_requested", "deployment", "provider", "model", "outcome", "status", "error_code", "stream", "cancelled",
    "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "estimated",
    "cost_nanousd", "input_nanousd", "cached_input_nanousd", "cache_write_nanousd", "output_nanousd",
    "unpriced_reason", "price_id", "price_source", "price_as_of", "duration_ms", "ttft_ms",
)  # fmt: skip
NULLABLE_TEXT = (
    "key_id", "key_name", "team", "user", "route", "error_code",
    "unpriced_reason", "price_id", "price_source", "price_as_of",
)  # fmt: skip
NULLABLE_NUMBER = (
    "cost_nanousd", "input_nanousd", "cached_input_nanousd", "cache_write_nanousd", "output_nanousd", "ttft_ms",
)  # fmt: skip


def upgrade() -> None:
    op.create_table("attempts", *map(_column, COLUMNS), sa.PrimaryKeyConstraint("request_id", "attempt"))


def _column(name: str) -> sa.Column[str] | sa.Column[int]:
    if name in TEXT or name in NULLABLE_TEXT:
        return sa.Column(name, sa.Text(), nullable=name in NULLABLE_TEXT)
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, number, nullable=name in NULLABLE_NUMBER, autoincrement=False)
