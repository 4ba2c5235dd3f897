"""Vectors in Qdrant, for stores whose own index is not wanted: one collection for each number of dimensions.

Owner and scope are in a point's payload as one digest, by which every search is filtered; texts are not in it. What
has expired is not found, and is deleted now and then.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from gateway.extras import QDRANT, require
from gateway.state.answers.reach import Reach
from gateway.state.answers.vector_store import Near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qdrant_client import AsyncQdrantClient, models

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.vector_store import Shelf

ANSWER_S: Final = 0.5
ADDS_PER_SWEEP: Final = 500
IN_MEMORY: Final = ":memory:"
IN_FOLDER: Final = "file:"


class QdrantVectors:
    """`Vectors`; `url` is a server's, with its API key for a password, or names one in this process, to try it out:
    `:memory:` or `file:FOLDER`. `clock` tells Unix seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "pointsman",
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require(QDRANT)
        self._url = url
        self._is_here = url == IN_MEMORY or url.startswith(IN_FOLDER)
        self._namespace = namespace
        self._answer_s = answer_s
        self._clock = clock
        self._client: AsyncQdrantClient
        self._models: Any
        self._reach: Reach
        self._collections: set[int] = set()
        self._adds = 0

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        payload = {"shelf": _name_of(shelf), "id": entry_id, "ends": expires_at_s}
        dimensions, values = len(vector), vector.tolist()

        async def upsert() -> None:
            point = self._models.PointStruct(id=_point_of(shelf, entry_id), vector=values, payload=payload)
            await self._client.upsert(await self._collection(dimensions), [point])

        self._reach.tell(upsert)
        self._adds += 1
        if self._adds % ADDS_PER_SWEEP == 0:
            self._reach.tell(self._sweep)

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        points = [_point_of(shelf, entry_id) for entry_id in entry_ids]

        async def delete() -> None:
            for name in await self._all_collections():
                await self._client.delete(name, self._models.PointIdsList(points=points))

        self._reach.tell(delete)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        make = self._models
        there = make.FieldCondition(key="shelf", match=make.MatchValue(value=_name_of(shelf)))
        lives = make.FieldCondition(key="ends", range=make.Range(gt=self._clock()))

        async def query() -> models.QueryResponse:
            return await self._client.query_points(
                await self._collection(len(vector)),
                query=vector.tolist(),
                query_filter=make.Filter(must=[there, lives]),
                limit=count,
                with_payload=["id"],
            )

        found = await self._reach.ask(query)
        return [Near(str((point.payload or {}).get("id", "")), float(point.score)) for point in found.points]

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        import numpy as np  # noqa: PLC0415 - an extra

        async def read() -> list[models.Record]:
            point = _point_of(shelf, entry_id)
            names = await self._all_collections()
            return [one for name in names for one in await self._client.retrieve(name, [point], with_vectors=True)]

        records = await self._reach.ask(read)
        return np.asarray(records[0].vector, np.float32) if records and isinstance(records[0].vector, list) else None

    async def count(self) -> int | None:
        async def counted() -> int:
            return sum([(await self._client.count(name)).count for name in await self._all_collections()])

        return await self._reach.ask(counted)

    async def settled(self) -> None:
        await self._reach.settled()

    async def start(self) -> None:
        """Loads the client, which takes a while, and asks the server nothing."""
        errors = await asyncio.to_thread(self._load)
        self._reach = Reach("Qdrant", errors, self._answer_s)

    async def close(self) -> None:
        if hasattr(self, "_reach"):  # else it was never started
            await self._reach.close()
            await self._client.close()

    def _load(self) -> tuple[type[Exception], ...]:
        from qdrant_client import AsyncQdrantClient, models  # noqa: PLC0415 - an extra, and heavy
        from qdrant_client.http.exceptions import ApiException  # noqa: PLC0415 - as above

        self._models = models
        if self._url == IN_MEMORY:
            self._client = AsyncQdrantClient(location=IN_MEMORY)
        elif self._is_here:
            self._client = AsyncQdrantClient(path=self._url.removeprefix(IN_FOLDER))
        else:
            url, api_key = without_key(self._url)
            self._client = AsyncQdrantClient(url=url, api_key=api_key, check_compatibility=False)
        return (ApiException, ValueError)

    async def _collection(self, dimensions: int) -> str:
        """Made where it is not there yet; another gateway may be making it too."""
        name = f"{self._namespace}-answers-{dimensions}"
        if dimensions not in self._collections:
            if not await self._client.collection_exists(name):
                await self._make(name, dimensions)
            self._collections.add(dimensions)
        return name

    async def _make(self, name: str, dimensions: int) -> None:
        models = self._models
        config = models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
        try:
            await self._client.create_collection(name, vectors_config=config)
        except Exception:
            if not await self._client.collection_exists(name):
                raise
        if not self._is_here:  # which has no indexes, and says so in a warning
            by_shelf = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await self._client.create_payload_index(name, "shelf", by_shelf)
            await self._client.create_payload_index(name, "ends", models.PayloadSchemaType.FLOAT)

    async def _all_collections(self) -> list[str]:
        """Other gateways' embedders may have made some."""
        start = f"{self._namespace}-answers-"
        names = [one.name for one in (await self._client.get_collections()).collections]
        return [name for name in names if name.startswith(start) and name.removeprefix(start).isdecimal()]

    async def _sweep(self) -> None:
        make = self._models
        over = make.FieldCondition(key="ends", range=make.Range(lte=self._clock()))
        for name in await self._all_collections():
            await self._client.delete(name, make.FilterSelector(filter=make.Filter(must=[over])))


def without_key(url: str) -> tuple[str, str | None]:
    """The URL, and the password that was in it."""
    split = urlsplit(url)
    _, _, host = split.netloc.rpartition("@")
    return split._replace(netloc=host).geturl(), unquote(split.password or split.username or "") or None


def _name_of(shelf: Shelf) -> str:
    return hashlib.blake2b(f"{shelf.name}:{shelf.owner}".encode(), digest_size=18).hexdigest()


def _point_of(shelf: Shelf, entry_id: str) -> str:
    text = f"{shelf.name}:{entry_id}:{shelf.owner}".encode()
    return str(uuid.UUID(bytes=hashlib.blake2b(text, digest_size=16).digest()))
