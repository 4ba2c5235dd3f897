"""Where one answer begins and ends: llhttp, strict, plus what llhttp lets pass and we do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpResponseParser

from gateway.transport.inflate import InflateError, inflater_for

if TYPE_CHECKING:
    from gateway.transport.response import Response

HEAD_LIMIT_BYTES = 64 * 1024
HEADER_LIMIT = 256
IDLE_S = 55.0
# Chunk framing may cost this many bytes for each byte of body beyond HEAD_LIMIT_BYTES: enough for one-byte chunks.
_FRAMING_RATIO = 16


class FramingError(Exception):
    """Bytes that are not one proper answer. The message is safe to show."""


class Framing:
    """Parses one connection's answers, one `Response` after another.

    `over`: the answer is whole. `until_eof`: only the end of the connection ends it. `reusable`: the peer would serve
    another request here, for up to `idle_s`.
    """

    def __init__(self) -> None:
        self.over = True
        self.until_eof = False
        self.reusable = False
        self.idle_s = IDLE_S
        self._parser = HttpResponseParser(self)
        self._response: Response | None = None

    def begin(self, response: Response) -> None:
        """The next bytes belong to `response`."""
        self._response = response
        self.over = False
        self.until_eof = False
        self.reusable = False
        self._interim = False
        self._header_count = 0
        self._header_bytes = 0
        self._allowance_bytes = HEAD_LIMIT_BYTES
        self._refusal: str | None = None

    def feed(self, data: bytes) -> None:
        """Raises `FramingError`. When `over` is set all the same, the answer was good and what follows it is not."""
        self._allowance_bytes -= len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise FramingError(self._refusal or "The upstream's answer is not valid HTTP/1.1.") from error
        if self._allowance_bytes < 0 and not self.over:
            raise FramingError("The upstream's answer has oversized headers or chunk framing.")
        self._allowance_bytes = min(self._allowance_bytes, HEAD_LIMIT_BYTES)

    # llhttp's callbacks; what they raise comes out of feed_data as an HttpParserError

    def on_message_begin(self) -> None:
        if self.over:
            raise self._refuse("The upstream sent more than its answer.")

    def on_header(self, name: bytes, value: bytes) -> None:
        response = self._response
        if response is None or response.status:
            return  # trailers are read and dropped
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        if self._header_count > HEADER_LIMIT or self._header_bytes > HEAD_LIMIT_BYTES:
            raise self._refuse("The upstream's answer has too many headers.")
        name = name.lower()
        fields = response.fields
        fields[name] = fields[name] + b", " + value if name in fields else value

    def on_headers_complete(self) -> None:
        response = self._response
        if response is None:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim = True
            response.fields.clear()
            return
        self._check_head(status, response.fields)
        try:
            response.inflater = inflater_for(response.fields.get(b"content-encoding", b""))
        except InflateError as error:
            raise self._refuse(str(error)) from error
        self.reusable = self._parser.should_keep_alive() and self.idle_s > 0
        response.status = status

    def on_body(self, piece: bytes) -> None:
        if self._response is not None:
            self._allowance_bytes += len(piece) * (1 + _FRAMING_RATIO)
            self._response.take_in(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self.over = True
            self._response = None

    def _check_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        version = self._parser.get_http_version()
        if status < 200 or version not in ("1.1", "1.0"):
            raise self._refuse("The upstream's answer is not plain HTTP/1.1.")
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise self._refuse("The upstream's answer has an unknown transfer encoding.")
        self.until_eof = coding is None and b"content-length" not in fields and status not in (204, 304)
        if b"keep-alive" in fields:
            self.idle_s = _advertised_idle_s(fields[b"keep-alive"])

    def _refuse(self, message: str) -> FramingError:
        self._refusal = message
        return FramingError(message)


def _advertised_idle_s(keep_alive: bytes) -> float:
    """How long `Keep-Alive: timeout=N` lets us keep a connection, with a second to spare for the way."""
    for part in keep_alive.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) < 9:
            return min(IDLE_S, float(value) - 1.0)
    return IDLE_S
