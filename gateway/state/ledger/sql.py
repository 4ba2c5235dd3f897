"""Attempts into SQL, each once: the rows and every sum over them change in one transaction, or nothing does.

A row that is there already, by its request and attempt, changes nothing. What the sums grow by are the rows that the
database says it took, so a batch may be written again after any failure, also by another process.
"""

from __future__ import annotations

import sqlite3
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from gateway.state.ledger import prices as ledger_prices
from gateway.state.ledger.rollups import DIMENSIONS, MEASURES, Rollups, account_key, rolled_up, series_of
from gateway.state.ledger.schema import LedgerError, LedgerRow, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.state.database import Database
    from gateway.state.ledger.prices import PriceRow

ROWS_PER_INSERT: Final = 128
_NUMBERS: Final = frozenset(name for name, kind in LedgerRow.__annotations__.items() if "int" in str(kind))
_NAMES: Final = ", ".join(f'"{name}"' for name in LedgerRow._fields)
_ONCE: Final = "ON CONFLICT (request_id, attempt) DO NOTHING RETURNING request_id, attempt"
_ARRAYS: Final = ", ".join(
    f"${number}::{'bigint' if name in _NUMBERS else 'text'}[]" for number, name in enumerate(LedgerRow._fields, 1)
)
# One statement for batches of every size, which the server prepares once.
_POSTGRES_INSERT: Final = f"INSERT INTO attempts ({_NAMES}) SELECT * FROM unnest({_ARRAYS}) {_ONCE}"  # noqa: S608 - our words
ACCOUNTS_PER_SELECT: Final = 100
_SPENT_OF_NAMES: Final = [f"{part}{number}" for number in range(ACCOUNTS_PER_SELECT) for part in "aw"]
_PAIRS: Final = ", ".join(f"(:a{number}, CAST(:w{number} AS BIGINT))" for number in range(ACCOUNTS_PER_SELECT))
# A join, since SQLite would read the whole table for `IN (VALUES ...)`.
_SPENT_OF: Final = (
    f"WITH wanted (name, start_s) AS (VALUES {_PAIRS}) SELECT account, window_start_s, amount "  # noqa: S608 - only marks
    "FROM wanted JOIN charges ON account = name AND window_start_s = start_s"
)
_key: Final = itemgetter(0, 1)
_SQLITE_REFUSES: Final = (sqlite3.InterfaceError, sqlite3.ProgrammingError)
_POSTGRES_REFUSES: Final = ("22", "23", "54")
"""Classes of SQLSTATE: data exception, integrity, a limit of the program's such as an index row's length."""


class UnfitError(LedgerError):
    """A row holds a value that the database cannot: nothing was written. `storable` rows always fit."""


async def append(database: Database, rows: Sequence[LedgerRow], prices: Sequence[PriceRow] = ()) -> int:
    """Write `rows`, and `prices` that were not there, in one transaction, the rows made fit where need be; how many
    rows were new. Raises `LedgerError`.
    """
    try:
        async with database.begin() as connection:
            return await write(connection, rows, prices)
    except UnfitError:
        async with database.begin() as connection:
            return await write(connection, [storable(row) for row in rows], prices)


async def write(connection: AsyncConnection, rows: Sequence[LedgerRow], prices: Sequence[PriceRow] = ()) -> int:
    """Write `rows`, what they add to the sums, and `prices` within the caller's transaction; how many rows were new.

    Raises `UnfitError`, after which the transaction is to be given up.
    """
    return await connection.run_sync(_write, rows, prices)


async def spent(database: Database, account: str, window_start_s: float) -> int:
    """What the ledger knows an account, named "tenant|account", to have been charged in a window."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    statement = text("SELECT amount FROM charges WHERE account = :account AND window_start_s = :start")
    values = {"account": account_key(account), "start": int(window_start_s)}
    async with database.read() as connection:
        return int((await connection.execute(statement, values)).scalar() or 0)


async def spent_of(database: Database, accounts: Sequence[tuple[str, float]]) -> list[int]:
    """As `spent`, of many accounts and their windows, in a few statements."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    statement = text(_SPENT_OF)
    keys = [(account_key(account), int(window_s)) for account, window_s in accounts]
    found: dict[tuple[str, int], int] = {}
    async with database.read() as connection:
        for start in range(0, len(keys), ACCOUNTS_PER_SELECT):
            some = keys[start : start + ACCOUNTS_PER_SELECT]
            some += some[:1] * (ACCOUNTS_PER_SELECT - len(some))  # one text, which is prepared once
            values = dict(zip(_SPENT_OF_NAMES, chain.from_iterable(some), strict=True))
            for account, window_s, amount in await connection.execute(statement, values):
                found[account, window_s] = int(amount)
    return [found.get(key, 0) for key in keys]


