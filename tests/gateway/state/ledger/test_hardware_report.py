from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from gateway.state.ledger.hardware_report import Idle, idle_by
from gateway.state.ledger.reports import Span
from gateway.state.ledger.sql import append
from tests.gateway.state.ledger_rows import NOON_MS, a_row

if TYPE_CHECKING:
    from gateway.state.database import Database

NOON_S = NOON_MS // 1000
COLUMNS = "hour_s, deployment, provider, busy_us, idle_us, busy_nanousd, idle_nanousd"


async def noted(database: Database, *hours: tuple[object, ...]) -> None:
    names = COLUMNS.split(", ")
    statement = text(f"INSERT INTO hardware_hours ({COLUMNS}) VALUES ({', '.join(f':{name}' for name in names)})")  # noqa: S608 - our words
    async with database.begin() as connection:
        await connection.execute(statement, [dict(zip(names, hour, strict=True)) for hour in hours])


async def asked_for(database: Database, *by: str, span: Span | None = None) -> tuple[list[Idle], Idle | None]:
    async with database.read() as connection:
        return await idle_by(connection, by, span or Span())


async def test_idle_hardware_has_an_owner_of_its_own_who_is_charged_nothing(database: Database) -> None:
    await append(database, [a_row(f"req_{number}")._replace(deployment="llama") for number in range(3)])
    await noted(database, (NOON_S, "llama", "box", 5, 7, 400, 1000), (NOON_S + 3600, "llama", "box", 1, 2, 30, 40))
    (line,), total = await asked_for(database, "team")
    charged = 3 * 350
    assert line == Idle("_idle", ("_idle",), 6, 9, 430, 1040, charged, 1470 - charged)
    assert total == line


async def test_without_hardware_there_is_no_idle_line(database: Database) -> None:
    assert await asked_for(database, "team", "model") == ([], None)


async def test_places_and_days_tell_hardware_apart(database: Database) -> None:
    hours = [
        (NOON_S, "a", "box", 0, 1, 0, 10),
        (NOON_S, "b", "box", 0, 2, 0, 20),
        (NOON_S + 86_400, "a", "box", 0, 3, 0, 30),
    ]
    await noted(database, *hours)
    names = {line.names: line.idle_nanousd for line in (await asked_for(database, "team", "deployment"))[0]}
    assert names == {("_idle", "a"): 40, ("_idle", "b"): 20}
    names = {line.names: line.idle_nanousd for line in (await asked_for(database, "day", "key", "model"))[0]}
    assert names == {("2026-11-22", "_idle", None): 30, ("2026-11-23", "_idle", None): 30}
    names = {line.names: line.idle_nanousd for line in (await asked_for(database, "deployment"))[0]}
    assert names == {("_idle a",): 40, ("_idle b",): 20}


async def test_what_nobody_has_priced_is_unknown_and_not_free(database: Database) -> None:
    await noted(database, (NOON_S, "llama", "box", 5, 7, None, None))
    (line,), _ = await asked_for(database, "team")
    assert (line.idle_us, line.idle_nanousd, line.busy_nanousd, line.variance_nanousd) == (7, None, None, None)


async def test_hours_count_that_begin_within_the_span_and_the_one_it_begins_in(database: Database) -> None:
    await noted(database, *((NOON_S + 3600 * hour, "llama", "box", 0, 10**hour, 0, 0) for hour in range(4)))
    span = Span(NOON_MS + 3_600_000 + 5, NOON_MS + 3 * 3_600_000)
    _, total = await asked_for(database, "team", span=span)
    assert total is not None
    assert total.idle_us == 110
