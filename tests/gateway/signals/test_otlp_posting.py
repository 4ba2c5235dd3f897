from __future__ import annotations

import gzip
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest

from gateway.signals.otlp_posting import HEADERS, deliver, resource_of
from gateway.signals.posting import Posted, Poster
from gateway.signals.sending import Sent

if TYPE_CHECKING:
    from collections.abc import Mapping


class Answering(Poster):
    """Answers without a network, or fails as one does."""

    def __init__(self, answer: Posted | Exception) -> None:
        super().__init__("http://127.0.0.1:1/v1/traces", {}, 1.0)
        self._answer = answer
        self.posted: list[tuple[bytes, Mapping[str, str]]] = []

    def post(self, body: bytes, headers: Mapping[str, str]) -> Posted:
        self.posted.append((body, headers))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def unreadable(_: bytes) -> int:
    raise ValueError("no protobuf")


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (Posted(200, None, b"2"), Sent(refused=2)),
        (Posted(200, None, b"900000000000"), Sent(refused=5)),
        (Posted(200, None, b"-3"), Sent()),
        (Posted(400, None, b""), Sent(refused=5, why="status 400")),
        (Posted(302, None, b""), Sent(refused=5, why="status 302")),
        (Posted(429, 7.0, b""), Sent(retry_after_s=7.0, why="status 429")),
        (Posted(503, None, b""), Sent(retry_after_s=0.0, why="status 503")),
        (TimeoutError("too slow"), Sent(retry_after_s=0.0, why="too slow")),
        (HTTPException(), Sent(retry_after_s=0.0, why="HTTPException")),
    ],
)
def test_what_a_receiver_says_is_what_became_of_them(answer: Posted | Exception, sent: Sent) -> None:
    poster = Answering(answer)
    assert deliver(poster, b"spans", 5, int) == sent
    ((body, headers),) = poster.posted
    assert (gzip.decompress(body), headers) == (b"spans", HEADERS)


def test_an_answer_that_cannot_be_read_took_all() -> None:
    assert deliver(Answering(Posted(200, None, b"\xff")), b"spans", 5, unreadable) == Sent()


def test_operators_may_say_more_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    told = resource_of("0.1").attributes
    assert (told["service.name"], told["service.version"]) == ("pointsman", "0.1")
    assert told["deployment.environment"] == "test"
