from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from gateway.state.database import Database
from gateway.state.migrating import MIGRATIONS
from tests.gateway.state.ledger_rows import asked

if TYPE_CHECKING:
    from pathlib import Path

KEY = (
    "INSERT INTO virtual_keys (id, org, name, env, last4, tags, limits, disabled, created_at_ms, revision)"
    " VALUES ('a', 'default', 'ci', 'live', '1234', '[]', '[]', 0, 0, 1)"
)


def as_it_was(path: Path) -> None:
    """A ledger of the release before, with a key in it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0003")
    engine.dispose()
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(KEY)


async def test_a_key_of_before_requires_nothing_and_is_as_important_as_any(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db")
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    found = await asked(database, "SELECT name, priority, require_region, require_data_classes FROM virtual_keys")
    assert found == [("ci", "normal", None, "[]")]
    await database.close()
