"""Orgs, teams, users, virtual keys and the digests of their secrets; and the revision that grows with each change."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    changes = op.create_table(
        "key_changes",
        sa.Column("only", sa.Integer(), sa.CheckConstraint('"only" = 1'), primary_key=True, autoincrement=False),
        _number("revision"),
    )
    orgs = op.create_table(
        "orgs",
        sa.Column("name", sa.Text(), primary_key=True),
        _text("timezone"),
        _number("weight"),
        _number("revision"),
    )
    for table in ("teams", "users"):
        op.create_table(
            table,
            sa.Column("org", sa.Text(), primary_key=True),
            sa.Column("name", sa.Text(), primary_key=True),
            _number("revision"),
        )
    _create_keys()
    op.bulk_insert(changes, [{"only": 1, "revision": 0}])
    # Where the policy file's keys are too that name no org.
    op.bulk_insert(orgs, [{"name": "default", "timezone": "UTC", "weight": 1, "revision": 0}])


def _create_keys() -> None:
    op.create_table(
        "virtual_keys",
        sa.Column("id", sa.Text(), primary_key=True),
        *map(_text, ("org", "name", "env", "last4", "tags", "limits")),
        *(sa.Column(name, sa.Text()) for name in ("team", "user", "routes", "networks")),
        *(_number(name, nullable=True) for name in ("output_tokens_default", "not_before_ms", "expires_at_ms")),
        *(_number(name, nullable=True) for name in ("revoked_at_ms", "last_used_at_ms")),
        *map(_number, ("disabled", "created_at_ms", "revision")),
    )
    op.create_index("virtual_keys_by_revision", "virtual_keys", ["revision"])
    op.create_index("virtual_keys_by_creation", "virtual_keys", ["created_at_ms", "id"])
    # A revoked key gives its name free: what counts by name goes on with the key that takes its place.
    living = sa.text("revoked_at_ms IS NULL")
    columns = ["org", "name"]
    op.create_index(
        "virtual_keys_by_name", "virtual_keys", columns, unique=True, sqlite_where=living, postgresql_where=living
    )
    op.create_table(
        "key_secrets",
        sa.Column("key_id", sa.Text(), sa.ForeignKey("virtual_keys.id"), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        _text("pepper"),
        _number("created_at_ms"),
        _number("expires_at_ms", nullable=True),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=nullable)
