"""Entries that were kept while the embedder was being loaded: they get their vectors once it can make them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable
from gateway.state.answers.store import Kept, StoreUnavailable

if TYPE_CHECKING:
    from gateway.embedding.embedder import Embedder, Loading
    from gateway.state.answers.store import AnswerStore, Entry

log = logging.getLogger(__name__)

WAITING_MAX: Final = 500
"""What is kept beyond that has no vector, and is found by its words alone."""


class _Waits(NamedTuple):
    entry_id: str
    owner: str
    question: str


class Backlog:
    """Process scope."""

    def __init__(self, store: AnswerStore) -> None:
        self._store = store
        self._waiting: deque[_Waits] = deque()
        self._working: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Entry, embedder: Embedder, loading: Loading) -> None:
        """`loading` is the embedder, which is not ready."""
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting.append(_Waits(entry.id, entry.owner, entry.question))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(embedder, loading), name="cache: backlog")

    async def settled(self) -> None:
        if self._working is not None:
            await asyncio.wait([self._working])

    async def close(self) -> None:
        """What waits goes without."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])

    async def _work(self, embedder: Embedder, loading: Loading) -> None:
        await loading.ready()
        while self._waiting:
            waits = self._waiting.popleft()
            try:
                await self._embed(embedder, waits)
            except EmbedderUnavailable:
                if not loading.is_ready:  # it could not be loaded, and has said so
                    self._waiting.clear()
            except StoreUnavailable:
                pass
            except Exception:
                log.exception("what was kept while the embedder was loaded could not be compared by meaning")

    async def _embed(self, embedder: Embedder, waits: _Waits) -> None:
        """What is gone, or another's by now, is left as it is."""
        ASKED_FOR.set(waits.owner)
        vector = await embedder.embed(waits.question)
        kept = None if vector is None else await self._store.get(waits.entry_id)
        if kept is None or kept.entry.owner != waits.owner or kept.entry.question != waits.question:
            return
        if self._store.drops.hold(kept.entry):  # while it was read
            return
        entry, record = replace(kept.entry, embedder=embedder.id), kept.record
        await self._store.keep(entry, vector)
        if record.hits or record.good or record.bad:
            self._store.note(Kept(entry, record), hits=record.hits, good=record.good, bad=record.bad)
