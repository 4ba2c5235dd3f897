"""Vectors on Redis itself: in vector sets where Redis has them (from 8 on), else in an index here that a stream feeds.

Which of the two it is, is found by asking Redis whether it knows the command. Vectors are made of questions and say
about what was asked; they are searched where they lie, and so they are not encrypted.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from typing import TYPE_CHECKING, Final

from gateway.state.answers.line import Line
from gateway.state.answers.scripts import SCRIPTS
from gateway.state.answers.store import StoreUnavailable
from gateway.state.answers.vector_store import Near
from gateway.state.redis.router import Router
from gateway.state.redis.scripts import command, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.scripts import Keys
    from gateway.state.answers.vector_store import Shelf, Vectors
    from gateway.state.redis.dialing import Dialer, Timings

log = logging.getLogger(__name__)

COMMAND_INFO: Final = command(b"COMMAND", b"INFO", b"VSIM")


class VectorSets:
    """`Vectors` in vector sets, one for each shelf. They live as long as the longest-lived entry among theirs.

    Redis searches in threads of its own, so that others need not wait; on this connection they would.
    """

    def __init__(self, line: Line, keys: Keys, clock: Callable[[], float]) -> None:
        self._line = line
        self._keys = keys
        self._clock = clock

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        lives_ms = int((expires_at_s - self._clock()) * 1000)
        if lives_ms <= 0:
            return
        key, tag = self._keys.shelf(shelf.owner, shelf.name), tag_of(shelf.owner)
        # CAS: neighbours are looked for in a thread of Redis', or all that it serves would wait a while each time.
        self._line.tell(command(b"VADD", key, b"FP32", _floats(vector), entry_id.encode(), b"CAS", b"Q8"), tag)
        for only in (b"NX", b"GT"):  # a key without an end counts as one that never ends, so GT alone would not set it
            self._line.tell(command(b"PEXPIRE", key, b"%d" % lives_ms, only), tag)

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        key, tag = self._keys.shelf(shelf.owner, shelf.name), tag_of(shelf.owner)
        for entry_id in entry_ids:
            self._line.tell(command(b"VREM", key, entry_id.encode()), tag)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        """Redis says (1 + cosine) / 2."""
        key = self._keys.shelf(shelf.owner, shelf.name)
        asked = command(b"VSIM", key, b"FP32", _floats(vector), b"WITHSCORES", b"COUNT", b"%d" % count)
        said = await self._line.ask(asked, tag_of(shelf.owner))
        try:
            return [Near(name.decode(), 2.0 * float(score) - 1.0) for name, score in _pairs(said)]
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreUnavailable("Redis answered what was not asked") from error

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        import numpy as np  # noqa: PLC0415 - an extra

        key = self._keys.shelf(shelf.owner, shelf.name)
        said = await self._line.ask(command(b"VEMB", key, entry_id.encode()), tag_of(shelf.owner))
        if not isinstance(said, list):
            return None
        with contextlib.suppress(ValueError, TypeError):
            return np.asarray([float(part) for part in said], np.float32)
        return None

    async def count(self) -> int | None:
        return None

    async def settled(self) -> None:
        await self._line.settled()

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


class RedisVectors:
    """`Vectors` in whichever way this Redis can."""

    def __init__(self, dialer: Dialer, timings: Timings, keys: Keys, clock: Callable[[], float]) -> None:
        self._dialer = dialer
        self._timings = timings
        self._keys = keys
        self._clock = clock
        self._line = Line(Router(dialer, timings, (SCRIPTS.walk, SCRIPTS.vector, SCRIPTS.vectors), lambda: None))
        self._vectors: Vectors | None = None
        self._choosing: asyncio.Task[Vectors] | None = None
        self._gathering: asyncio.Task[None] | None = None
        self._adding: set[asyncio.Task[None]] = set()

    @property
    def has_sets(self) -> bool | None:
        """None while it is not known."""
        return None if self._vectors is None else isinstance(self._vectors, VectorSets)

    def add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        if self._vectors is not None:
            self._vectors.add(shelf, entry_id, vector, expires_at_s)
            return
        task = asyncio.get_running_loop().create_task(self._add(shelf, entry_id, vector, expires_at_s))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    def remove(self, shelf: Shelf, entry_ids: Sequence[str]) -> None:
        if self._vectors is not None:  # else nobody here was told of them, and whoever meets them removes them
            self._vectors.remove(shelf, entry_ids)

    async def nearest(self, shelf: Shelf, vector: Vector, count: int) -> Sequence[Near]:
        return await (await self._chosen()).nearest(shelf, vector, count)

    async def vector_of(self, shelf: Shelf, entry_id: str) -> Vector | None:
        return await (await self._chosen()).vector_of(shelf, entry_id)

    async def count(self) -> int | None:
        return None if self._vectors is None else await self._vectors.count()

    async def settled(self) -> None:
        while self._adding:
            await asyncio.wait(self._adding)
        if self._vectors is not None:
            await self._vectors.settled()

    async def start(self) -> None:
        """It is found out with the first vector, or by `gather`: a gateway that compares no questions needs neither."""

    def gather(self) -> None:
        """Find out now, and have an index of this process fed; a Redis that is away is asked until it is there."""
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().create_task(self._gather(), name="answers-gathering")

    async def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            await asyncio.wait([self._gathering])
        if self._choosing is not None:
            await asyncio.wait([self._choosing])
        if self._vectors is not None:
            await self._vectors.close()
        await self._line.close()

    async def _add(self, shelf: Shelf, entry_id: str, vector: Vector, expires_at_s: float) -> None:
        with contextlib.suppress(StoreUnavailable):
            (await self._chosen()).add(shelf, entry_id, vector, expires_at_s)

    async def _gather(self) -> None:
        with contextlib.suppress(ImportError):  # its absence is told by who needs it
            await asyncio.to_thread(importlib.import_module, "numpy")  # long, and vectors that come are made of it
        while True:
            try:
                await self._chosen()
            except StoreUnavailable:
                await asyncio.sleep(self._timings.backoff_max_s)
            else:
                return

    async def _chosen(self) -> Vectors:
        """All who ask while it is found out wait for the one answer, and no longer than that takes."""
        if self._vectors is None:
            if self._choosing is None:
                self._choosing = asyncio.get_running_loop().create_task(self._choose(), name="answers-vectors")
                self._choosing.add_done_callback(self._chose)
            return await asyncio.shield(self._choosing)
        return self._vectors

    def _chose(self, choosing: asyncio.Task[Vectors]) -> None:
        self._choosing = None
        if not choosing.cancelled() and choosing.exception() is None:
            self._vectors = choosing.result()

    async def _choose(self) -> Vectors:
        said = await self._line.ask(COMMAND_INFO, "")
        if isinstance(said, list) and said and isinstance(said[0], list):
            log.info("the cache's vectors are in Redis' vector sets")
            return VectorSets(self._line, self._keys, self._clock)
        from gateway.state.answers.shared_feed import FedVectors  # noqa: PLC0415 - an index of its own, and its extra

        log.info("this Redis has no vector sets: the cache's vectors are in an index of each gateway's own")
        fed = FedVectors(self._line, self._dialer, self._timings, self._keys, self._clock)
        await fed.start()
        return fed


def _floats(vector: Vector) -> bytes:
    return vector.astype("<f4").tobytes()


def _pairs(said: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(said, list) or len(said) % 2:
        raise TypeError("not what VSIM says")
    return list(zip(said[::2], said[1::2], strict=True))
