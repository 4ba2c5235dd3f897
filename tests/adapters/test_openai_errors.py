from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_errors import (
    RETRY_AFTER_KEPT_S,
    WireError,
    classify,
    error_body,
    error_event,
    in_band,
    not_an_answer,
    retry_after_s,
)
from adapters.scrub import SHOWN_BYTES
from policies.vocabulary import Endpoint, Failure, FailureKind

GOLDEN = sorted((Path(__file__).parent / "golden").glob("error_*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_errors_are_read_as_their_servers_mean_them(path: Path) -> None:
    golden = json.loads(path.read_text())
    failure = classify(golden["status"], golden["headers"], golden["body"].encode())
    assert failure == Failure(**golden["failure"])


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e9"}, RETRY_AFTER_KEPT_S),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:07 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 7.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:07 GMT", "date": "nonsense"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 10:00:07 GMT"}, None),
        ({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_wait_an_upstream_asks_for(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s


ODD = [
    b"\xff\xfe",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"7",
    b'{"error":null}',
    b'{"error":{"message":{"a":1}}}',
    b'{"error":{"message":null,"code":{"a":1}}}',
    b'{"error":{"message":[' + b"9" * 4000 + b"]}}",
    b'{"error":{"code":' + b"9" * 4000 + b"}}",
    b'{"detail":"x"}',
    b'{"detail":[{"loc":7,"msg":null}]}',
    b'{"message":"x","code":true}',
    b"x" * 50_000_000,
    b'{"error":{"message":"' + b"y" * 100_000 + b'"}}',
]


@pytest.mark.parametrize("body", ODD, ids=lambda body: repr(body[:24]))
def test_no_error_body_surprises(body: bytes) -> None:
    failure = classify(502, {}, body)
    assert failure.kind is FailureKind.STATUS
    assert 0 < len(failure.message.encode()) <= SHOWN_BYTES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "status", "msg", "loc", "type"]), inner
        )
    ),
    max_leaves=8,
)


@given(JSON, st.binary(max_size=20))
def test_classify_never_raises(value: object, junk: bytes) -> None:
    for body in (json.dumps(value).encode(), junk):
        failure = classify(500, {"retry-after": junk.decode("latin-1")}, body)
        assert failure.message
        assert failure.code is None or len(failure.code) <= 64


@pytest.mark.parametrize(
    ("value", "status", "code", "message"),
    [
        ({"error": {"message": "busy", "code": 429}}, 429, "429", "busy"),
        ({"error": {"message": "busy", "type": "overloaded_error", "code": 503}}, 503, "overloaded_error", "busy"),
        ({"error": {"message": "bad", "code": "tool_use_failed", "status_code": 400}}, 400, "tool_use_failed", "bad"),
        ({"error": "boom"}, None, None, "boom"),
        ({"object": "error", "message": "boom", "code": 400}, 400, "400", "boom"),
        (None, None, None, "The upstream reported an error."),
    ],
)
def test_errors_under_status_200_keep_what_they_say(
    value: object, status: int | None, code: str | None, message: str
) -> None:
    failure = in_band(value, maybe_billed=True)
    assert failure == Failure(FailureKind.IN_BAND, message, status, code, maybe_billed=True)


@pytest.mark.parametrize(
    ("param", "kept"),
    [("messages[3].content", "messages[3].content"), ("temperature", "temperature"), ("a b", None), ("x" * 129, None)]
    + [(odd, None) for odd in ("", None, 7, ["messages"], "new\nline", "</script>")],
)
def test_the_member_to_blame_is_kept_where_it_is_one(param: object, kept: str | None) -> None:
    error = {"error": {"message": "no", "code": "c", "param": param}}
    assert classify(400, {}, json.dumps(error).encode()).param == kept
    assert in_band(error, maybe_billed=False).param == kept


@pytest.mark.parametrize(("body", "what"), [(b"<html>", "HTML page"), (b" \n", "nothing"), (b"{}", "something else")])
def test_what_is_no_answer_is_named(body: bytes, what: str) -> None:
    assert what in not_an_answer(body).message


ERROR = WireError("The upstream broke off.", "api_error", "upstream_incomplete", None, "req_1")


def test_an_error_has_the_form_that_sdks_expect() -> None:
    assert json.loads(error_body(ERROR)) == {
        "error": {
            "message": "The upstream broke off.",
            "type": "api_error",
            "param": None,
            "code": "upstream_incomplete",
            "request_id": "req_1",
        }
    }
    assert "request_id" not in json.loads(error_body(WireError("x", "api_error", "y")))["error"]


def test_a_failed_stream_ends_in_one_event_that_sdks_raise_from() -> None:
    chat = error_event(Endpoint.CHAT, ERROR)
    assert chat == b"data: " + error_body(ERROR) + b"\n\n"
    name, data = error_event(Endpoint.RESPONSES, ERROR).removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: error"
    event = msgspec.json.decode(data.removeprefix(b"data: "))
    assert (event["type"], event["code"], event["error"]["message"]) == ("error", ERROR.code, ERROR.message)
    assert all(b"[DONE]" not in error_event(endpoint, ERROR) for endpoint in Endpoint)


def test_a_key_in_the_place_of_a_code_is_no_code() -> None:
    key = "sk-proj-abcdefghijklmnop1234"
    body = json.dumps({"error": {"message": "no", "code": key, "type": "wrong", "param": key}}).encode()
    failure = classify(400, {}, body)
    assert (failure.code, failure.param) == ("wrong", None)
