from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect

from gateway.state.keys.records import StoredSecret
from gateway.state.keys.tables import METADATA, newest_first, row_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from gateway.state.database import Database


async def test_the_tables_are_those_that_the_migrations_make(database: Database) -> None:
    def columns(connection: Connection) -> dict[str, set[str]]:
        return {name: {each["name"] for each in inspect(connection).get_columns(name)} for name in METADATA.tables}

    async with database.read() as connection:
        found = await connection.run_sync(columns)
    assert found == {name: {column.name for column in table.columns} for name, table in METADATA.tables.items()}


def test_the_secret_without_an_end_is_the_newest() -> None:
    """Those of one millisecond too."""
    newest, former = StoredSecret(b"n", "v", 5, None), StoredSecret(b"f", "v", 5, 9)
    older = StoredSecret(b"o", "v", 3, 9)
    assert newest_first([older, former, newest]) == [newest, former, older]


def test_lists_are_written_as_json_and_none_as_null() -> None:
    row = row_of(
        {"name": "k", "routes": None, "networks": ("10.0.0.0/8",), "tags": (), "limits": ({"cost": "$1/day"},)}
        | {"require_data_classes": ("phi",)}
    )
    assert row == {
        "name": "k",
        "routes": None,
        "networks": '["10.0.0.0/8"]',
        "tags": "[]",
        "limits": '[{"cost":"$1/day"}]',
        "require_data_classes": '["phi"]',
    }
