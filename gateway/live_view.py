"""What operators are shown: health, readiness, metrics, and each deployment as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.admin.answers import JSON, Answer, as_json
from gateway.admin.routes import Permission, Route, Told
from gateway.fleet_view import describe_deployments

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admin.routes import Asked
    from gateway.generation import Generation
    from gateway.lifecycle import Lifecycle
    from gateway.signals.exposition import Scrapes
    from gateway.state.fleet import Fleet

MEDIA: Final = ("text/plain", "application/openmetrics-text")


class LiveView:
    """The resources of the operators' listener. Liveness says nothing; readiness names deployments, not hosts."""

    def __init__(self, current: Callable[[], Generation], fleet: Fleet, lifecycle: Lifecycle, scrapes: Scrapes) -> None:
        self._current = current
        self._fleet = fleet
        self._lifecycle = lifecycle
        self._scrapes = scrapes

    def routes(self) -> tuple[Route, ...]:
        read, json = Permission.OPS_READ, (JSON,)
        ready = {200: Told("Calls are taken.", media=json), 503: Told("Calls are not taken now.", media=json)}
        metrics = Told("All metrics.", media=MEDIA)
        deployments = {200: Told("Each deployment as it is now.", media=json)}
        live = {200: Told("The process lives.", media=json)}
        return (
            Route("GET", "/health/live", Permission.OPEN, self._live, "Tell liveness", answers=live),
            Route("GET", "/health/ready", read, self._ready, "Tell readiness", answers=ready),
            Route("GET", "/metrics", read, self._metrics, "Show metrics", answers={200: metrics}),
            Route("GET", "/deployments", read, self._deployments, "List deployments", answers=deployments),
        )

    async def _live(self, _: Asked) -> Answer:
        return as_json({"status": "live"})

    async def _ready(self, _: Asked) -> Answer:
        """Ready while calls are taken and some deployment could answer one."""
        if self._lifecycle.draining:
            return as_json({"status": "draining"}, 503)
        ready: dict[str, bool] = {}
        for id_, upstream in self._current().upstreams.items():
            name = self._current().deployments[id_].name
            ready[name] = upstream.ready or ready.get(name, False)
        waiting = [name for name, is_ready in ready.items() if not is_ready]
        if not self._lifecycle.started or len(waiting) == len(ready):
            return as_json({"status": "starting", "waiting_for": waiting}, 503)
        return as_json({"status": "ready", "waiting_for": waiting})

    async def _metrics(self, asked: Asked) -> Answer:
        content_type, body = await self._scrapes.scrape(asked.inbound.headers.get("Accept", ""))
        return Answer(200, content_type, body)

    async def _deployments(self, _: Asked) -> Answer:
        generation = self._current()
        return as_json(
            {
                "generation": generation.number,
                "policy": generation.digest,
                "reload_failed": self._lifecycle.reload_failed,
                "deployments": describe_deployments(generation, self._fleet),
            }
        )
