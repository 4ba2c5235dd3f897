"""What a call that follows another's run is told of as, and what the run's answer took is what it saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.caching.keeping import used_of
from policies.cache_rules import Level

if TYPE_CHECKING:
    from gateway.caching.flights import Joined
    from gateway.call import Call


class Followed:
    """An `Answer`: a leader's, for `call`. Where the leader got a kept answer, so did its followers, at its risk."""

    def __init__(self, joined: Joined, call: Call, level: Level) -> None:
        self.body = joined.body
        self.headers = joined.headers
        self.tally = joined.tally
        self.first_token_s: float | None = None
        self._joined = joined
        self._call = call
        self._note(level)

    async def read(self) -> bytes:
        try:
            piece = await self._joined.read()
        except Exception:
            if self._call.cached is not None:
                self._call.cached.level = None  # it was served with nothing
            raise
        if not piece:
            self._settle()
        return piece

    def close(self) -> None:
        self._joined.close()

    def _note(self, level: Level) -> None:
        leader, cached = self._joined.flight.call, self._call.cached
        if cached is None or leader.cached is None:
            return
        cached.level, cached.joined = level, leader.id
        cached.entry_id, cached.age_s = leader.cached.entry_id, leader.cached.age_s
        if leader.cached.level is Level.SEMANTIC:
            cached.level, cached.risk, cached.bar = Level.SEMANTIC, leader.cached.risk, leader.cached.bar
            cached.similarity, cached.judged = leader.cached.similarity, leader.cached.judged
        self._settle()

    def _settle(self) -> None:
        """What is known at the answer's end only, unless it came in one piece."""
        leader, cached = self._joined.flight.call, self._call.cached
        if cached is None or leader.cached is None:
            return
        attempt = leader.decisive
        cached.saved = leader.cached.saved or used_of(leader)
        cached.deployment, cached.model = leader.cached.deployment, leader.cached.model
        if attempt is not None:
            cached.deployment, cached.model = attempt.deployment.name, attempt.deployment.model
