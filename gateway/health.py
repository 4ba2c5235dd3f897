"""Active probes: asks deployments whose policy wants it whether they are there, beside the calls and never for them.

A probe is one GET that costs nothing, such as the list of models. A good answer is a sign of life, no proof: it lets
the next call try a deployment that failures had set aside, before its cooldown is over. No probe speaks for a
credential or cuts short a wait that the provider asked for, since lists of models are often free of both.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.http_upstream import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from gateway.generation import Generation
    from gateway.state.fleet import Fleet
    from policies.vocabulary import Deployment

log = logging.getLogger(__name__)

JITTER: Final = 0.25
"""Each pause is up to this much shorter or longer, so that the probes of many gateways do not come together."""


class HealthProbes:
    """A task for each deployment that is probed, so that no deployment ever has two probes at a time.

    Only plain HTTP providers can be asked; the bundled engine tells by itself how it is.
    """

    def __init__(self, fleet: Fleet, rng: Random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._fleet = fleet
        self._rng = rng
        self._sleep = sleep
        self._tasks: dict[tuple[Deployment, HttpUpstream], asyncio.Task[None]] = {}

    @property
    def watched(self) -> frozenset[str]:
        """The ids of the deployments that are probed."""
        return frozenset(deployment.id for deployment, _ in self._tasks)

    def watch(self, generation: Generation) -> None:
        """Probe what this policy wants probed, and nothing else any more."""
        wanted = set()
        for id_, deployment in generation.deployments.items():
            upstream = generation.upstreams[id_]
            if deployment.health is not None and isinstance(upstream, HttpUpstream):
                wanted.add((deployment, upstream))
        for gone in self._tasks.keys() - wanted:
            self._tasks.pop(gone).cancel()
        for deployment, upstream in wanted - self._tasks.keys():
            task = asyncio.create_task(self._watch(deployment, upstream))
            self._tasks[deployment, upstream] = task

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, deployment: Deployment, upstream: HttpUpstream) -> None:
        rules = deployment.health
        assert rules is not None  # noqa: S101 - else it is not watched
        while True:
            await self._sleep(rules.interval_s * self._rng.uniform(1.0 - JITTER, 1.0 + JITTER))
            if not rules.always and not self._fleet.awaits_sign_of_life(deployment):
                continue
            try:
                failure = await upstream.probe(rules.path, rules.timeout_s)
            except Exception:
                # A bug in one probe must not end them all.
                log.exception("the health of deployment %s could not be asked", deployment.id)
                continue
            self._fleet.note_probe(deployment, failure)
