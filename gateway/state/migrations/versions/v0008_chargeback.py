"""Sums by component and by where a price came from, and what hardware of one's own was worth, hour by hour."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"

MEASURES: Final = (
    "input_nanousd",
    "cached_input_nanousd",
    "cache_write_nanousd",
    "output_nanousd",
    "request_nanousd",
    "tool_nanousd",
)
AMOUNTS: Final = ("busy_us", "idle_us")
COSTS: Final = ("busy_nanousd", "idle_nanousd")


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("usage_hourly", sa.Column("price_source", sa.Text()))
    for name in MEASURES:
        op.add_column("usage_hourly", sa.Column(name, number, nullable=False, server_default="0"))
    op.create_table(
        "hardware_hours",
        sa.Column("hour_s", number, nullable=False, autoincrement=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        *(sa.Column(name, number, nullable=False) for name in AMOUNTS),
        *(sa.Column(name, number) for name in COSTS),
        sa.PrimaryKeyConstraint("hour_s", "deployment"),
    )