def _write(connection: Connection, rows: Sequence[LedgerRow], prices: Sequence[PriceRow]) -> int:
    try:
        ledger_prices.insert(connection, prices)
        taken = _insert(connection, rows)
        _add_up(connection, rolled_up(_new(rows, taken)))
    except Exception as error:
        if _blames_a_value(error):
            raise UnfitError(f"the ledger cannot hold a row as it is: {error}") from error
        raise
    return len(taken)


def _blames_a_value(error: Exception) -> bool:
    """Drivers refuse values by errors of Python's own, or through SQLAlchemy; asyncpg's lie below what that raises."""
    from sqlalchemy.exc import DataError, DBAPIError, IntegrityError  # noqa: PLC0415 - as above

    if not isinstance(error, DBAPIError):
        return isinstance(error, ValueError | OverflowError)
    if isinstance(error, DataError | IntegrityError) or isinstance(error.orig, _SQLITE_REFUSES):
        return True
    below = getattr(error.orig, "__cause__", None)
    return str(getattr(below, "sqlstate", "")).startswith(_POSTGRES_REFUSES)


def _insert(connection: Connection, rows: Sequence[LedgerRow]) -> list[tuple[str, int]]:
    """The keys of the rows that were not there."""
    if not rows:
        return []
    if connection.dialect.name == "postgresql":
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        return [tuple(row) for row in connection.exec_driver_sql(_POSTGRES_INSERT, columns)]
    taken: list[tuple[str, int]] = []
    done, many = 0, ROWS_PER_INSERT
    while done < len(rows):
        # By powers of two, so that a few statements serve every batch and stay prepared.
        while many > len(rows) - done:
            many //= 2
        values = tuple(chain.from_iterable(rows[done : done + many]))
        taken += connection.exec_driver_sql(_sqlite_insert(many), values).fetchall()
        done += many
    return taken


def _sqlite_insert(rows: int) -> str:
    marks = f"({','.join('?' * len(LedgerRow._fields))})"
    return f"INSERT INTO attempts VALUES {','.join([marks] * rows)} {_ONCE}"  # noqa: S608 - only marks


def _new(rows: Sequence[LedgerRow], taken: Sequence[tuple[str, int]]) -> Sequence[LedgerRow]:
    """The rows that were taken, each once. Of rows with one key the first is taken."""
    if len(taken) == len(rows):
        return rows
    wanted = {tuple(key) for key in taken}
    new = []
    for row in rows:
        key = _key(row)
        if key in wanted:
            wanted.remove(key)
            new.append(row)
    return new


def _add_up(connection: Connection, rollups: Rollups) -> None:
    """Sorted, so that nodes which add to the same sums wait for each other in one order and never in a circle."""
    usage = sorted((hour_s, series_of(who), *who, *sums) for (hour_s, who), sums in rollups.usage.items())
    _upsert(connection, _USAGE, usage)
    _upsert(connection, _CHARGES, sorted((*key, amount) for key, amount in rollups.charges.items()))


def _upsert(connection: Connection, statements: dict[str, str], rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(statements[connection.dialect.name], list(rows))


def _adding(table: str, keys: Sequence[str], held: Sequence[str], sums: Sequence[str]) -> dict[str, str]:
    """The statement that adds to a row or begins it, for each database's way of marking values."""
    names = (*keys, *held, *sums)
    text = (
        f"INSERT INTO {table} ({', '.join(_quoted(names))}) VALUES ({{marks}}) ON CONFLICT ({', '.join(keys)}) "  # noqa: S608 - our words
        f"DO UPDATE SET {', '.join(f'{name} = {table}.{name} + excluded.{name}' for name in sums)}"
    )
    numbered = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return {"sqlite": text.format(marks=", ".join("?" * len(names))), "postgresql": text.format(marks=numbered)}


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


_USAGE: Final = _adding("usage_hourly", ("hour_s", "series"), DIMENSIONS, MEASURES)
_CHARGES: Final = _adding("charges", ("account", "window_start_s"), (), ("amount",))
