"""Posts telemetry to a receiver over HTTP/1.1, blocking, from a thread of its own. Whoever answers may be hostile.

It follows no redirect, since headers hold tokens, and reads no proxy from the environment. A whole exchange has one
time limit, however slowly a receiver drips; of an answer no more than 64 KiB is read.
"""

from __future__ import annotations

import email.utils
import io
import time
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection, parse_headers
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_MOST_BYTES: Final = 64 * 1024
_END_OF_HEAD: Final = b"\r\n\r\n"
_CONTINUE: Final = range(100, 200)


class Posted(NamedTuple):
    """What a receiver answered. `retry_after_s` None: it named no time."""

    status: int
    retry_after_s: float | None
    body: bytes


class Poster:
    """One receiver and its connection, which is kept open between posts."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path or "/"
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Raises `OSError` or `HTTPException` where no answer came in time."""
        deadline_s = time.monotonic() + self._timeout_s
        was_open = self._connection is not None
        try:
            return self._exchange(body, headers, deadline_s)
        except (OSError, HTTPException):
            self.close()
            if not was_open or time.monotonic() >= deadline_s:
                raise
        return self._exchange(body, headers, deadline_s)  # the receiver had closed what it kept open

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Posted:
        connection = self._connection or self._open()
        self._connection = connection
        if connection.sock is not None:
            connection.sock.settimeout(_left_s(deadline_s))
        try:
            connection.request("POST", self._path, body, self._headers | dict(headers))
            reader = _Reader(connection.sock, deadline_s)
            posted = reader.answer()
        except BaseException:
            self.close()
            raise
        # Whether http.client thinks that an answer is still to come or the receiver wants to close: begin anew.
        if not reader.is_reusable:
            self.close()
        else:
            self._renew(connection)
        return posted

    def _open(self) -> HTTPConnection:
        make = HTTPSConnection if self._is_secure else HTTPConnection
        return make(self._host, self._port, timeout=self._timeout_s)

    def _renew(self, connection: HTTPConnection) -> None:
        """A connection whose answer was read by us, ready for the next request."""
        fresh = self._open()
        fresh.sock, connection.sock = connection.sock, None
        self._connection = fresh


class _Reader:
    """Reads one answer within its time. `is_reusable`: the connection may carry another request."""

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self._sock = sock
        self._deadline_s = deadline_s
        self._data = b""
        self.is_reusable = False

    def answer(self) -> Posted:
        status, headers = self._head()
        while status in _CONTINUE:
            status, headers = self._head()
        length = headers.get("content-length", "")
        body = b""
        if length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _MOST_BYTES:
            body = self._exactly(int(length))
            self.is_reusable = headers.get("connection", "").lower() != "close" and not self._data
        return Posted(status, retry_after_s(headers.get("retry-after"), time.time()), body)

    def _head(self) -> tuple[int, HTTPMessage]:
        while _END_OF_HEAD not in self._data:
            self._more()
        head, self._data = self._data.split(_END_OF_HEAD, 1)
        line, _, fields = head.partition(b"\r\n")
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
            raise HTTPException("the answer is not HTTP")
        return int(words[1]), parse_headers(io.BytesIO(fields + _END_OF_HEAD))

    def _exactly(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        body, self._data = self._data[:count], self._data[count:]
        return body

    def _more(self) -> None:
        if len(self._data) > _MOST_BYTES:
            raise HTTPException("the answer is too long")
        self._sock.settimeout(_left_s(self._deadline_s))
        piece = self._sock.recv(_MOST_BYTES)
        if not piece:
            raise ConnectionResetError("the receiver closed the connection")
        self._data += piece


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """What a `Retry-After` asks for, in seconds from now; None where it says nothing that can be read."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return None


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the receiver took too long")
    return left_s
