"""The log: JSON lines, or short lines for people, written by a thread so that a slow reader stalls nobody.

Everything foreign in a line went through `scrubbing`; bodies, headers and credentials never get here.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from functools import lru_cache
from queue import SimpleQueue
from typing import IO

import msgspec

from gateway.scrubbing import scrub
from gateway.signals.telemetry import SERVICE

MOST_PENDING_BYTES = 16 * 1024 * 1024
CLOSE_WITHIN_S = 5.0
MOST_FRAMES = 20


class LogSink:
    """Writes whole lines to a stream, in order, in a thread. What does not fit into memory is dropped and counted."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.dropped = 0
        self._stream = stream
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._offered_bytes = 0
        self._written_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def offer(self, lines: list[bytes]) -> None:
        """Write `lines` (each ends with a newline) soon, or at once while no thread runs."""
        data = b"".join(lines)
        with self._lock:
            if self._offered_bytes - self._written_bytes + len(data) > MOST_PENDING_BYTES:
                self.dropped += len(lines)
                return
            self._offered_bytes += len(data)
            if self._thread is not None:
                self._queue.put(data)
                return
        self._write(data)

    def close(self) -> None:
        """Write what is left. A reader that has stopped reading is not waited for long."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(CLOSE_WITHIN_S)

    def _write_all(self) -> None:
        while (data := self._queue.get()) is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
            self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, or the stream closed at exit
            self.dropped += data.count(b"\n")
        self._written_bytes += len(data)


class SinkHandler(logging.Handler):
    """Hands what the standard library's loggers say to the sink."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.offer([self.format(record).encode("utf-8", "backslashreplace") + b"\n"])
        except Exception:  # noqa: BLE001 - a log line must never raise
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """One JSON object: ts, level, event (the logger's name), message, and an exception's type, text and frames."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "ts": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.name,
            "service": SERVICE,
            "message": scrub(record.getMessage()),
        }
        if (audit := getattr(record, "audit", None)) is not None:
            event["audit"] = audit
        if record.exc_info and record.exc_info[1] is not None:
            event["exception"] = describe(record.exc_info[1])
        return msgspec.json.encode(event).decode()


class TerminalFormatter(logging.Formatter):
    """`12:30:01 WARNING gateway.fleet: message`, for people."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname:<7} {record.name}: {scrub(record.getMessage())}"
        if record.exc_info and record.exc_info[1] is not None:
            shown = describe(record.exc_info[1])
            line += f" [{shown.type}: {shown.message}]" + "".join(f"\n    {frame}" for frame in shown.frames)
        return line


class ExceptionText(msgspec.Struct):
    """An exception without what may be secret: no source lines, no locals, its words scrubbed; innermost frame last."""

    type: str
    message: str
    frames: list[str]


def describe(error: BaseException) -> ExceptionText:
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return ExceptionText(type(error).__qualname__, scrub(str(error)), places)


def set_up_logging(sink: LogSink, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send every logger of this process to `sink`."""
    handler = SinkHandler(sink)
    handler.setFormatter(JsonFormatter() if as_json else TerminalFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    whole, millis = divmod(round(unix_s * 1000), 1000)
    return f"{_second(whole)}.{millis:03d}Z"


@lru_cache(maxsize=16)
def _second(unix_s: int) -> str:
    """Many lines share a second, and spelling it out costs more than the rest of a short line."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
