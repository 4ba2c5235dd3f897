"""Server-sent events, split as the WHATWG rules say: any cut of the bytes, any line end, the same events.

An event comes out as its own bytes, framed by LF and ended by a blank line, so that it can be forwarded as it is.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from adapters.base import FailedStream
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVENT_KEPT_BYTES: Final = 2 * 1024 * 1024
_LF: Final = ord("\n")


class EventSplitter:
    """Whole events out of a byte stream in pieces. Feed, then ask once for the `rest` at the end of the body."""

    __slots__ = ("_after_cr", "_begun", "_kept", "_scanned")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._scanned = 0
        self._begun = False
        self._after_cr = False

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Each event that `data` completes. Raises `FailedStream` at an event beyond `EVENT_KEPT_BYTES`."""
        if not self._begun:
            data = self._without_mark(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if self._kept:
            return self._resume(data)
        # One whole event per piece is how servers flush.
        if 2 < data.find(b"\n\n") + 2 == len(data) <= EVENT_KEPT_BYTES and data[0] != _LF:
            return (data,)
        return self._split(data)

    def rest(self) -> bytes:
        """What came after the last blank line, as an event of its own; empty when nothing did."""
        rest = bytes(self._kept).strip(b"\n")
        return rest + b"\n\n" if rest else b""

    def _split(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while (end := data.find(b"\n\n", start) + 2) > 1:
            if event := data[start:end] if data[start] != _LF else data[start:end].lstrip(b"\n"):
                yield _bounded(event)
            start = end
        if start < len(data):
            self._keep(data[start:])

    def _resume(self, data: bytes) -> Iterator[bytes]:
        self._kept += data
        end = self._kept.find(b"\n\n", self._scanned) + 2
        if end < 2:
            self._keep(b"")
            return
        # The first event needs what was kept; the others are read from one copy of what follows it.
        event, follows = bytes(self._kept[:end]).lstrip(b"\n"), bytes(self._kept[end:])
        self._kept, self._scanned = bytearray(), 0
        if event:
            yield _bounded(event)
        if follows:
            yield from self._split(follows)

    def _keep(self, data: bytes) -> None:
        self._kept += data
        self._scanned = max(0, len(self._kept) - 1)
        if len(self._kept) > EVENT_KEPT_BYTES:
            raise _too_large()

    def _without_mark(self, data: bytes) -> bytes:
        """Drop a byte order mark at the very start, which may arrive byte by byte."""
        data = bytes(self._kept) + data
        self._kept.clear()
        if len(data) < 3 and codecs.BOM_UTF8.startswith(data):
            self._kept += data
            return b""
        self._begun = True
        return data.removeprefix(codecs.BOM_UTF8)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """CRLF and CR as LF. A CR ends its line at once; an LF that turns out to belong to it is dropped then."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_event(event: bytes) -> tuple[str, bytes | None]:
    """An event's name (empty for none) and data; data is None where the event has no `data` line, as in a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return "", event[6:-2]
    name, data = "", list[bytes]()
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return name, b"\n".join(data) if data else None


def _bounded(event: bytes) -> bytes:
    if len(event) > EVENT_KEPT_BYTES:
        raise _too_large()
    return event


def _too_large() -> FailedStream:
    message = f"An event of the upstream's stream is larger than {EVENT_KEPT_BYTES} bytes."
    return FailedStream(Failure(FailureKind.BAD_RESPONSE, message, code="event_too_large", maybe_billed=True))
