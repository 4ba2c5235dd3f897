from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from gateway.state.database import Database
from gateway.state.ledger.rollups import MEASURES
from gateway.state.ledger.schema import LedgerRow
from gateway.state.ledger.sql import append
from gateway.state.migrating import MIGRATIONS
from gateway.state.migrations.versions import v0002_rollups, v0006_cache
from tests.gateway.state.ledger_rows import a_row, asked, written

if TYPE_CHECKING:
    from pathlib import Path


def test_the_sums_are_those_that_the_gateway_keeps() -> None:
    assert MEASURES[:15] == v0002_rollups.MEASURES + v0006_cache.MEASURES


def as_it_was(path: Path, row: LedgerRow) -> None:
    """A ledger of the release before, with an attempt, its sum and a key in it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0005")
    engine.dispose()
    names = LedgerRow._fields[: LedgerRow._fields.index("cache_level")]
    values = [getattr(row, name) for name in names]
    key = ("abcdefghijkl", "default", "ci", "live", "last", "[]", "[]", 0, 1, 1)
    columns = "id, org, name, env, last4, tags, limits, disabled, created_at_ms, revision"
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"INSERT INTO attempts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608 - names of our own
        sums = ("usage_hourly (hour_s, series, " + ", ".join(v0002_rollups.MEASURES) + ")", 2 + 12)
        ledger.execute(f"INSERT INTO {sums[0]} VALUES ({', '.join('?' * sums[1])})", (0, "s", *range(12)))  # noqa: S608 - as above
        ledger.execute(f"INSERT INTO virtual_keys ({columns}) VALUES ({', '.join('?' * len(key))})", key)  # noqa: S608 - as above


async def test_what_was_there_stays_and_came_from_no_cache(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db", a_row())
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    assert await written(database) == [a_row()]
    assert await asked(database, "SELECT cache_hits, saved_nanousd, saved_tokens FROM usage_hourly") == [(0, 0, 0)]
    assert await asked(database, "SELECT uses_cache FROM virtual_keys") == [(1,)]
    await database.close()


async def test_a_hit_of_today_goes_beside_an_attempt_of_before(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db", a_row())
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    hit = a_row("req_2", 0)._replace(cache_level="exact", saved_nanousd=350, saved_tokens=110)
    assert await append(database, [hit]) == 1
    assert await written(database) == [a_row(), hit]
    await database.close()
