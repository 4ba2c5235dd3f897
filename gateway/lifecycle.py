"""Where the process stands: starting, serving, draining, past its drain deadline; and how many calls are in flight."""

from __future__ import annotations

import asyncio


class Lifecycle:
    """Read by readiness and by the edge; moved by the command that serves."""

    def __init__(self) -> None:
        self.started = False
        self.draining = False
        self.deadline_passed = False
        self.reload_failed = False
        self.in_flight = 0
        self.in_flight_by_route: dict[str, int] = {}
        self.open_streams = 0
        self.stop_requested = asyncio.Event()
        self.stop_now = asyncio.Event()
        self._idle = asyncio.Event()

    def request_stop(self) -> None:
        """The first request drains; the second stops at once."""
        if self.stop_requested.is_set():
            self.stop_now.set()
        self.stop_requested.set()

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self, route: str | None) -> None:
        self.in_flight -= 1
        if route is not None:
            self.in_flight_by_route[route] -= 1
        if self.draining and not self.in_flight:
            self._idle.set()

    def enter_route(self, route: str) -> None:
        """The call in flight turned out to be for this route; `leave` takes it back."""
        self.in_flight_by_route[route] = self.in_flight_by_route.get(route, 0) + 1

    async def until_idle(self, within_s: float) -> bool:
        """Whether the last call ended within `within_s`; meant for draining, when no call can begin."""
        if not self.in_flight:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
