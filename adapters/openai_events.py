"""What chat and Responses streams have in common: events in, events out, and an honest end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import msgspec

from adapters.base import FailedStream, Tally
from adapters.openai_errors import in_band, not_an_answer
from adapters.openai_text import TextKeeper, mended
from adapters.sse import EventSplitter, read_event
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

DONE: Final = b"data: [DONE]\n\n"


class DamagedEvent(FailedStream):
    """An event that is not JSON: it may have held nothing, or a part of the answer."""


class EventDecoder(ABC):
    """One stream's decoder. Subclasses read the events; forwarding and failing happen here."""

    def __init__(self, request: InferenceRequest) -> None:
        self.tally = Tally()
        self.started = False
        self.ended = False
        self._request = request
        self._text = TextKeeper(self.tally)
        self._splitter = EventSplitter()
        self._failure: Failure | None = None
        self._seen = False

    def feed(self, data: bytes) -> bytes:
        """Whole events, ready to forward.

        A failure found behind good events of the same piece is raised by the next call, so that how the bytes were cut
        decides nothing; unless the caller has nothing yet, when raising at once lets the request move elsewhere unseen.
        """
        self._raise_kept_failure()
        was_started, forwarded = self.started, list[bytes]()
        try:
            for event in self._splitter.feed(data):
                if read := self._read_or_skip(event):
                    forwarded.append(read)
        except FailedStream as failed:
            if not was_started or not forwarded:
                raise
            self._failure = failed.failure
        return forwarded[0] if len(forwarded) == 1 else b"".join(forwarded)

    def finish(self) -> bytes:
        self._raise_kept_failure()
        if self.ended:
            return b""
        owed = self._read_rest(self._splitter.rest())
        return owed + (b"" if self.ended else self._close())

    @abstractmethod
    def _take(self, name: str, data: bytes, event: bytes) -> bytes:
        """What to forward of one event that carries data; it may set `started` and `ended`."""

    def _read_or_skip(self, event: bytes) -> bytes:
        try:
            return self._read(event)
        except DamagedEvent as damaged:
            return self._skip(damaged)

    def _skip(self, damaged: DamagedEvent) -> bytes:
        """What to forward in place of an event that cannot be read; raises where the stream is lost with it."""
        raise damaged

    def _close(self) -> bytes:
        """What a stream without its end marker may still be given; raises when it was cut short."""
        raise FailedStream(truncated())

    def _read(self, event: bytes) -> bytes:
        if self.ended:
            return b""
        if not event.isascii():
            event = mended(event)
        name, data = read_event(event)
        if data and not data.isspace():
            self._seen = True
            return self._take_mended(name, data, event)
        if data is None and not self._seen and event[0] in b"{<[":
            raise FailedStream(_whole(event))
        # Keep-alives are for a caller inside a stream; an event without data crashes SDKs, a comment does not.
        is_comment = data is None and event[0] == ord(":") and event.count(b"\n:") == event.count(b"\n") - 2
        return event if is_comment and self.started else b""

    def _take_mended(self, name: str, data: bytes, event: bytes) -> bytes:
        """An emoji cut in two by a server's own escaping is no reason to lose a stream."""
        try:
            return self._take(name, data, event)
        except FailedStream as failed:
            if failed.failure.kind is not FailureKind.BAD_RESPONSE or (whole := mended(event)) == event:
                raise
            return self._take(name, mended(data), whole)

    def _read_rest(self, rest: bytes) -> bytes:
        """A last event without its blank line counts if it is whole; a torn one shows the cut, not nonsense."""
        try:
            return self._read(rest) if rest else b""
        except FailedStream as failed:
            if failed.failure.kind is FailureKind.IN_BAND or not self._seen:
                raise
            return b""

    def _raise_kept_failure(self) -> None:
        if self._failure is not None:
            raise FailedStream(self._failure)

    def _fail_in_band(self, value: object) -> FailedStream:
        return FailedStream(in_band(value, maybe_billed=self.started or self.tally.usage is not None))


def truncated() -> Failure:
    message = "The upstream's stream ended before it was complete."
    return Failure(FailureKind.TRUNCATED, message, code="upstream_incomplete", maybe_billed=True)


def broken(message: str) -> FailedStream:
    """A stream that cannot be read."""
    return FailedStream(_unreadable(message))


def damaged(message: str) -> DamagedEvent:
    return DamagedEvent(_unreadable(message))


def _unreadable(message: str) -> Failure:
    return Failure(FailureKind.BAD_RESPONSE, message, code="upstream_bad_response", maybe_billed=True)


def _whole(body: bytes) -> Failure:
    """A whole body where a stream was expected: an error object says what it is."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    return in_band(value, maybe_billed=False) if isinstance(value, dict) and value.get("error") else not_an_answer(body)
