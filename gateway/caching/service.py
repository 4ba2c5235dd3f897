"""The cache for the whole life of the process: where answers are kept, what compares questions, and the stage on both.

Answers are kept in this process, in a file beside it where the policy names one, or on the Redis that limits are shared
on. What a route's cache does changes with a reload; where answers are kept, and by what they are compared, does not.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from random import Random
from typing import TYPE_CHECKING, Final

from gateway.caching.embedding import DeploymentEmbeddings
from gateway.caching.errands import Errands
from gateway.caching.feedback import PATH, Feedback
from gateway.caching.flights import Flights
from gateway.caching.judge import Judge
from gateway.caching.keeping import Keeper
from gateway.caching.learning import Learning
from gateway.caching.lookup import Lookup, Means
from gateway.caching.served import Served
from gateway.caching.shadow import Scales, Shadow
from gateway.caching.standing import semantic_routes, standings
from gateway.embedding.by_deployment import DeploymentEmbedder
from gateway.extras import REDIS, SEMANTIC, require
from gateway.signals.cache_metrics import CacheMetrics
from gateway.signals.cache_telemetry import LabelSource
from gateway.stages.cache import Aside, CacheStage, Tools
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.indexed import IndexedAnswers
from gateway.state.answers.store import Gathering, Stock, StoreUnavailable
from policies.cache_accounts import CREDIT
from policies.cache_eviction import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.caching.errands import Office
    from gateway.caching.shadow import Label
    from gateway.call import Call
    from gateway.config import Config
    from gateway.edge import Edge
    from gateway.embedding.embedder import Embedder
    from gateway.generation import Generation
    from gateway.server import Inbound, Outbound
    from gateway.signals.cache_metrics import RouteStanding
    from gateway.signals.metrics import Registry
    from gateway.state.answers.sealing import Sealing
    from gateway.state.answers.store import AnswerStore
    from gateway.state.answers.vector_store import Vectors

log = logging.getLogger(__name__)

STOCK_EVERY_S: Final = 10.0
EMBED_WITHIN_S: Final = 0.25
"""The bundled model takes a twentieth of it; the rest is for those who are before it."""
ASK_WITHIN_S: Final = 1.0
"""For an embedder that is a deployment."""


class Caching:
    """Process scope. `current` gives the policy in force. Nothing is begun before a policy has a route with a cache."""

    def __init__(self, config: Config, office: Office, current: Callable[[], Generation], registry: Registry) -> None:
        self._current = current
        self._registry = registry
        self._metrics: CacheMetrics | None = None
        self._embedder: Embedder | None = None
        self._has_begun = False
        self._stock = Stock(None, None, None)
        self.kind = "redis" if config.state.is_shared else "memory"
        self.store = store_of(config)
        self.learning = Learning(self.store, CREDIT / (config.server.workers * config.state.nodes))
        self.curves = self.learning.curves
        self._watching: asyncio.Task[None] | None = None
        rng = Random(secrets.randbits(256))  # noqa: S311 - ids must be unique, not secret
        self.errands = Errands(office, rng)
        judge = Judge(self.errands, self._judged)
        self._shadow = Shadow(self.errands, Scales(lambda: self._embedder, judge), self._learn, rng)
        self._keeper = Keeper(self.store, lambda: self._embedder, self._not_stored)
        within_s = EMBED_WITHIN_S if config.cache.embedder.deployment is None else ASK_WITHIN_S
        means = Means(self.store, lambda: self._embedder, self.learning, lambda: self.metrics, within_s)
        served = Served()
        flights = Flights(lambda: self._keeper.is_busy)
        tools = Tools(Lookup(means), self._keeper, flights, served, Aside(judge, self._shadow), rng)
        self.stage = CacheStage(tools)
        self._feedback = Feedback(self.store, served, self.learning, lambda: self.metrics)

    @property
    def metrics(self) -> CacheMetrics:
        """Nothing is told of caches before there is one."""
        if self._metrics is None:
            self._metrics = CacheMetrics(self._registry)
            self._metrics.watch(self)
        return self._metrics

    @property
    def is_used(self) -> bool:
        return self._has_begun

    def watch(self, stored: Callable[[Call, tuple[int, int]], None]) -> None:
        """Call `stored` with each call whose answer is kept, and from when to when that was done."""
        self._keeper.stored = stored

    def serve(self, edge: Edge) -> None:
        """Take feedback."""
        edge.add("POST", PATH, self._respond)

    async def prepare(self, config: Config) -> None:
        """Begin what this policy's routes need. Raises `StartError` for what the operator must mend."""
        cached = [route.cache for route in config.routes if route.cache is not None]
        if not cached:
            return
        embedder = self._embedder
        if embedder is None and any(cache.semantic is not None for cache in cached):
            embedder = embedder_of(config, self.errands)
            await embedder.start()
        if not self._has_begun:
            await self.store.start()
            self._has_begun = True
            self.learning.start()
            self._watching = asyncio.create_task(self._watch_now_and_then(), name="cache: stock")
        if embedder is not None and isinstance(self.store, Gathering):
            self.store.gather()
        self._embedder = embedder
        if embedder is not None:
            await asyncio.gather(*(self.learning.begin(name, embedder.id) for name in semantic_routes(config)))
        _ = self.metrics

    async def stop_asking(self) -> None:
        """No model is asked any more; what goes on is given up. While calls can still be recorded."""
        self.errands.close()
        await self._shadow.close()

    async def close(self) -> None:
        """After the last call has ended; what was learnt is remembered."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._has_begun:
            await self._keeper.close()
            await self.learning.close()
            await self.store.close()
        if self._embedder is not None:
            await self._embedder.close()

    # -- what scrapes and operators read

    def standings(self) -> Iterable[RouteStanding]:
        """Routes with a semantic cache."""
        return standings(self._current().routes, self.learning.routes())

    def stocks(self) -> Iterable[tuple[str, Stock]]:
        """What the store held when it was last asked, by its kind."""
        return [(self.kind, self._stock)] if self._has_begun else []

    def embedders(self) -> Iterable[tuple[str, int, bool]]:
        """By id: how many questions wait, and whether it can be asked."""
        embedder = self._embedder
        if embedder is None:
            return []
        return [(embedder.id, getattr(embedder, "waiting", 0), getattr(embedder, "is_ready", True))]

    async def _watch_now_and_then(self) -> None:
        while True:
            try:
                self._stock = await self.store.stock()
            except StoreUnavailable:
                self.metrics.unavailable("store")
            except Exception:
                log.exception("what a cache holds could not be found out")
            await asyncio.sleep(STOCK_EVERY_S)

    def _learn(self, label: Label) -> None:
        """What a shadow check found."""
        hit = label.hit
        self.learning.labelled(hit.where, hit.log_odds, wrong=label.wrong)
        self.store.note(hit.kept, good=not label.wrong, bad=label.wrong)
        self.metrics.labelled(hit.where.route, LabelSource.SHADOW, is_good=not label.wrong)

    def _judged(self, route: str, verdict: str) -> None:
        self.metrics.judged(route, verdict)

    def _not_stored(self, route: str, reason: str) -> None:
        self.metrics.not_stored(route, reason)

    async def _respond(self, inbound: Inbound, request_id: str) -> Outbound:
        return await self._feedback.respond(self._current(), inbound, request_id)


def store_of(config: Config) -> AnswerStore:
    """Where `state.url` says. Raises `MissingExtra`, `StartError`."""
    settings = config.cache
    bounds = Bounds(settings.entries_max, settings.size_max_bytes)
    sealing, vectors = _sealing(config), _vectors(config)
    if config.state.is_shared:
        require(REDIS)
        from gateway.state.answers.shared import AnswerOptions, SharedAnswers  # noqa: PLC0415 - only shared state needs it
        from gateway.state.redis.dialing import Timings  # noqa: PLC0415 - as above

        options = AnswerOptions(timings=Timings(answer_s=config.state.timeout_s), sealing=sealing, vectors=vectors)
        return SharedAnswers(config.state.url.reveal(), bounds, options)
    snapshot = None
    if settings.file is not None:
        from gateway.state.answers.snapshot import Snapshot  # noqa: PLC0415 - only a file needs it

        snapshot = Snapshot(settings.file, sealing)
    store = InProcessAnswers(bounds, time.time, snapshot)
    return store if vectors is None else IndexedAnswers(store, vectors)


def _vectors(config: Config) -> Vectors | None:
    """A database for them, where one is named."""
    named = config.cache.vectors
    if named.qdrant is not None:
        from gateway.state.answers.qdrant import QdrantVectors  # noqa: PLC0415 - an extra

        return QdrantVectors(named.qdrant.reveal())
    if named.pgvector is not None:
        from gateway.state.answers.pgvector import PgVectors  # noqa: PLC0415 - an extra

        return PgVectors(named.pgvector.reveal())
    return None


def _sealing(config: Config) -> Sealing | None:
    key = config.cache.encryption_key
    if key is None:
        return None
    from gateway.state.answers.sealing import Sealing  # noqa: PLC0415 - brings a library

    return Sealing([key.reveal()])


def embedder_of(config: Config, errands: Errands) -> Embedder:
    """What compares questions. Raises `MissingExtra`."""
    require(SEMANTIC)
    settings = config.cache.embedder
    if settings.deployment is None or settings.window_tokens is None:
        from gateway.embedding.minilm import MiniLm  # noqa: PLC0415 - only a semantic cache needs it

        return MiniLm()
    name = settings.deployment
    embeddings = DeploymentEmbeddings(errands, name, ASK_WITHIN_S)
    model = config.deployments[name].model or ""
    return DeploymentEmbedder(name, model, embeddings, window_tokens=settings.window_tokens)
