from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from gateway.state.database import Database
from gateway.state.ledger.rollups import COMPONENTS, DIMENSIONS, MEASURES
from gateway.state.ledger.sql import append
from gateway.state.migrating import MIGRATIONS
from gateway.state.migrations.versions import v0008_chargeback
from tests.gateway.state.ledger_rows import NOON_MS, a_row, asked

if TYPE_CHECKING:
    from pathlib import Path


def test_the_sums_are_those_that_the_gateway_keeps() -> None:
    assert MEASURES[-6:] == COMPONENTS == v0008_chargeback.MEASURES
    assert DIMENSIONS[-1] == "price_source"


async def test_sums_of_before_stay_and_know_neither_source_nor_components(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0007")
    engine.dispose()
    with closing(sqlite3.connect(path)) as ledger, ledger:
        names = f"hour_s, series, {', '.join(MEASURES[:17])}"
        ledger.execute(f"INSERT INTO usage_hourly ({names}) VALUES ({', '.join('?' * 19)})", (0, "s", *range(17)))  # noqa: S608 - names of our own
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    assert await append(database, [a_row()._replace(request_nanousd=4)]) == 1
    columns = "hour_s, cost_nanousd, price_source, input_nanousd, output_nanousd, request_nanousd"
    assert await asked(database, f"SELECT {columns} FROM usage_hourly ORDER BY hour_s") == [  # noqa: S608 - as above
        (0, MEASURES.index("cost_nanousd"), None, 0, 0, 0),
        (NOON_MS // 1000, 350, "list", 250, 50, 4),
    ]
    assert await asked(database, "SELECT count(*) FROM hardware_hours") == [(0,)]
    await database.close()
