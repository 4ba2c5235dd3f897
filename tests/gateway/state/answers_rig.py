"""Two gateways over one Redis with a hand on their clock, for the suite that every store of answers passes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.state.answers.shared import AnswerOptions, SharedAnswers
from gateway.state.answers.shared_feed import FedVectors
from gateway.state.answers.shared_vectors import RedisVectors
from gateway.state.redis.dialing import Timings
from tests.gateway.state.redis_rig import PATIENT, fresh_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.answers.sealing import Sealing
    from gateway.state.answers.vector_store import Vectors
    from policies.cache_eviction import Bounds

QUICK = Timings(connect_s=0.25, answer_s=0.1, backoff_s=0.01, backoff_max_s=0.05)


class AnswersRig:
    """An `AnswerRig` of tests/answer_store_suite.py. `vectors` makes each store's index; without one it is Redis'."""

    def __init__(
        self,
        url: str,
        *,
        timings: Timings = PATIENT,
        bounds: Bounds | None = None,
        sealing: Sealing | None = None,
        vectors: Callable[[Callable[[], float]], Vectors] | None = None,
    ) -> None:
        self.has_vectors = True
        self.namespace = fresh_namespace()
        self._ahead_s = 0.0

        def made() -> SharedAnswers:
            index = None if vectors is None else vectors(lambda: self.now_s)
            options = AnswerOptions(self.namespace, timings, sealing, index, lambda: self.now_s)
            return SharedAnswers(url, bounds, options)

        self.stores: Sequence[SharedAnswers] = [made() for _ in range(2)]

    @property
    def now_s(self) -> float:
        """Redis keeps the time too."""
        return time.time() + self._ahead_s

    async def pass_time(self, seconds: float) -> None:
        self._ahead_s += seconds

    async def arrived(self) -> None:
        for store in self.stores:
            await store.settled()
        for store in self.stores:
            fed = await store._vectors._chosen() if isinstance(store._vectors, RedisVectors) else None
            if isinstance(fed, FedVectors):
                await fed.caught_up()

    async def start(self) -> None:
        for store in self.stores:
            await store.start()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()
