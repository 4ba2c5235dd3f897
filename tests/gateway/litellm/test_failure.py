from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from gateway.litellm.failure import LONGEST_MESSAGE, classify
from policies.vocabulary import FailureKind


class Response:
    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status_code = status
        self.content = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HTTPStatusError(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__(f"Server error for url 'http://10.0.0.1/{response.status_code}'")
        self.response = response


class ConnectError(Exception):
    pass


class ReadError(Exception):
    pass


class ProviderError(Exception):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status_code = status


class ContextWindowExceededError(ProviderError):
    pass


def raised(*errors: Exception) -> Exception:
    """The last of `errors`, each raised from the one before."""
    cause: Exception | None = None
    for error in errors:
        error.__cause__ = cause
        cause = error
    assert cause is not None
    return cause


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ((ConnectionRefusedError(), ConnectError(), ProviderError("x", 500)), FailureKind.CONNECT),
        ((ConnectError(), ProviderError("x", 500)), FailureKind.CONNECT),
        ((ConnectionResetError(), ConnectError(), ProviderError("x", 500)), FailureKind.RESET),
        ((ReadError(), ProviderError("x", 500)), FailureKind.RESET),
        ((TimeoutError(), ProviderError("x", 408)), FailureKind.IDLE),
        ((KeyError("choices"),), FailureKind.BAD_RESPONSE),
        ((ProviderError("Overloaded", 529),), FailureKind.IN_BAND),
        ((ProviderError("could not decode", 502),), FailureKind.BAD_RESPONSE),
    ],
)
def test_the_cause_decides(errors: tuple[Exception, ...], kind: FailureKind) -> None:
    assert classify(raised(*errors), 200, ()).kind is kind


def test_a_status_without_any_connection_is_litellms_own_refusal() -> None:
    failure = classify(ProviderError("litellm.BadRequestError: no such provider", 400), None, ())
    assert (failure.kind, failure.status, failure.message) == (FailureKind.STATUS, 400, "no such provider")


def test_the_answer_at_the_bottom_gives_status_words_and_code() -> None:
    body = b'{"error": {"message": "too long", "type": "invalid_request_error", "code": null}}'
    error = raised(HTTPStatusError(Response(400, body)), ContextWindowExceededError("litellm.Context…", 500))
    failure = classify(error, 400, ())
    assert (failure.status, failure.message, failure.code) == (400, "too long", "context_length_exceeded")


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "m", "c"),
        (b'{"error": {"message": "m", "code": 404, "status": "NOT_FOUND"}}', "m", "NOT_FOUND"),
        (b'[{"error": {"message": "m"}}]', "m", None),
        (b'{"message": "m"}', "m", None),
        (b'{"error": "m"}', "m", None),
        (b"<html>", "The provider answered with status 500.", None),
        (b'{"error": {"message": 7}}', "The provider answered with status 500.", None),
        (b"[]", "The provider answered with status 500.", None),
        (b"[" * 100_000, "The provider answered with status 500.", None),
        (b"", "The provider answered with status 500.", None),
        (b"\xff\xfe", "The provider answered with status 500.", None),
    ],
)
def test_error_bodies_of_every_shape(body: bytes, message: str, code: str | None) -> None:
    failure = classify(HTTPStatusError(Response(500, body)), 500, ())
    assert (failure.message, failure.code) == (message, code)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
        ({"retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_named_wait(headers: dict[str, str], wait_s: float | None) -> None:
    assert classify(HTTPStatusError(Response(429, b"", **headers)), 429, ()).retry_after_s == wait_s


def test_a_wait_until_a_date() -> None:
    date = formatdate(time.time() + 60, usegmt=True)
    wait_s = classify(HTTPStatusError(Response(429, retry_after=date)), 429, ()).retry_after_s
    assert wait_s == pytest.approx(60, abs=3)


def test_messages_hide_keys_and_addresses_and_stay_short() -> None:
    said = "key=very-secret at http://10.0.0.7:8000/v1 and 10.0.0.8:99 " + "é" * 9000
    message = classify(
        HTTPStatusError(Response(500, b'{"message": "%s"}' % said.encode())), 500, ("very-secret",)
    ).message
    assert not any(word in message for word in ("very-secret", "10.0.0.7", "10.0.0.8"))
    assert len(message.encode()) <= LONGEST_MESSAGE


def test_a_huge_brace_heavy_error_is_read_in_no_time() -> None:
    body = b'{"error": "' + b"{" * 10_000_000
    started_s = time.perf_counter()
    classify(HTTPStatusError(Response(500, body)), 500, ())
    classify(ProviderError("{" * 10_000_000, 500), None, ())
    assert time.perf_counter() - started_s < 0.5


def test_a_circle_of_causes_ends() -> None:
    first, second = ProviderError("a", 500), ProviderError("b", 500)
    first.__cause__, second.__cause__ = second, first
    assert classify(first, None, ()).status == 500


def test_a_response_that_cannot_be_read_any_more() -> None:
    class Gone(Response):
        def __getattribute__(self, name: str) -> object:
            if name == "content":
                raise RuntimeError("closed")
            return super().__getattribute__(name)

    assert classify(HTTPStatusError(Gone(503)), 503, ()).status == 503
