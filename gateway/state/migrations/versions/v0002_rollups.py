"""What an attempt was charged to, and the sums that are kept in the same transaction as the attempts they add up."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

DIMENSIONS = ("org", "team", "user", "key_id", "key_name", "route", "deployment", "provider", "model", "tags")
MEASURES = (
    "calls", "attempts", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "estimated_tokens", "cost_nanousd", "priced_attempts", "unpriced_attempts", "unpriced_tokens",
)  # fmt: skip
_SUMS = (
    "sum(CASE WHEN attempt = 1 THEN 1 ELSE 0 END), count(*), sum(input_tokens), sum(cached_input_tokens), "
    "sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens), "
    "sum(CASE WHEN estimated = 1 THEN input_tokens + output_tokens ELSE 0 END), coalesce(sum(cost_nanousd), 0), "
    "count(cost_nanousd), count(unpriced_reason), "
    "sum(CASE WHEN unpriced_reason IS NOT NULL THEN input_tokens + output_tokens ELSE 0 END)"
)
ROWS_AT_ONCE = 500


def upgrade() -> None:
    for name in ("org", "tags", "charges"):
        op.add_column("attempts", sa.Column(name, sa.Text()))
    op.create_index("attempts_by_start", "attempts", ["started_at_ms"])
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    # The key is the hour and a hash of who and where: texts of any length make no index too long.
    op.create_table(
        "usage_hourly",
        sa.Column("hour_s", number, nullable=False, autoincrement=False),
        sa.Column("series", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text()) for name in DIMENSIONS),
        *(sa.Column(name, number, nullable=False) for name in MEASURES),
        sa.PrimaryKeyConstraint("hour_s", "series"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "charges",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("window_start_s", number, nullable=False, autoincrement=False),
        sa.Column("amount", number, nullable=False),
        sa.PrimaryKeyConstraint("account", "window_start_s"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    _add_up(connection)
    if connection.dialect.name == "sqlite":
        _warn_off(connection)


def _add_up(connection: sa.Connection) -> None:
    """The sums of what is there already."""
    by = ", ".join(f'"{name}"' for name in DIMENSIONS)
    groups = connection.execute(
        sa.text(f"SELECT started_at_ms / 3600000, {by}, {_SUMS} FROM attempts GROUP BY 1, {by}")  # noqa: S608 - our words
    )
    marks = ", ".join(f":p{index}" for index in range(2 + len(DIMENSIONS) + len(MEASURES)))
    insert = sa.text(f"INSERT INTO usage_hourly VALUES ({marks})")  # noqa: S608 - only marks
    rows = iter(groups.fetchall())
    while batch := [_values(row) for row in islice(rows, ROWS_AT_ONCE)]:
        connection.execute(insert, batch)


def _values(row: sa.Row[tuple[object, ...]]) -> dict[str, object]:
    hour, *rest = tuple[object, ...](row)
    who = rest[: len(DIMENSIONS)]
    series = hashlib.blake2b(json.dumps(who, separators=(",", ":")).encode(), digest_size=16).hexdigest()
    values = (int(str(hour)) * 3600, series, *who, *(int(str(number)) for number in rest[len(DIMENSIONS) :]))
    return {f"p{index}": value for index, value in enumerate(values)}


def _warn_off(connection: sa.Connection) -> None:
    """An older Pointsman asks this table, and then says who wrote the file."""
    connection.execute(sa.text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    connection.execute(sa.text("DELETE FROM schema_version"))
    connection.execute(sa.text("INSERT INTO schema_version VALUES (2)"))
