"""Limits for the whole life of the process: the store, and admission over it. Policies come and go; usage stays."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from gateway.extras import REDIS, require
from gateway.limits.admission import Admission
from gateway.limits.plans import PROMPT_COUNTS
from gateway.limits.reservations import Reservations
from gateway.prompts.estimates import Estimator
from gateway.signals import limit_telemetry
from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.reconcile import Reconciler
from policies.vocabulary import Period

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.config import Config
    from gateway.config.storage import StateSettings
    from gateway.records.reporting import Reporting
    from gateway.signals.metrics import Registry
    from gateway.state.limits.store import LimitStore
    from policies.vocabulary import Limit


class LimitService:
    """Process scope. Raises `MissingExtra` where the policy shares its state and the client for that is missing."""

    def __init__(self, config: Config, reporting: Reporting) -> None:
        self.store = store_of(config.state, config.server.workers, reporting.registry)
        self.estimator = Estimator(reporting.counter)
        reservations = Reservations(self.store, reporting.ledger)
        self.admission = Admission(reservations, self.estimator, reporting.registry)
        self.reconciler = Reconciler(self.store, reporting.ledger.spent_of)
        self._ledger = reporting.ledger
        self._reconciling: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        queues, sample = self.admission.room.depths, reporting.registry.sample
        sample(limit_telemetry.LIMIT_QUEUE, lambda: [((route,), n) for route, n in queues().items()])
        sample(limit_telemetry.LIMIT_RESERVATIONS, lambda: [((), self.admission.reservations)])
        sample(limit_telemetry.LIMIT_DRIFT, lambda: [((), self.reconciler.drift.ratio)])
        sample(limit_telemetry.LIMIT_CORRECTIONS, lambda: [((), self.reconciler.corrections)])

    async def start(self) -> None:
        await self.store.start()
        rounds = self.reconciler.run(lambda: list(self.admission.budgeted))
        self._reconciling = asyncio.create_task(rounds, name="limits-against-the-ledger")

    def warm(self, limits: Sequence[Limit], models: Iterable[str]) -> None:
        """Load in the background what the first calls under these limits would wait for."""
        if self._warming is not None:
            return
        weigh = any(limit.resource in PROMPT_COUNTS for limit in limits)
        look_up = any(isinstance(limit.window, Period) for limit in limits)
        self._warming = asyncio.create_task(self._warm(models if weigh else (), look_up=look_up), name="warming")

    async def _warm(self, models: Iterable[str], *, look_up: bool) -> None:
        """Tokenizers, without which the first crowd is counted by bytes; and SQL, which a budget's first call asks."""
        if look_up:
            with contextlib.suppress(Exception):  # whoever needs the answer will hear why there is none
                await self._ledger.spent("", 0.0)
        await self.estimator.warm(models)

    async def close(self) -> None:
        """After the last settlement, which the recorder may make."""
        tasks = [task for task in (self._reconciling, self._warming) if task is not None]
        self._reconciling = self._warming = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()


def store_of(state: StateSettings, workers: int, registry: Registry) -> LimitStore:
    """Numbers of a shared store go to `registry`. `workers`: how many processes of this node share it."""
    if not state.is_shared:
        return InProcessLimitStore(time.time)
    require(REDIS)
    from gateway.state.limits.chunk_leases import ChunkLeases  # noqa: PLC0415 - only shared state needs this, and Redis
    from gateway.state.limits.guarded import GuardedLimitStore  # noqa: PLC0415 - as above
    from gateway.state.limits.shared import RedisLimitStore, RedisOptions  # noqa: PLC0415 - as above
    from gateway.state.redis.dialing import Timings  # noqa: PLC0415 - as above
    from policies.degraded import DegradedRules, WhenDown  # noqa: PLC0415 - as above

    options = RedisOptions(timings=Timings(answer_s=state.timeout_s), lease_s=state.lease_s)
    processes = state.nodes * workers
    rules = DegradedRules(processes, WhenDown(state.when_down))
    shared = RedisLimitStore(state.url.reveal(), options)
    store = GuardedLimitStore(shared, rules, time.time)
    registry.sample(limit_telemetry.LIMIT_STORE_DEGRADED, lambda: [((), store.degraded)])
    registry.sample(limit_telemetry.LIMIT_STORE_FAILURES, lambda: [((), store.store_failures)])
    registry.sample(limit_telemetry.LIMIT_DEGRADED_DECISIONS, lambda: [((), store.degraded_decisions)])
    registry.sample(limit_telemetry.LIMIT_UNSENT, lambda: [((), shared.unsent)])
    registry.sample(limit_telemetry.LIMIT_LOST, lambda: [((), shared.lost_settlements)])
    # Outside the guard: what was leased before an outage may still be used up in it.
    return ChunkLeases(store, time.time, processes)
