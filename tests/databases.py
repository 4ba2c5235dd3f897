"""Every kind of database that Pointsman keeps a ledger in, each test with an empty one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.state.database import Database
from tests.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return postgres_server().fresh_url()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated one."""
    made = Database(database_url)
    await made.migrate()
    yield made
    await made.close()
