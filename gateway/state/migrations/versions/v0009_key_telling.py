"""What may be told of a key's calls, and to whom: content and costs, and whose trace they are part of."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0009"
down_revision: Final = "0008"

FLAGS: Final = ("cost_in_body", "trust_trace_context")


def upgrade() -> None:
    """Nodes of before go on making keys without naming these columns, so each has what such a key means."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("virtual_keys", sa.Column("content", sa.Text()))
    for name in FLAGS:
        op.add_column("virtual_keys", sa.Column(name, number, nullable=False, server_default="0"))
