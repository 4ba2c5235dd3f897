"""The routes by which answers move from one gateway's cache to another's, a part at a time."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from gateway.admin.answers import as_json
from gateway.admin.cache_routes import CACHE, away
from gateway.admin.cache_shapes import CacheExport, CacheImported, CachePart, CacheToImport, RefusedLine
from gateway.admin.routes import Permission, Route, Told
from gateway.errors import RequestError
from gateway.state.answers.dump import NotADump, Refused, entry_line, heading_line, read_entries, read_heading
from gateway.state.answers.store import Kept, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admin.answers import Answer
    from gateway.admin.cache_routes import Caches
    from gateway.admin.routes import Asked
    from gateway.state.answers.store import AnswerStore

EXPORT_BYTES_MAX: Final = 48 << 20


class CacheDumpRoutes:
    """`caches` is None where no route has one. `clock` tells seconds since the epoch."""

    def __init__(self, caches: Callable[[], Caches | None], clock: Callable[[], float] = time.time) -> None:
        self._caches = caches
        self._clock = clock

    def routes(self) -> tuple[Route, ...]:
        exported = {200: Told("A part of what is kept, prompts and answers included.", CacheExport)}
        imported = {200: Told("How many entries were taken over, and which were not.", CacheImported)}
        read, write = Permission.CACHE_READ_TEXT, Permission.CACHE_WRITE
        return (
            Route("GET", f"{CACHE}/export", read, self._export, "Export cached answers", CachePart, answers=exported),
            Route(
                "POST", f"{CACHE}/import", write, self._import, "Import cached answers",
                body=CacheToImport, answers=imported,
            ),
        )  # fmt: skip

    async def _export(self, asked: Asked) -> Answer:
        part: CachePart = asked.query
        if part.part >= part.parts:
            raise RequestError("There is no such part: they are counted from 0.", param="part")
        caches = self._caches()
        lines = [] if caches is None else await _lines(caches.store, part)
        heading = heading_line("", self._clock()).decode().rstrip()
        return as_json(msgspec.to_builtins(CacheExport(heading=heading, lines=lines)))

    async def _import(self, asked: Asked) -> Answer:
        body: CacheToImport = asked.body
        caches = self._caches()
        if caches is None:
            raise RequestError("No route of this gateway has a cache.", status=409, code="cache_not_configured")
        try:
            read_heading(io.BytesIO(_one_line(body.heading)))
        except NotADump as error:
            raise RequestError(f"The heading cannot be read: {error}.", param="heading") from error
        refused = []
        for number, line in enumerate(body.lines, 1):
            why = await self._take(caches.store, line)
            if why is not None:
                refused.append(RefusedLine(line=number, why=why))
        kept = len(body.lines) - len(refused)
        return as_json(msgspec.to_builtins(CacheImported(kept=kept, refused=refused)))

    async def _take(self, store: AnswerStore, line: str) -> str | None:
        """Why not, where it is not."""
        found = next(iter(read_entries(io.BytesIO(_one_line(line)))), None)
        if found is None:
            return "it is empty"
        if isinstance(found, Refused):
            return found.why
        if found.entry.expires_at_s <= self._clock():
            return "it has expired"
        await store.keep(found.entry, found.vector)
        hits, good, bad = found.record.hits, found.record.good, found.record.bad
        if hits or good or bad:
            store.note(Kept(found.entry, found.record), hits=hits, good=good, bad=bad)
        return None


async def _lines(store: AnswerStore, part: CachePart) -> list[str]:
    """Without what changes while they are read: an entry is in the part that its id says."""
    lines, size = [], 0
    try:
        async for kept, vector in store.entries():
            if crc32(kept.entry.id.encode()) % part.parts == part.part:
                line = entry_line(kept, vector).decode().rstrip()
                lines.append(line)
                size += len(line)
                if size > EXPORT_BYTES_MAX:
                    raise RequestError("This part is too long for one answer; ask for more parts.", param="parts")
    except StoreUnavailable as error:
        raise away() from error
    return lines


def _one_line(text: str) -> bytes:
    return text.replace("\n", " ").encode(errors="replace") + b"\n"
