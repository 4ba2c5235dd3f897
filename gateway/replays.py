"""Calls with an `Idempotency-Key` for the whole life of the process: the store, and the stage over it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.extras import REDIS, require
from gateway.signals import limit_telemetry
from gateway.stages.replay import Replay
from gateway.state.replays.in_process import InProcessReplays
from policies.route_rules import ReplayRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.lifecycle import Lifecycle
    from gateway.signals.metrics import Registry
    from gateway.state.replays.store import ReplayStore


class Replays:
    """Process scope. Raises `MissingExtra` where the policy shares its state and the client for that is missing.

    `current` gives the policy in force: a reload changes for how long and in how much room answers are kept.
    """

    def __init__(self, config: Config, current: Callable[[], Config], lifecycle: Lifecycle, registry: Registry) -> None:
        def rules() -> ReplayRules:
            settings = current().server.idempotency
            return ReplayRules(settings.ttl_s, settings.bytes_max)

        self.store = store_of(config, rules, registry)
        self.stage = Replay(self.store, rules, lifecycle)
        registry.sample(limit_telemetry.REPLAYS, lambda: [((what,), n) for what, n in self.stage.counts.items()])

    async def start(self) -> None:
        await self.store.start()

    async def close(self) -> None:
        """After the last call has ended."""
        await self.store.close()


def store_of(config: Config, rules: Callable[[], ReplayRules], registry: Registry) -> ReplayStore:
    """Shared where limits are. Numbers of the store go to `registry`."""
    if not config.state.is_shared:
        store = InProcessReplays(rules, time.monotonic)
        registry.sample(limit_telemetry.REPLAYS_BYTES, lambda: [((), store.kept_bytes)])
        return store
    require(REDIS)
    from gateway.state.replays.shared import SharedReplays  # noqa: PLC0415 - only shared state needs this, and Redis

    shared = SharedReplays(config.state.url.reveal(), rules)
    registry.sample(limit_telemetry.REPLAYS_UNSENT, lambda: [((), shared.unsent)])
    return shared
