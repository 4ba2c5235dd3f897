"""Vectors in PostgreSQL with the extension `vector`: one table for each number of dimensions.

A search compares all vectors of one shelf and no others. That is exact, and quick while a shelf has thousands; an index
over all shelves would find the nearest of everybody's first, and of them often none that is on the shelf.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StartError
from gateway.extras import PGVECTOR, require
from gateway.state.answers.reach import Reach
from gateway.state.answers.store import StoreUnavailable
from gateway.state.answers.vector_store import Near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.vector_store import Shelf

ANSWER_S: Final = 0.5
CONNECT_S: Final = 2.0
ADDS_PER_SWEEP: Final = 500
CONNECTIONS: Final = 4
LOCK: Final = 0x706F696E
DIMENSIONS_MAX: Final = 16_000
"""The extension's own."""

MAKE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  shelf bytea NOT NULL, id text NOT NULL, ends double precision NOT NULL, vector vector({dimensions}) NOT NULL,
  PRIMARY KEY (shelf, id));
CREATE INDEX IF NOT EXISTS {table}_ends ON {table} (ends);
"""
TABLES: Final = """
SELECT c.relname AS name FROM pg_class c WHERE c.relkind = 'r' AND c.relname ~ $1 AND pg_table_is_visible(c.oid)
"""
ADD: Final = """
INSERT INTO {table} (shelf, id, ends, vector) VALUES ($1, $2, $3, $4::real[]::vector)
ON CONFLICT (shelf, id) DO UPDATE SET ends = excluded.ends, vector = excluded.vector
"""
NEAREST: Final = """
SELECT id, 1 - (vector <=> $2::real[]::vector) AS cosine FROM {table}
WHERE shelf = $1 AND ends > $3 ORDER BY vector <=> $2::real[]::vector LIMIT $4
"""


class PgVectors:
    """`Vectors`; `url` is PostgreSQL's. `clock` tells Unix seconds."""

    def __init__(
        self, url: str, *, prefix: str = "pointsman", answer_s: float = ANSWER_S, clock: Callable[[], float] = time.time
    ) -> None:
        require(PGVECTOR)
        self._url = url
        self._prefix = prefix
        self._clock = clock
        self._answer_s = answer_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._reach: Reach
        self._tables: set[int] = set()
        self._adds = 0

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        values = vector.tolist()

        async def insert() -> None:
            table = await self._table(len(values))
            await self._do(ADD.format(table=table), _name_of(shelf), entry_id, expires_at_s, values)

        self._reach.tell(insert)
        self._adds += 1
        if self._adds % ADDS_PER_SWEEP == 0:
            self._reach.tell(self._sweep)

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        ids = list(entry_ids)

        async def delete() -> None:
            for table in await self._all_tables():
                await self._do(f"DELETE FROM {table} WHERE shelf = $1 AND id = ANY($2)", _name_of(shelf), ids)  # noqa: S608 - our own name

        self._reach.tell(delete)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        async def select() -> list[asyncpg.Record]:
            query = NEAREST.format(table=await self._table(len(vector)))
            return await self._read(query, _name_of(shelf), vector.tolist(), self._clock(), count)

        return [Near(str(row["id"]), float(row["cosine"])) for row in await self._reach.ask(select)]

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        import numpy as np  # noqa: PLC0415 - an extra

        async def select() -> list[asyncpg.Record]:
            found: list[asyncpg.Record] = []
            for table in await self._all_tables():
                query = f"SELECT vector::real[] AS vector FROM {table} WHERE shelf = $1 AND id = $2"  # noqa: S608 - our own name
                found += await self._read(query, _name_of(shelf), entry_id)
            return found

        rows = await self._reach.ask(select)
        return np.asarray(rows[0]["vector"], np.float32) if rows else None

    async def count(self) -> int | None:
        async def counted() -> int:
            tables = await self._all_tables()
            rows = [await self._read(f"SELECT count(*) AS n FROM {table}") for table in tables]  # noqa: S608 - our own name
            return sum(int(one[0]["n"]) for one in rows)

        return await self._reach.ask(counted)

    async def settled(self) -> None:
        await self._reach.settled()

    async def start(self) -> None:
        """Raises `StartError` where the database is there and the extension cannot be."""
        import asyncpg  # noqa: PLC0415 - an extra

        self._reach = Reach("PostgreSQL", (asyncpg.PostgresError, asyncpg.InterfaceError), self._answer_s)
        try:
            await Reach("PostgreSQL", (asyncpg.InterfaceError,), CONNECT_S).ask(self._extend)
        except StoreUnavailable:
            return  # away: the first question tries again
        except asyncpg.PostgresError as error:
            raise StartError(f"cache.vectors: PostgreSQL has no extension `vector` for us: {error}") from error

    async def close(self) -> None:
        if hasattr(self, "_reach"):  # else it was never started
            await self._reach.close()
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _connected(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            import asyncpg  # noqa: PLC0415 - an extra

            pool = asyncpg.create_pool(self._url, min_size=0, max_size=CONNECTIONS, timeout=self._answer_s)
            self._pool = await pool
        return self._pool

    async def _extend(self) -> None:
        pool = await self._connected()
        if await pool.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'vector'") is None:
            await pool.execute("CREATE EXTENSION IF NOT EXISTS vector")

    async def _table(self, dimensions: int) -> str:
        """Made where it is not there yet; one gateway at a time."""
        if not 0 < dimensions <= DIMENSIONS_MAX:
            raise ValueError("a vector of a size that PostgreSQL cannot keep")
        table = f"{self._prefix}_vectors_{dimensions}"
        if dimensions not in self._tables:
            pool = await self._connected()
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await connection.execute(MAKE.format(table=table, dimensions=dimensions))
            self._tables.add(dimensions)
        return table

    async def _all_tables(self) -> list[str]:
        """Other gateways' embedders may have made some."""
        rows = await self._read(TABLES, f"^{re.escape(self._prefix)}_vectors_[0-9]+$")
        return [str(row["name"]) for row in rows]

    async def _do(self, query: str, *arguments: Any) -> None:  # noqa: ANN401 - of any type that PostgreSQL has
        await (await self._connected()).execute(query, *arguments)

    async def _read(self, query: str, *arguments: Any) -> list[asyncpg.Record]:  # noqa: ANN401 - as above
        found: list[asyncpg.Record] = await (await self._connected()).fetch(query, *arguments)
        return found

    async def _sweep(self) -> None:
        for table in await self._all_tables():
            await self._do(f"DELETE FROM {table} WHERE ends <= $1", self._clock())  # noqa: S608 - our own name


def _name_of(shelf: Shelf) -> bytes:
    return hashlib.blake2b(f"{shelf.name}:{shelf.owner}".encode(), digest_size=18).digest()
