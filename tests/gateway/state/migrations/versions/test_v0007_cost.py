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
from gateway.state.migrations.versions import v0007_cost
from tests.gateway.state.ledger_rows import a_row, asked, written

if TYPE_CHECKING:
    from pathlib import Path


def test_columns_and_sums_are_those_that_the_gateway_keeps() -> None:
    assert LedgerRow._fields[-6:] == v0007_cost.COLUMNS
    assert MEASURES[15:17] == v0007_cost.MEASURES


def as_it_was(path: Path, row: LedgerRow) -> None:
    """A ledger of the release before, with an attempt and its sum in it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0006")
    engine.dispose()
    values = row[: LedgerRow._fields.index("request_nanousd")]
    sums = (0, "s", *range(15))
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"INSERT INTO attempts VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - marks
        names = f"hour_s, series, {', '.join(MEASURES[:15])}"
        ledger.execute(f"INSERT INTO usage_hourly ({names}) VALUES ({', '.join('?' * len(sums))})", sums)  # noqa: S608 - names of our own


async def test_what_was_there_stays_and_providers_bill_what_it_cost(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db", a_row())
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    assert await written(database) == [a_row()]
    cost = MEASURES.index("cost_nanousd")
    assert await asked(database, "SELECT upstream_nanousd, cost_nanousd, gpu_us FROM usage_hourly") == [(cost, cost, 0)]
    await database.close()


async def test_all_six_columns_hold_what_they_are_for(tmp_path: Path) -> None:
    as_it_was(tmp_path / "ledger.db", a_row())
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    row = a_row("req_2")._replace(
        request_nanousd=1, tool_nanousd=2, upstream_nanousd=3, service="flex", usage_details='{"searches":1}', gpu_us=4
    )
    assert await append(database, [row]) == 1
    assert await written(database) == [a_row(), row]
    sums = await asked(database, "SELECT cost_nanousd, upstream_nanousd, gpu_us FROM usage_hourly WHERE series <> 's'")
    assert sums == [(350, 3, 4)]
    await database.close()


async def test_an_invoice_stands_once_for_each_provider_and_span(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    add = (
        "INSERT INTO invoices VALUES ('openai', 1, 2, {}, 5) "
        "ON CONFLICT (provider, since_ms, until_ms) DO UPDATE SET nanousd = excluded.nanousd"
    )
    async with database.begin() as connection:
        for amount in (7, 8):
            await connection.exec_driver_sql(add.format(amount))
    assert await asked(database, "SELECT provider, nanousd FROM invoices") == [("openai", 8)]
    await database.close()
