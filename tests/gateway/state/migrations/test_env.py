from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic import command

from gateway.state import migrating
from gateway.state.database import Database, DatabaseUnavailable
from tests.gateway.state.ledger_rows import asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


async def test_a_migration_that_breaks_off_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are made in the same transaction as all else, on both databases."""
    upgrade: Callable[..., Any] = command.upgrade

    def break_off(*arguments: object) -> None:
        upgrade(*arguments)
        raise OSError("power cut")

    monkeypatch.setattr(command, "upgrade", break_off)
    monkeypatch.setattr(migrating, "_made_new", migrating.found_in_file)  # a new file takes no steps otherwise
    database = Database(database_url)
    with pytest.raises(DatabaseUnavailable, match="power cut"):
        await database.migrate()
    tables = "sqlite_master WHERE type = 'table'" if database.is_sqlite else "pg_tables WHERE schemaname = 'public'"
    assert await asked(database, f"SELECT * FROM {tables}") == []  # noqa: S608 - our words
    await database.close()
