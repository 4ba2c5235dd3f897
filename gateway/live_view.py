"""What operators are shown: health, readiness, metrics, and each deployment as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.exposition import SNAPSHOT_PATH
from gateway.operations import as_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.exposition import Scrapes
    from gateway.generation import Generation
    from gateway.lifecycle import Lifecycle
    from gateway.operations import Answer
    from gateway.server import Inbound
    from gateway.state.fleet import Fleet

    Paths = Mapping[str, Callable[[Inbound], Awaitable[Answer]]]


class LiveView:
    """The resources of the operators' listener. Liveness says nothing; readiness names deployments, not hosts."""

    def __init__(self, current: Callable[[], Generation], fleet: Fleet, lifecycle: Lifecycle, scrapes: Scrapes) -> None:
        self._current = current
        self._fleet = fleet
        self._lifecycle = lifecycle
        self._scrapes = scrapes

    def open_paths(self) -> Paths:
        return {"/health/live": self._live}

    def guarded_paths(self) -> Paths:
        return {
            "/health/ready": self._ready,
            "/metrics": self._metrics,
            SNAPSHOT_PATH: self._snapshot,
            "/deployments": self._deployments,
        }

    async def _live(self, _: Inbound) -> Answer:
        return as_json({"status": "live"})

    async def _ready(self, _: Inbound) -> Answer:
        """Ready while calls are taken and some deployment could answer one."""
        if self._lifecycle.draining:
            return as_json({"status": "draining"}, 503)
        waiting = [name for name, upstream in self._current().upstreams.items() if not upstream.ready]
        if not self._lifecycle.started or len(waiting) == len(self._current().upstreams):
            return as_json({"status": "starting", "waiting_for": waiting}, 503)
        return as_json({"status": "ready", "waiting_for": waiting})

    async def _metrics(self, inbound: Inbound) -> Answer:
        content_type, body = await self._scrapes.scrape(inbound.headers.get("Accept", ""))
        return 200, content_type, body

    async def _snapshot(self, _: Inbound) -> Answer:
        """The numbers whole, for a supervisor that adds up several workers'."""
        return 200, "application/json", self._scrapes.snapshot()

    async def _deployments(self, _: Inbound) -> Answer:
        generation = self._current()
        shown = [self._describe(generation, name) for name in generation.deployments]
        return as_json(
            {
                "generation": generation.number,
                "policy": generation.digest,
                "reload_failed": self._lifecycle.reload_failed,
                "deployments": shown,
            }
        )

    def _describe(self, generation: Generation, name: str) -> dict[str, object]:
        deployment = generation.deployments[name]
        upstream = generation.upstreams[name]
        state = self._fleet.state_of(name)
        failure = state.last_failure
        return {
            "name": name,
            "provider": deployment.provider,
            "model": deployment.model,
            "region": deployment.region,
            "ready": upstream.ready,
            "breaker": state.breaker.phase,
            "in_flight": state.in_flight,
            "attempts": state.attempts,
            "failures": state.failures,
            "last_failure": None if failure is None else {"kind": failure.kind, "status": failure.status},
            "live": dict(upstream.describe()),
        }
