"""Costs to the last part: six components, what the provider bills, the prices that rows name, and invoices."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"

COLUMNS: Final = ("request_nanousd", "tool_nanousd", "upstream_nanousd", "service", "usage_details", "gpu_us")
TEXTS: Final = ("service", "usage_details")
MEASURES: Final = ("upstream_nanousd", "gpu_us")


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for name in COLUMNS:
        op.add_column("attempts", sa.Column(name, sa.Text() if name in TEXTS else number))
    for name in MEASURES:
        op.add_column("usage_hourly", sa.Column(name, number, nullable=False, server_default="0"))
    op.execute("UPDATE usage_hourly SET upstream_nanousd = cost_nanousd")  # nobody had a margin then
    op.create_table(
        "prices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rates", sa.Text(), nullable=False),
        sa.Column("first_seen_ms", number, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "invoices",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("since_ms", number, nullable=False, autoincrement=False),
        sa.Column("until_ms", number, nullable=False, autoincrement=False),
        sa.Column("nanousd", number, nullable=False),
        sa.Column("noted_at_ms", number, nullable=False),
        sa.PrimaryKeyConstraint("provider", "since_ms", "until_ms"),
    )
