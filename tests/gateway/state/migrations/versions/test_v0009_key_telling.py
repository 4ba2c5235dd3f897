from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from gateway.state.database import Database
from gateway.state.keys.records import KeyChange, KeyFilter
from gateway.state.migrating import MIGRATIONS
from tests.gateway.state.key_stores import stores

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = "id, org, name, env, last4, tags, limits, disabled, created_at_ms, revision"


def make(path: Path, key_id: str, name: str) -> None:
    """A key, as nodes of the release before make them."""
    values = (key_id, "default", name, "live", "last", "[]", "[]", 0, 1, 1)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"INSERT INTO virtual_keys ({COLUMNS}) VALUES ({', '.join('?' * 10)})", values)  # noqa: S608 - names of our own


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of the release before with a key in it."""
    path = tmp_path / "ledger.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0008")
    engine.dispose()
    make(path, "abcdefghijkl", "before")
    return path


async def test_keys_of_before_and_of_nodes_beside_say_nothing_new(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    make(path, "mnopqrstuvwx", "beside")
    keys = (await stores(database).keys.list(KeyFilter())).keys
    assert [(key.name, key.content, key.cost_in_body, key.trust_trace_context) for key in keys] == [
        ("before", None, False, False),
        ("beside", None, False, False),
    ]
    await database.close()


async def test_a_node_of_before_that_changes_a_key_leaves_what_it_does_not_know(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    keys = stores(database).keys
    told = KeyChange(content="hash", cost_in_body=True, trust_trace_context=True)
    await keys.update("abcdefghijkl", told)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("UPDATE virtual_keys SET org = org, tags = '[\"a\"]', disabled = 1, revision = revision + 1")
    key = await keys.get("abcdefghijkl")
    assert (key.tags, key.disabled) == (("a",), True)
    assert (key.content, key.cost_in_body, key.trust_trace_context) == ("hash", True, True)
    await database.close()
