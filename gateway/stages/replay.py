"""A call with an `Idempotency-Key` is made once: who sends it again joins it while it runs, or is answered as it was.

It stands before the route and the limits, so a repetition is not counted by any: it reaches no upstream, costs nothing,
and is asked for because an answer was lost. A call with a key goes on when its caller has left, as if its deployments
were to drain, since its caller said that it may come back; and while others follow it, for as long as they do.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.call import Reply
from gateway.errors import LimitError, RequestError
from gateway.limits import refusals
from gateway.needs import REQUIRE
from gateway.once import Once
from gateway.recording import Recording, Replayed, Room
from gateway.signals.conventions import Mark
from gateway.state.limits.store import StoreUnavailable
from gateway.state.replays.store import Claimed, Kept, Slot
from policies.replaying import answer_bytes_max, is_good_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Call
    from gateway.lifecycle import Lifecycle
    from gateway.pipeline import Handler
    from gateway.state.replays.store import Found, Outcome, ReplayStore
    from policies.route_rules import ReplayRules

IDEMPOTENCY_KEY: Final = istr("Idempotency-Key")
REPLAY: Final = Mark.REPLAY
FOLLOWERS_MAX: Final = 32
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
WAIT_S: Final = 600.0
"""For a call under way in another process; as long as a route's total by default."""


class Replay:
    """Raises `RequestError`: 400 for a bad key, 422 for one of another body, 409 where the answer cannot be given
    again; `LimitError` 429 for too many repetitions at once, 503 while the shared store is away.
    """

    def __init__(self, store: ReplayStore, rules: Callable[[], ReplayRules], lifecycle: Lifecycle) -> None:
        self._store = store
        self._rules = rules
        self._lifecycle = lifecycle
        self._running: dict[tuple[str, str], Once] = {}
        self._room = Room()
        self.counts: dict[str, int] = {}

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        return self._once(call, then) if IDEMPOTENCY_KEY in call.headers else then(call)

    async def _once(self, call: Call, then: Handler) -> Reply:
        slot = slot_of(call)
        place = slot.tenant, slot.name
        pause_s = FIRST_PAUSE_S
        while True:
            running = self._running.get(place)
            if running is not None:
                self._check(slot, running.recording.fingerprint)
                return await self._join(call, running.recording)
            found = await self._claim(slot)
            if isinstance(found, Claimed):
                return await self._own(call, then, slot)
            self._check(slot, found.fingerprint)
            if isinstance(found, Kept):
                return self._replay(call, found.outcome)
            if asyncio.get_running_loop().time() - call.received_s > WAIT_S:
                raise self._conflict("idempotency_key_in_use", "A call with this idempotency key is still under way.")
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

    async def _claim(self, slot: Slot) -> Found:
        try:
            return await self._store.claim(slot)
        except StoreUnavailable:
            self._count("unavailable")
            raise refusals.unavailable(
                "idempotency_unavailable", "The gateway cannot tell at the moment whether this call was made before."
            ) from None

    async def _own(self, call: Call, then: Handler, slot: Slot) -> Reply:
        rules, place = self._rules(), (slot.tenant, slot.name)
        call.marks.append((REPLAY, monotonic()))
        most_bytes = answer_bytes_max(rules.bytes_max)
        recording = Recording(slot.fingerprint, call.id, self._room, most_bytes, rules.bytes_max)
        once = Once(call, recording, self._store, slot)
        self._running[place] = once
        return await once.start(then, lambda: self._forget(place, once))

    def _forget(self, place: tuple[str, str], once: Once) -> None:
        if self._running.get(place) is once:
            del self._running[place]

    async def _join(self, call: Call, recording: Recording) -> Reply:
        if not recording.is_whole:
            raise self._lost("A call with this idempotency key is under way, and its answer is too long to be joined.")
        if len(recording.followers) >= FOLLOWERS_MAX:
            self._count("crowded")
            raise LimitError(
                "Too many calls with this idempotency key are waiting for its answer.",
                status=429,
                type_="requests",
                code="rate_limit_exceeded",
                retry_after_s=refusals.SOON_S,
            )
        self._count("joined")
        call.replay_of = recording.request_id
        call.marks.append((REPLAY, monotonic()))
        follower = recording.follow()
        call.scope.defer(follower.close)
        await follower.opened()
        self._take_route(call, None if recording.route is None else recording.route.name)
        return Reply(follower, recording.deployment)

    def _replay(self, call: Call, outcome: Outcome) -> Reply:
        call.replay_of = outcome.request_id
        call.marks.append((REPLAY, monotonic()))
        if outcome.is_spent:
            raise self._lost(
                "The call with this idempotency key was answered, and its answer was too long to be kept, or made room "
                "for others. Send another key to have the call made, and billed, again."
            )
        self._count("replayed")
        self._take_route(call, outcome.route)
        if (refusal := outcome.refusal) is not None:
            raise RequestError(refusal.message, status=refusal.status, code=refusal.code, param=refusal.param)
        return Reply(Replayed(outcome), None)

    def _take_route(self, call: Call, name: str | None) -> None:
        """For headers and metrics; a route that a reload took away is not shown."""
        route = next((route for route in call.generation.routes if route.name == name), None)
        if route is not None:
            call.route = route
            self._lifecycle.enter_route(route.name)

    def _check(self, slot: Slot, fingerprint: bytes) -> None:
        if slot.fingerprint != fingerprint:
            self._count("reused")
            raise RequestError(
                "This idempotency key was sent before, with another request. Each request needs a key of its own.",
                status=422,
                code="idempotency_key_reused",
            )

    def _lost(self, message: str) -> RequestError:
        self._count("lost")
        return RequestError(message, status=409, code="idempotency_not_replayable")

    def _conflict(self, code: str, message: str) -> RequestError:
        self._count("in_use")
        return RequestError(message, status=409, code=code)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def slot_of(call: Call) -> Slot:
    """Keys are one caller's at one endpoint. What was asked is the body, member by member, and what the caller required
    of whoever sees it. Raises `RequestError` for a key that is none.
    """
    keys = call.headers.getall(IDEMPOTENCY_KEY)
    if len(keys) != 1 or not is_good_key(keys[0]):
        raise RequestError(
            "An Idempotency-Key is one value of 1 to 255 printable ASCII characters.", code="invalid_idempotency_key"
        )
    principal, request = call.principal, call.request
    tenant, caller = ("", "") if principal is None else (principal.org, principal.key_id)
    # JSON-free and length-prefixed, so that no two requests are written the same way.
    name = _digest((caller.encode(), request.endpoint.encode(), keys[0].encode())).hex()[:40]
    asked = [value for member in request.members.items() for value in (member[0].encode(), bytes(member[1]))]
    required = [value.encode("utf-8", "surrogateescape") for value in call.headers.getall(REQUIRE, ())]
    return Slot(tenant, name, _digest((b"%d" % len(asked), *asked, *required)))


def _digest(parts: tuple[bytes, ...]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
