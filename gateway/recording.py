"""One call under an `Idempotency-Key` while it runs: its answer comes in once, and as many callers as like follow it.

Each follower reads at its own pace. While the answer is short enough to be kept, all of it is here, and whoever comes
later begins at its beginning. After that only what somebody has yet to read is held: the slowest follower sets the
pace, and nobody can join any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from adapters.base import Tally
from gateway.state.replays.store import Outcome

if TYPE_CHECKING:
    from gateway.upstream import Answer
    from policies.vocabulary import Deployment, Route

AHEAD_BYTES: Final = 256 * 1024
"""How far an answer is read ahead of those who follow it."""
PIECE_BYTES: Final = 64 * 1024


class Room:
    """What all answers under way may hold together, so that they can be followed from their beginning."""

    def __init__(self) -> None:
        self.used_bytes = 0


class Recording:
    """`most_bytes` is the longest answer that is kept, `room_bytes` how much all of `room` may hold."""

    def __init__(self, fingerprint: bytes, request_id: str, room: Room, most_bytes: int, room_bytes: int) -> None:
        self.fingerprint = fingerprint
        self.request_id = request_id
        self.route: Route | None = None
        self.deployment: Deployment | None = None
        self.answer: Answer | None = None
        self.is_over = False
        self.is_whole = True
        self.error: Exception | None = None
        self.followers: set[Following] = set()
        self._room = room
        self._most_bytes = most_bytes
        self._room_bytes = room_bytes
        self._changed = asyncio.Event()
        self._pieces: deque[bytes] = deque()
        self._dropped = 0
        self._held_bytes = 0
        self._total_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether there is an answer, or its beginning."""
        return self.answer is not None

    def open(self, answer: Answer, deployment: Deployment | None, route: Route | None) -> None:
        self.answer, self.deployment, self.route = answer, deployment, route
        self.changed()

    def follow(self) -> Following:
        """One more caller, at the beginning of the answer."""
        follower = Following(self)
        self.followers.add(follower)
        return follower

    async def fill(self, answer: Answer) -> None:
        """Read a stream to its honest end. Raises what it raises."""
        while piece := await answer.read():
            self._add(piece)
            while self.followers and self._ahead_bytes() > AHEAD_BYTES:
                await self._changed.wait()

    def outcome(self, answer: Answer, route: Route | None) -> Outcome:
        """What is kept of `answer`, all of which has come; a mark that there was one where it is too long."""
        name = None if route is None else route.name
        if answer.body is None:
            events = b"".join(self._pieces) if self.is_whole else None
            return Outcome(self.request_id, name, answer.headers, events=events)
        body = answer.body if len(answer.body) <= self._most_bytes else None
        return Outcome(self.request_id, name, answer.headers, body=body)

    def end(self, error: Exception | None = None) -> None:
        """All has come, or nothing more will; followers hear of it when they have read what came before."""
        if self.is_over:
            return
        self.is_over, self.error = True, error
        if self.is_whole:
            self._room.used_bytes -= self._held_bytes
        self.changed()

    def changed(self) -> None:
        self._changed.set()
        self._changed.clear()

    async def opened(self) -> Answer:
        """The answer, or its beginning. Raises what ended it before."""
        while self.answer is None:
            if self.error is not None:
                raise self.error
            await self._changed.wait()
        return self.answer

    async def over(self) -> None:
        while not self.is_over:
            await self._changed.wait()

    async def unwanted(self) -> None:
        """Until it is over, or nobody follows it."""
        while self.followers and not self.is_over:
            await self._changed.wait()

    async def piece_for(self, follower: Following) -> bytes:
        """What comes next for this one; empty bytes at the honest end."""
        while follower.next == self._dropped + len(self._pieces):
            if self.is_over:
                if self.error is not None:
                    raise self.error
                return b""
            await self._changed.wait()
        return self._take(follower)

    def _take(self, follower: Following) -> bytes:
        taken, taken_bytes = [], 0
        end = self._dropped + len(self._pieces)
        while follower.next < end and taken_bytes < PIECE_BYTES:
            piece = self._pieces[follower.next - self._dropped]
            taken.append(piece)
            taken_bytes += len(piece)
            follower.next += 1
        follower.taken_bytes += taken_bytes
        if not self.is_whole:
            self.forget()
        self.changed()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        self._total_bytes += len(piece)
        if self.is_whole:
            self._room.used_bytes += len(piece)
            if self._held_bytes > self._most_bytes or self._room.used_bytes > self._room_bytes:
                self.is_whole = False
                self._room.used_bytes -= self._held_bytes
        if not self.is_whole:
            self.forget()
        self.changed()

    def forget(self) -> None:
        """What everybody has read, where it is not kept for those to come."""
        first = min((follower.next for follower in self.followers), default=self._dropped + len(self._pieces))
        while self._dropped < first:
            self._held_bytes -= len(self._pieces.popleft())
            self._dropped += 1

    def _ahead_bytes(self) -> int:
        """Of the one who reads fastest while all is held anyway, of the slowest after that."""
        taken = [follower.taken_bytes for follower in self.followers]
        return self._total_bytes - (max(taken) if self.is_whole else min(taken))


class Following:
    """An `Answer` as one caller reads it; see `Recording.follow`."""

    def __init__(self, recording: Recording) -> None:
        self.body: bytes | None = None
        self.tally = Tally()
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = None
        self.next = 0
        self.taken_bytes = 0
        self._recording = recording

    async def opened(self) -> None:
        """Waits for the answer or its beginning. Raises what ended it before."""
        answer = await self._recording.opened()
        self.body, self.headers, self.tally = answer.body, answer.headers, answer.tally

    async def read(self) -> bytes:
        return await self._recording.piece_for(self)

    def close(self) -> None:
        recording = self._recording
        if self in recording.followers:
            recording.followers.remove(self)
            if not recording.is_whole:
                recording.forget()
            recording.changed()


class Replayed:
    """An `Answer` from what was kept."""

    def __init__(self, outcome: Outcome) -> None:
        self.body = outcome.body
        self.tally = Tally()
        self.headers = outcome.headers
        self.first_token_s: float | None = None
        self._events = memoryview(outcome.events or b"")

    async def read(self) -> bytes:
        piece, self._events = self._events[:PIECE_BYTES], self._events[PIECE_BYTES:]
        return bytes(piece)

    def close(self) -> None:
        self._events = memoryview(b"")
