from __future__ import annotations

import io
import json
import logging
import os
import re
import threading

import pytest

from gateway.signals import logs
from gateway.signals.logs import JsonFormatter, LogSink, SinkHandler, TerminalFormatter, set_up_logging, timestamp


@pytest.fixture
def stream() -> io.BytesIO:
    return io.BytesIO()


def fail(error: Exception) -> None:
    raise error


def logger_to(sink: LogSink, formatter: logging.Formatter) -> logging.Logger:
    handler = SinkHandler(sink)
    handler.setFormatter(formatter)
    logger = logging.Logger("gateway.test")  # noqa: LOG001 - apart from the process's tree of loggers
    logger.addHandler(handler)
    return logger


def test_lines_come_out_whole_in_order_and_before_close_returns(stream: io.BytesIO) -> None:
    sink = LogSink(stream)
    sink.offer([b"first\n"])
    sink.start()
    for number in range(100):
        sink.offer([b"%d\n" % number, b"and\n"])
    sink.close()
    sink.offer([b"last\n"])
    lines = stream.getvalue().splitlines()
    assert lines[0] == b"first"
    assert lines[1:-1:2] == [b"%d" % number for number in range(100)]
    assert lines[-1] == b"last"


def test_a_reader_that_stalls_costs_memory_up_to_a_limit_and_then_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_PENDING_BYTES", 1000)
    may_write = threading.Event()

    class Stalled(io.BytesIO):
        def write(self, data: object, /) -> int:
            may_write.wait(5)
            return super().write(data)  # type: ignore[arg-type]  # bytes

    stalled = Stalled()
    sink = LogSink(stalled)
    sink.start()
    for _ in range(50):
        sink.offer([b"x" * 99 + b"\n"])
    assert sink.dropped == 40
    may_write.set()
    sink.close()
    assert len(stalled.getvalue()) == 1000


def test_a_reader_that_is_gone_is_survived() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with os.fdopen(write_fd, "wb", buffering=0) as pipe:
        sink = LogSink(pipe)
        sink.start()
        sink.offer([b"one\n", b"two\n"])
        sink.close()
        assert sink.dropped == 2


@pytest.mark.parametrize("formatter", [JsonFormatter(), TerminalFormatter()])
def test_no_message_can_forge_a_line_or_move_the_cursor(stream: io.BytesIO, formatter: logging.Formatter) -> None:
    logger_to(LogSink(stream), formatter).warning(
        "from %s", 'x\r\n{"event":"request.completed"}\x1b[2J\u2028\x9b\ud800'
    )
    (line,) = stream.getvalue().decode().splitlines()
    assert line.isprintable()


def test_an_exception_is_told_by_type_words_and_places_without_its_secrets(stream: io.BytesIO) -> None:
    logger = logger_to(LogSink(stream), JsonFormatter())
    password = "hunter2-hunter2"
    try:
        fail(ConnectionError(f"could not log in at https://ada:{password}@db.internal:5432/x"))
    except ConnectionError:
        logger.exception("the ledger failed")
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert line["event"] == "gateway.test"
    assert line["exception"]["type"] == "ConnectionError"
    assert re.search(r"test_logs\.py:\d+ fail$", line["exception"]["frames"][-1])
    assert password not in stream.getvalue().decode()


def test_people_see_exceptions_too(stream: io.BytesIO) -> None:
    logger = logger_to(LogSink(stream), TerminalFormatter())
    try:
        fail(ValueError("no"))
    except ValueError:
        logger.exception("it failed")
    assert "ERROR   gateway.test: it failed [ValueError: no]\n    " in stream.getvalue().decode()


def test_a_message_that_cannot_be_formatted_does_not_raise(stream: io.BytesIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger = logger_to(LogSink(stream), JsonFormatter())
    logger.warning("%d tokens", "many")
    logger.warning("next")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["next"]


@pytest.mark.parametrize("as_json", [True, False])
def test_every_logger_goes_to_the_sink(stream: io.BytesIO, *, as_json: bool) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging(LogSink(stream), as_json=as_json)
        logging.getLogger("somebody.else").info("hello")
        logging.getLogger("somebody.else").debug("whisper")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = stream.getvalue().decode().splitlines()
    assert line.startswith("{") == as_json
    assert "hello" in line


def test_times_are_rfc_3339_in_utc() -> None:
    assert timestamp(1_795_305_600.0) == "2026-11-22T00:00:00.000Z"
    assert timestamp(1_795_305_599.9996) == "2026-11-22T00:00:00.000Z"
    assert timestamp(1_795_305_600.0421) == "2026-11-22T00:00:00.042Z"
