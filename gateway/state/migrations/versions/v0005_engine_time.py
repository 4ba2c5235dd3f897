"""How much of an engine's time each attempt had, where the engine is ours."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("engine_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
