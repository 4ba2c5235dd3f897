"""One generation of the policy: everything a reload replaces, swapped whole and pinned by each call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from policies.calendars import Calendars
from policies.limit_index import LimitIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Config
    from gateway.keys.view import KeyView
    from gateway.upstream import Upstream
    from policies.matching import RouteIndex
    from policies.vocabulary import Deployment, Principal, Route


class InUse:
    """How many calls are pinned to a generation, so that what only it needs is closed after the last of them."""

    def __init__(self) -> None:
        self.calls = 0
        self._over: asyncio.Event | None = None

    def release(self) -> None:
        self.calls -= 1
        if not self.calls and self._over is not None:
            self._over.set()

    async def until_over(self) -> None:
        """Wait for the last pinned call; for a generation that no new call can pin."""
        if self.calls:
            self._over = asyncio.Event()
            await self._over.wait()


def _equal(_: Principal) -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class Generation:
    """Mappings are keyed by deployment id. `unpriced` says what becomes of deployments without a price, `when_full` of
    calls that the ledger has no room for; `auto` denies under a budget. `drains`: some deployment has `on_disconnect:
    drain`. `weight_of` is a principal's share of a queue. `prices_date`: the day (ISO) of the price table.
    """

    number: int
    config: Config
    digest: str
    keys: KeyView
    routes: tuple[Route, ...]
    index: RouteIndex
    deployments: Mapping[str, Deployment]
    upstreams: Mapping[str, Upstream]
    forwarded: Mapping[str, tuple[str, ...]]
    limits: LimitIndex = field(default_factory=LimitIndex)
    calendars: Calendars = field(default_factory=lambda: Calendars(lambda _: UTC))
    unpriced: Literal["auto", "allow", "deny"] = "allow"
    when_full: Literal["auto", "open", "closed"] = "open"
    drains: bool = False
    weight_of: Callable[[Principal], float] = _equal
    prices_date: str | None = None
    in_use: InUse = field(default_factory=InUse)
