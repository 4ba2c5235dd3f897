"""What keys require of whoever answers their calls, and who of them is served when not all can be."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    op.add_column("virtual_keys", sa.Column("priority", sa.Text(), nullable=False, server_default="normal"))
    op.add_column("virtual_keys", sa.Column("require_region", sa.Text()))
    op.add_column("virtual_keys", sa.Column("require_data_classes", sa.Text(), nullable=False, server_default="[]"))
