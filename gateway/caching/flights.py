"""One call is made for all that ask the same at the same time: the first leads, the others follow its answer.

The leader's run is a task of its own. Its caller may leave: the run goes on for as long as others follow it, and is
cancelled like any call's when nobody does. Where it ends for reasons of its own (it was cancelled, its limits, a bug of
its request's), its followers are told so, and one of them makes the call; what an upstream said is said to all.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.call import Reply
from gateway.errors import DrainingError, UpstreamError
from gateway.limits import refusals
from gateway.once import end_now, note_end
from gateway.recording import Recording, Room
from policies.failures import blames_request
from policies.vocabulary import Failure, FailureKind, OnDisconnect

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from gateway.pipeline import Handler
    from gateway.recording import Following

FOLLOWERS_MAX: Final = 1_000
ANSWER_BYTES_MAX: Final = 4 << 20
ROOM_BYTES: Final = 64 << 20
LATE: Final = "The call was not answered in time."


class Alike(NamedTuple):
    """What calls have in common that may share one run. `form` is what else shapes the bytes of the answer."""

    owner: str
    digest: bytes
    form: bytes


class Flights:
    """The runs of this process. `is_keeping`: whether an answer that has ended may still be on its way to the store."""

    def __init__(self, is_keeping: Callable[[], bool]) -> None:
        self._is_keeping = is_keeping
        self._running: dict[Alike, Flight] = {}
        self._room = Room()

    def __len__(self) -> int:
        return len(self._running)

    def find(self, alike: Alike) -> Flight | None:
        """A run that can still be joined from the beginning of its answer."""
        flight = self._running.get(alike)
        if flight is None or not flight.recording.is_whole or len(flight.recording.followers) > FOLLOWERS_MAX:
            return None
        return flight

    async def lead(self, alike: Alike, exact: bytes, call: Call, then: Handler) -> Reply:
        """The reply to a call that others may join from now on."""
        recording = Recording(exact, call.id, self._room, ANSWER_BYTES_MAX, ROOM_BYTES)
        flight = Flight(call, recording, self._is_keeping)
        self._running[alike] = flight  # one that nobody can join any more goes on without being known
        return await flight.start(then, lambda: self._forget(alike, flight))

    def _forget(self, alike: Alike, flight: Flight) -> None:
        if self._running.get(alike) is flight:
            del self._running[alike]


class Flight:
    """`call` is the leader's, and the one that is recorded and billed."""

    def __init__(self, call: Call, recording: Recording, is_keeping: Callable[[], bool]) -> None:
        self.call = call
        self._is_keeping = is_keeping
        self.recording = recording
        self._first = recording.follow()
        self._task: asyncio.Task[None] | None = None
        self._is_abandoned = False
        self._ended: Callable[[], None] = _nothing

    async def start(self, then: Handler, ended: Callable[[], None]) -> Reply:
        """The leader's own reply. `ended` is called when nobody can join any more."""
        call, first = self.call, self._first
        self._ended = ended
        self._task = asyncio.ensure_future(self._run(then))
        call.scope.defer(self._let_go)
        try:
            await first.opened()
        except asyncio.CancelledError:
            call.drain = self._go_on
            raise
        if first.body is None:
            call.drain = self._go_on
        return Reply(first, self.recording.deployment)

    def is_of(self, exact: bytes) -> bool:
        """Whether its request is that one, and not one much like it."""
        return self.recording.fingerprint == exact

    def ended_by_itself(self, error: Exception, call: Call) -> bool:
        """Whether this end was the leader's alone, and none of `call`'s. An upstream's failure is not, but for the
        leader's own time, and for what it has against a request that is not `call`'s to the letter: members that
        change no answer may be why there is none.
        """
        if not isinstance(error, UpstreamError):
            return True
        if error.failure.kind is FailureKind.TOTAL:
            return True
        return blames_request(error.failure) and not _is_same(self.call.request, call.request)

    async def join(self, call: Call, total_s: float) -> Joined:
        """What another caller reads of it. Raises what ended it before; `UpstreamError` when `call` is out of time."""
        follower = self.recording.follow()
        call.scope.defer(follower.close)
        try:
            async with asyncio.timeout_at(call.received_s + total_s):
                await follower.opened()
        except TimeoutError:
            raise late() from None
        except BaseException:
            follower.close()
            raise
        return Joined(self, follower, call.received_s + total_s)

    async def _run(self, then: Handler) -> None:
        call, recording = self.call, self.recording
        error: Exception | None = None
        try:
            reply = await then(call)
            if reply.answer.body is None:
                recording.open(reply.answer, reply.deployment, call.route)
                await recording.fill(reply.answer)
        except asyncio.CancelledError:
            error = self._why_ended()
            await end_now(None if call.drain == self._go_on else call.drain)
        except Exception as failed:  # noqa: BLE001 - the leader's handler raises it, and the edge tells of it
            error = failed
        else:
            if self._is_keeping():
                await _kept()
        self._conclude()
        if error is None and not recording.is_open:
            recording.open(reply.answer, reply.deployment, call.route)
        recording.end(error)

    async def _go_on(self) -> None:
        """The leader's caller has left. The run is ended where nobody else wants it, and its upstream need not be read
        to the end; a leader whose reservation is lost ends at once.
        """
        call, recording = self.call, self.recording
        self._first.close()
        if call.admitted is not None:
            call.admitted.task = asyncio.current_task()
        try:
            if self._is_wanted:
                self._forgive()
                try:
                    await (recording.over() if self._drains else recording.unwanted())
                except asyncio.CancelledError:
                    if not self._is_lost:
                        await recording.unwanted()
                    raise
        finally:
            await self._end()
            call.cancelled = True

    @property
    def _is_wanted(self) -> bool:
        return not self._is_lost and bool(self.recording.followers or self._drains)

    @property
    def _is_lost(self) -> bool:
        return self.call.admitted is not None and self.call.admitted.is_lost

    @property
    def _drains(self) -> bool:
        """Whether the attempt that is under way would be read on for its usage."""
        attempts = self.call.attempts
        return bool(attempts) and attempts[-1].deployment.on_disconnect is OnDisconnect.DRAIN

    def _forgive(self) -> None:
        """What goes on is no cancelled attempt."""
        self.call.cancelled = not self.recording.followers
        for attempt in self.call.attempts:
            if attempt.ended_s is None:
                attempt.cancelled = False

    async def _end(self) -> None:
        task = self._task
        if task is not None and not task.done():
            self._let_go()
            await asyncio.wait([task])
        note_end(self.call, self.recording.error)

    def _let_go(self) -> None:
        """The leader's call is over: what has not ended by now ends with it. Nothing leads back to itself any more:
        what a call leaves behind must not wait for the collector.
        """
        self._first.close()
        if self._task is not None and not self._task.done():
            self._is_abandoned = True
            self._conclude()
            self._task.cancel()

    def _conclude(self) -> None:
        """Nobody can join any more."""
        ended, self._ended = self._ended, _nothing
        ended()

    def _why_ended(self) -> Exception:
        if not self._is_abandoned and self._is_lost:
            return refusals.reservation_lost()
        return DrainingError("The call ended before its answer was complete.")


class Joined:
    """Another call's answer as one follower reads it, within its own time."""

    def __init__(self, flight: Flight, following: Following, by_s: float) -> None:
        self.flight = flight
        self.body = following.body
        self.headers = following.headers
        self.tally = following.tally
        self.first_token_s: float | None = None
        self._following = following
        self._by_s = by_s

    async def read(self) -> bytes:
        """As the leader's own. Raises what ends it, and `UpstreamError` when the follower is out of time."""
        try:
            async with asyncio.timeout_at(self._by_s):
                return await self._following.read()
        except TimeoutError:
            raise late() from None

    def close(self) -> None:
        self._following.close()


def late() -> UpstreamError:
    """A call that is out of time while it waits for another's answer."""
    return UpstreamError(Failure(FailureKind.TOTAL, LATE), "")


def _is_same(one: InferenceRequest, other: InferenceRequest) -> bool:
    """To the letter, but for the order of members."""
    mine, theirs = one.members, other.members
    return mine.keys() == theirs.keys() and all(bytes(raw) == bytes(theirs[name]) for name, raw in mine.items())


async def _kept() -> None:
    """Once what was begun at the answer's end has had its turn: whoever comes next finds the answer in the store."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


def _nothing() -> None: ...
