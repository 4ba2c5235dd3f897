from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest

from gateway.signals.posting import Posted, Poster, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Receiver:
    """Reads a request at a time and has `serve` answer it; counts connections."""

    def __init__(self, serve: Serve) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1/traces"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                connection.settimeout(5)
                self._attend(connection)

    def _attend(self, connection: socket.socket) -> None:
        try:
            while request := connection.recv(65536):
                while not request.endswith(b"body"):
                    request += connection.recv(65536)
                self.requests.append(request)
                self._serve(connection)
        except OSError:
            pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@contextmanager
def receiver(serve: Serve, timeout_s: float = 5.0) -> Iterator[tuple[Receiver, Poster]]:
    served = Receiver(serve)
    poster = Poster(served.url, {"x-token": "t"}, timeout_s)
    try:
        yield served, poster
    finally:
        poster.close()
        served.close()


def answering(*answers: bytes) -> Serve:
    left = list(answers)
    return lambda connection: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def test_a_connection_serves_again_and_again() -> None:
    with receiver(answering(OK)) as (served, poster):
        for _ in range(3):
            assert poster.post(b"body", {"content-type": "x"}) == Posted(200, None, b"ok")
        assert served.connections == 1
        head = served.requests[2].lower()
        assert head.startswith(b"post /v1/traces http/1.1\r\n")
        assert b"\r\nx-token: t\r\n" in head
        assert b"\r\ncontent-length: 4\r\n" in head


@pytest.mark.parametrize(
    "answer", [OK.replace(b"content-length: 2", b"Connection: close\r\ncontent-length: 2"), OK + b"?"]
)
def test_one_that_is_closed_or_out_of_step_is_not_used_again(answer: bytes) -> None:
    with receiver(answering(answer)) as (served, poster):
        assert poster.post(b"body", {}).body == poster.post(b"body", {}).body == b"ok"
        assert served.connections == 2


def test_what_a_receiver_closed_meanwhile_is_opened_again() -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)

    with receiver(once) as (served, poster):
        assert [poster.post(b"body", {}).status for _ in range(2)] == [200, 200]
        assert served.connections == 2


def test_no_redirect_is_followed_since_headers_hold_tokens() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    with receiver(answering(moved)) as (_, poster):
        assert poster.post(b"body", {}) == Posted(307, None, b"")


def test_a_wait_that_is_asked_for_is_told() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n"
    with receiver(answering(busy)) as (_, poster):
        assert poster.post(b"body", {}) == Posted(503, 7.0, b"")


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.01)


def hang(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("serve", [drip, hang])
def test_a_receiver_that_takes_its_time_is_left(serve: Serve) -> None:
    with receiver(serve, timeout_s=0.2) as (_, poster):
        began_s = time.monotonic()
        with pytest.raises(TimeoutError):
            poster.post(b"body", {})
        assert time.monotonic() - began_s < 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 2\xb2\xb2 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000,
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with receiver(answering(answer)) as (_, poster), pytest.raises((HTTPException, OSError)):
        poster.post(b"body", {})


def test_a_giant_body_is_not_read() -> None:
    with receiver(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")) as (_, poster):
        assert poster.post(b"body", {}) == Posted(200, None, b"")


def test_an_interim_answer_is_none() -> None:
    with receiver(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as (_, poster):
        assert poster.post(b"body", {}).status == 200


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("12", 12.0),
        ("9" * 400, 999_999_999.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
    ],
)
def test_how_long_to_wait(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s(value, 784111747.0) == wait_s
