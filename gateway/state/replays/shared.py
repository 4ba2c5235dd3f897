"""Outcomes that all processes of a fleet share, on Redis: a claim has a lease, so that one who died holds nobody up.

An outcome that Redis could not be told is kept here, its claim alive, until Redis has taken it or its time is up.
Every key has a time to live; how much a tenant's outcomes may take is kept by the script that stores them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.connections import Asked, Unanswered
from gateway.state.redis.dialing import Dialer, Timings
from gateway.state.redis.router import Router
from gateway.state.redis.scripts import call, tag_of
from gateway.state.redis.url import parse
from gateway.state.replays.scripts import MARK_BYTES, SCRIPTS, claim_of, entry_of, found_in, keys_of
from gateway.state.replays.store import LEASE_S, Claimed, Kept
from policies.replaying import spent_max

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.redis.scripts import Script
    from gateway.state.replays.scripts import Keys
    from gateway.state.replays.store import Found, Outcome, Slot
    from policies.route_rules import ReplayRules

log = logging.getLogger(__name__)

UNSENT_MAX: Final = 1_000
Place = tuple[str, str]


class ReplayOptions(NamedTuple):
    """`namespace` begins every key. An answer may be megabytes, so it gets more time than a limit's question."""

    namespace: str = "pointsman"
    timings: Timings = Timings(answer_s=1.0)
    lease_s: float = LEASE_S


USUAL: Final = ReplayOptions()


class _Unsent(NamedTuple):
    slot: Slot
    outcome: Outcome
    until_s: float


class SharedReplays:
    """A `ReplayStore`; `url` is as in `gateway.state.redis.url`, `clock` tells seconds for what waits here."""

    def __init__(
        self,
        url: str,
        rules: Callable[[], ReplayRules],
        options: ReplayOptions = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._options = options
        self._clock = clock
        self._dialer = Dialer(parse(url), options.timings.connect_s)
        self._router = Router(self._dialer, options.timings, SCRIPTS, lambda: None)
        self._claims: dict[Place, tuple[Slot, bytes]] = {}
        self._unsent: dict[Place, _Unsent] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def unsent(self) -> int:
        """How many outcomes wait for Redis."""
        return len(self._unsent)

    async def claim(self, slot: Slot) -> Found:
        place = slot.tenant, slot.name
        if (waiting := self._unsent.get(place)) is not None:
            return Kept(waiting.slot.fingerprint, waiting.outcome)
        claim = claim_of(slot.fingerprint, secrets.token_bytes(16))
        try:
            said = await self._ask_twice(slot, SCRIPTS.claim, (claim, self._lease))
        except (asyncio.CancelledError, Unanswered):  # it may have been claimed all the same
            self._release(slot, claim)
            raise
        if said is not None and said != claim:
            return _found(said)
        self._claims[place] = slot, claim
        return Claimed()

    async def keep(self, slot: Slot, outcome: Outcome) -> None:
        place = slot.tenant, slot.name
        _, claim = self._claims.get(place, (slot, b""))
        if not claim:
            return
        if len(self._unsent) < UNSENT_MAX:  # until Redis has taken it
            waiting = outcome if self._has_room(outcome) else outcome.without_text()
            self._unsent[place] = _Unsent(slot, waiting, self._clock() + self._rules().ttl_s)
        try:
            await self._keep(slot, claim, outcome)
        except StoreUnavailable as error:
            log.warning("an answer waits to be kept for its idempotency key: %s", error)
            if place not in self._unsent:
                del self._claims[place]
            return
        self._unsent.pop(place, None)
        self._claims.pop(place, None)

    def release(self, slot: Slot) -> None:
        _, claim = self._claims.pop((slot.tenant, slot.name), (slot, b""))
        if claim:
            self._release(slot, claim)

    async def start(self) -> None:
        """Connects with the first call that has a key."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_claims(), name="replay-claims")

    async def close(self) -> None:
        """What Redis has not been told by now is lost, and its claims lapse."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        if self._unsent:
            await self.renew()
        if self._telling:
            await asyncio.wait(self._telling)
        await self._router.close()

    async def renew(self) -> None:
        """Renews every claim, and tells Redis what it has not heard."""
        for place, unsent in list(self._unsent.items()):
            _, claim = self._claims.get(place, (unsent.slot, b""))
            with contextlib.suppress(StoreUnavailable):
                if unsent.until_s > self._clock():
                    await self._keep(unsent.slot, claim, unsent.outcome)
                self._unsent.pop(place, None)
                self._claims.pop(place, None)
        asked = [self._ask(slot, SCRIPTS.renew, (claim, self._lease)) for slot, claim in self._claims.values()]
        await asyncio.gather(*asked)

    @property
    def _lease(self) -> bytes:
        return b"%d" % int(self._options.lease_s * 1000)

    def _has_room(self, outcome: Outcome) -> bool:
        """Whether it may wait here whole: a Redis that is full takes claims for longer than it takes answers."""
        waiting_bytes = sum(unsent.outcome.size_bytes for unsent in self._unsent.values())
        return waiting_bytes + outcome.size_bytes <= self._rules().bytes_max

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(min(self._options.lease_s / 3, 1.0) if self._unsent else self._options.lease_s / 3)
            if self._claims:
                await self.renew()

    async def _keep(self, slot: Slot, claim: bytes, outcome: Outcome) -> None:
        rules = self._rules()
        entry = entry_of(Kept(slot.fingerprint, outcome))
        size = 0 if outcome.is_spent else outcome.size_bytes
        numbers = (size, int(rules.ttl_s * 1000), rules.bytes_max, spent_max(rules.bytes_max), MARK_BYTES)
        said = await self._ask_twice(slot, SCRIPTS.keep, (claim, entry, *(b"%d" % number for number in numbers)))
        if said == 0:
            log.warning("a call's claim had lapsed when it ended: its idempotency key belongs to another call now")

    def _release(self, slot: Slot, claim: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._tell_release(slot, claim), name="replay-release")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_release(self, slot: Slot, claim: bytes) -> None:
        with contextlib.suppress(StoreUnavailable):  # it lapses by itself
            await self._ask_twice(slot, SCRIPTS.release, (claim,))

    async def _ask_twice(self, slot: Slot, script: Script, arguments: Sequence[bytes]) -> object:
        """Once more where the answer was lost: each script says the same when it is asked again. Raises
        `StoreUnavailable`.
        """
        said = await self._ask(slot, script, arguments)
        if isinstance(said, Unanswered):
            said = await self._ask(slot, script, arguments)
        if isinstance(said, Exception):
            raise said if isinstance(said, StoreUnavailable) else StoreUnavailable("Redis answered what was not asked")
        return said

    def _ask(self, slot: Slot, script: Script, arguments: Sequence[bytes]) -> asyncio.Future[object]:
        keys: Keys = keys_of(self._options.namespace, slot.tenant, slot.name)
        used = keys if script is SCRIPTS.keep else keys[:1]
        asked = Asked(call(script, used, arguments), tag_of(slot.tenant), script)
        self._router.send(asked)
        return asked.answer


def _found(said: object) -> Found:
    try:
        return found_in(said if isinstance(said, bytes) else b"")
    except (ValueError, msgspec.MsgspecError) as error:
        raise StoreUnavailable("Redis has an entry that cannot be read") from error
