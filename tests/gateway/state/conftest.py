from __future__ import annotations

from tests.databases import database, database_url
from tests.gateway.state.ledgers import at_once, empty, outage, path

__all__ = ["at_once", "database", "database_url", "empty", "outage", "path"]
