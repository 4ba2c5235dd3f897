"""A kept answer as the caller of another call gets it: whole, or as a stream at the route's pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from adapters.base import Tally
from adapters.cache_unfolding import Retelling, renamed, renamed_events, unfold
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.schema import InferenceRequest
    from gateway.state.answers.store import Entry
    from gateway.upstream import Answer
    from policies.cache_rules import ReplayPace

PIECE_BYTES: Final = 64 * 1024


def replayed(entry: Entry, request: InferenceRequest, call_id: str, now_s: float, pace: ReplayPace) -> Answer | None:
    """The answer under the new call's id; None where what was kept cannot be given to who asks like this."""
    if entry.endpoint != request.endpoint._value_:
        return None
    telling = Retelling(call_id, int(now_s), pace.piece_chars, request.include_usage)
    if entry.is_events:
        if not request.stream or request.endpoint is not Endpoint.RESPONSES:
            return None
        return Replayed(entry.headers, _events_in(renamed_events(entry.body, telling)), pace.pause_s)
    if not request.stream:
        body = renamed(request.endpoint, entry.body, telling)
        return None if body is None else Replayed(entry.headers, body=body)
    events = unfold(request.endpoint, entry.body, telling)
    return None if events is None else Replayed(entry.headers, events, pace.pause_s)


class Replayed:
    """An `Answer` of which nothing was generated. Where there is no pace, events go out many at a time."""

    def __init__(
        self,
        headers: tuple[tuple[str, str], ...],
        events: Iterator[bytes] | None = None,
        pause_s: float = 0.0,
        body: bytes | None = None,
    ) -> None:
        self.body = body
        self.headers = headers
        self.tally = Tally()
        self.first_token_s: float | None = None
        self._events = events
        self._pause_s = pause_s
        self._has_begun = False

    async def read(self) -> bytes:
        if self._pause_s > 0 and self._has_begun:
            await asyncio.sleep(self._pause_s)
        self._has_begun = True
        taken, taken_bytes, most_bytes = list[bytes](), 0, 1 if self._pause_s > 0 else PIECE_BYTES
        while taken_bytes < most_bytes and self._events is not None:
            event = next(self._events, b"")
            if not event:
                self._events = None
            taken.append(event)
            taken_bytes += len(event)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def close(self) -> None:
        self._events = None


def _events_in(stream: bytes) -> Iterator[bytes]:
    """The events of a stream as decoders write them: each ended by a blank line."""
    start = 0
    while (end := stream.find(b"\n\n", start) + 2) > 1:
        yield stream[start:end]
        start = end
