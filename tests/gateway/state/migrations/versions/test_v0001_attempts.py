from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from gateway.state.database import Database
from tests.gateway.state.old_ledger import write_old

if TYPE_CHECKING:
    from pathlib import Path


def layout(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA table_info(attempts)").fetchall()


async def test_a_new_file_has_the_columns_that_the_first_release_wrote(tmp_path: Path) -> None:
    write_old(tmp_path / "old.db")
    await Database(f"sqlite:///{tmp_path}/new.db").migrate()
    old = layout(tmp_path / "old.db")
    assert layout(tmp_path / "new.db")[: len(old)] == old
