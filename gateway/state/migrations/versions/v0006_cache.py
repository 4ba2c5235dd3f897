"""What caches served and saved, by answer and added up, and which keys they leave alone."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"

MEASURES: Final = ("cache_hits", "saved_nanousd", "saved_tokens")


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("attempts", sa.Column("cache_level", sa.Text()))
    for name in ("saved_nanousd", "saved_tokens"):
        op.add_column("attempts", sa.Column(name, number))
    for name in MEASURES:
        op.add_column("usage_hourly", sa.Column(name, number, nullable=False, server_default="0"))
    op.add_column("virtual_keys", sa.Column("uses_cache", number, nullable=False, server_default="1"))
