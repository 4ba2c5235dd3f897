from __future__ import annotations

import sqlite3
from contextlib import closing

from gateway.state.ledger_schema import CREATE, VERSION, LedgerRow, insert_of


def test_the_table_has_the_rows_fields_in_order_and_one_key() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in CREATE:
            connection.execute(statement)
        columns = connection.execute("PRAGMA table_info(attempts)").fetchall()
        assert tuple(column[1] for column in columns) == LedgerRow._fields
        assert {column[1] for column in columns if column[5]} == {"request_id", "attempt"}
        assert insert_of(1).count("?") == len(columns)
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(VERSION,)]


def test_what_may_be_missing_may_be_null_and_nothing_else() -> None:
    optional = {name for name, kind in LedgerRow.__annotations__.items() if "None" in str(kind)}
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in CREATE:
            connection.execute(statement)
        nullable = {column[1] for column in connection.execute("PRAGMA table_info(attempts)") if not column[3]}
    assert nullable == optional
