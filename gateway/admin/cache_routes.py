"""The routes of caches: how they do, what they keep, and dropping it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gateway.admin.answers import Unavailable, as_json
from gateway.admin.cache_shapes import (
    CacheDropped,
    CacheEntry,
    CacheEntryList,
    CacheOfRoute,
    CacheQuery,
    CacheStats,
    CacheStock,
    CacheToDrop,
)
from gateway.admin.routes import Permission, Route, Told
from gateway.admin.shapes import set_or_none
from gateway.errors import RequestError
from gateway.signals.cache_metrics import RouteCounts
from gateway.state.answers.store import StoreUnavailable, Which

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.admin.answers import Answer
    from gateway.admin.routes import Asked
    from gateway.caching.curves import Curves
    from gateway.signals.cache_metrics import CacheMetrics, RouteStanding
    from gateway.state.answers.store import AnswerStore, Kept

CACHE: Final = "/admin/v1/cache"
FOREVER_S: Final = 253_402_300_800.0
"""Later than anything was stored."""
_NONE: Final = RouteCounts({}, 0, 0, 0, 0, 0)


class Caches(Protocol):
    """What operators look at and change; `kind` says where answers are kept."""

    @property
    def store(self) -> AnswerStore: ...

    @property
    def metrics(self) -> CacheMetrics: ...

    @property
    def kind(self) -> str: ...

    @property
    def curves(self) -> Curves: ...

    def standings(self) -> Iterable[RouteStanding]:
        """Routes with a semantic cache."""


class CacheRoutes:
    """`caches` is None where no route has one."""

    def __init__(self, caches: Callable[[], Caches | None]) -> None:
        self._caches = caches

    def routes(self) -> tuple[Route, ...]:
        stats = {200: Told("How the caches of routes do, and what is kept.", CacheStats)}
        dropped = {200: Told("How many are gone; nobody finds them any more.", CacheDropped)}
        entries = {200: Told("What is kept.", CacheEntryList)}
        read, write = Permission.CACHE_READ, Permission.CACHE_WRITE
        return (
            Route("GET", CACHE, read, self._stats, "Show how caches do", answers=stats),
            Route("GET", f"{CACHE}/entries", read, self._list, "List cached answers", CacheQuery, answers=entries),
            Route(
                "POST", f"{CACHE}/invalidate", write, self._drop, "Drop cached answers",
                body=CacheToDrop, answers=dropped,
            ),
        )  # fmt: skip

    async def _stats(self, _: Asked) -> Answer:
        caches = self._caches()
        if caches is None:
            return as_json(msgspec.to_builtins(CacheStats(store=None, routes=[])))
        try:
            stock = await caches.store.stock()
        except StoreUnavailable as error:
            raise away() from error
        store = CacheStock(kind=caches.kind, **stock._asdict())
        return as_json(msgspec.to_builtins(CacheStats(store=store, routes=_by_route(caches))))

    async def _list(self, asked: Asked) -> Answer:
        query: CacheQuery = asked.query
        if query.text and Permission.CACHE_READ_TEXT not in asked.operator.permissions:
            message = f"To read prompts and answers needs the permission {Permission.CACHE_READ_TEXT}."
            raise RequestError(message, status=403, code="permission_denied")
        caches = self._caches()
        if caches is None:
            return as_json(msgspec.to_builtins(CacheEntryList(entries=[])))
        which = _which(query)
        try:
            found = await _newest(caches.store, which, query.limit)
        except StoreUnavailable as error:
            raise away() from error
        shown = [_shown(kept, with_text=query.text) for kept in found]
        return as_json(msgspec.to_builtins(CacheEntryList(entries=shown)))

    async def _drop(self, asked: Asked) -> Answer:
        body: CacheToDrop = asked.body
        which, org = _which(body, set_or_none(body.stored_before_ms)), set_or_none(body.org)
        is_narrowed = which is not None or org is not None
        if body.all is is_narrowed:
            raise RequestError(
                "Say which entries by id, tag, route, owner, org or stored_before_ms, or else all: true.",
                param="all" if body.all else None,
            )
        caches = self._caches()
        dropped = 0
        if caches is not None:
            try:
                dropped = await drop(caches.store, which or Which(stored_before_s=FOREVER_S), org)
            except StoreUnavailable as error:
                raise away() from error
        return as_json(msgspec.to_builtins(CacheDropped(dropped=dropped)))


async def drop(store: AnswerStore, which: Which, org: str | None) -> int:
    """How many are gone. A tenant's are all those of its owners."""
    if org is None:
        return await store.drop(which)
    owners = {kept.entry.owner async for kept, _ in store.entries(which) if org_of(kept.entry.owner) == org}
    return sum([await store.drop(which._replace(owner=owner)) for owner in sorted(owners)])


def org_of(owner: str) -> str | None:
    """The tenant in an owner's name; None for what all of them share."""
    _, colon, rest = owner.partition(":")
    return rest.partition("/")[0] if colon else None


async def _newest(store: AnswerStore, which: Which | None, count: int) -> list[Kept]:
    """With a bounded memory: stores may hold far more than are asked for."""
    newest: list[tuple[float, str, Kept]] = []
    async for kept, _ in store.entries(which):
        heapq.heappush(newest, (kept.entry.stored_at_s, kept.entry.id, kept))
        if len(newest) > count:
            heapq.heappop(newest)
    return [kept for _, _, kept in sorted(newest, key=lambda one: one[:2], reverse=True)]


def _which(said: CacheQuery | CacheToDrop, before_ms: int | None = None) -> Which | None:
    """None where nothing narrows."""
    owner, route, tag, entry_id = (set_or_none(part) for part in (said.owner, said.route, said.tag, said.id))
    which = Which(owner, route, tag, None if before_ms is None else before_ms / 1000, entry_id)
    return None if which == Which() else which


def _by_route(caches: Caches) -> list[CacheOfRoute]:
    counts = caches.metrics.counts()
    standing = {one.route: one for one in caches.standings()}
    return [_route(name, counts.get(name, _NONE), standing.get(name)) for name in sorted({*counts, *standing})]


def _route(name: str, counts: RouteCounts, standing: RouteStanding | None) -> CacheOfRoute:
    return CacheOfRoute(
        route=name,
        **counts._asdict(),
        false_hits_max=None if standing is None else standing.budget,
        risk_bar=None if standing is None else standing.bar,
        expected=None if standing is None else standing.expected,
        observed_max=None if standing is None else standing.observed_max,
        labels_good=0 if standing is None else standing.labels_good,
        labels_bad=0 if standing is None else standing.labels_bad,
        over_budget=standing is not None and standing.is_over_budget,
    )


def _shown(kept: Kept, *, with_text: bool) -> CacheEntry:
    entry, record = kept.entry, kept.record
    return CacheEntry(
        id=entry.id,
        owner=entry.owner,
        route=entry.route,
        endpoint=entry.endpoint,
        model=entry.model,
        deployment=entry.deployment,
        stored_at_ms=int(entry.stored_at_s * 1000),
        expires_at_ms=int(entry.expires_at_s * 1000),
        tags=list(entry.tags),
        embedder=entry.embedder,
        request_id=entry.request_id,
        size_bytes=entry.size_bytes,
        hits=record.hits,
        good=record.good,
        bad=record.bad,
        input_tokens=entry.used.input_tokens,
        output_tokens=entry.used.output_tokens,
        cost_nanousd=entry.used.cost_nanousd,
        question=entry.question if with_text else None,
        answer=entry.body.decode(errors="replace") if with_text else None,
    )


def away() -> Unavailable:
    return Unavailable("The store of answers cannot be asked now.", "cache_unavailable")
