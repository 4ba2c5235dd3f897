from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from gateway.state.database import Database, DatabaseUnavailable
from tests.gateway.state.ledger_rows import asked
from tests.gateway.state.old_ledger import write_old

if TYPE_CHECKING:
    from pathlib import Path

KEY = (
    "INSERT INTO virtual_keys"
    " (id, org, name, env, last4, tags, limits, disabled, created_at_ms, revision, revoked_at_ms)"
    " VALUES ('{id}', 'default', 'ci', 'live', '1234', '[]', '[]', 0, 0, 1, {revoked})"
)


async def test_a_ledger_of_before_there_were_keys_has_none(tmp_path: Path) -> None:
    write_old(tmp_path / "ledger.db")
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    assert await asked(database, "SELECT revision FROM key_changes") == [(0,)]
    assert await asked(database, "SELECT name, timezone, weight FROM orgs") == [("default", "UTC", 1)]
    assert await asked(database, "SELECT * FROM virtual_keys") == []
    await database.close()


async def test_the_database_itself_keeps_names_apart_and_gives_those_of_revoked_keys_free(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text(KEY.format(id="a", revoked=1)))
        await connection.execute(text(KEY.format(id="b", revoked=2)))
        await connection.execute(text(KEY.format(id="c", revoked="NULL")))

    async def another() -> None:
        async with database.begin() as connection:
            await connection.execute(text(KEY.format(id="d", revoked="NULL")))

    with pytest.raises(DatabaseUnavailable):
        await another()


async def test_there_is_one_revision_only(database: Database) -> None:
    async def another() -> None:
        async with database.begin() as connection:
            await connection.execute(text('INSERT INTO key_changes ("only", revision) VALUES (2, 0)'))

    with pytest.raises(DatabaseUnavailable):
        await another()
