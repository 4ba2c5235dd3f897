from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.state.database import Database
from gateway.state.ledger.rollups import DIMENSIONS, MEASURES
from gateway.state.migrations.versions import v0002_rollups
from tests.gateway.state.ledger_rows import asked
from tests.gateway.state.old_ledger import write_old

if TYPE_CHECKING:
    from pathlib import Path


def test_the_sums_are_those_that_the_gateway_keeps() -> None:
    """A later revision may change what the gateway keeps; this one then says what it was."""
    assert DIMENSIONS[:10] == v0002_rollups.DIMENSIONS
    assert MEASURES[:12] == v0002_rollups.MEASURES


async def test_what_was_there_is_added_up(tmp_path: Path) -> None:
    rows = write_old(tmp_path / "ledger.db")
    database = Database(f"sqlite:///{tmp_path}/ledger.db")
    await database.migrate()
    sums = await asked(database, "SELECT sum(calls), sum(attempts), sum(cost_nanousd), count(*) FROM usage_hourly")
    assert sums == [(201, 202, sum(row.cost_nanousd or 0 for row in rows), 3)]
    await database.close()
