from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from gateway.answer_heads import JSON, answer_head, call_headers
from gateway.call import Cached
from gateway.server import render_head
from gateway.signals.tracing import traceresponse
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import answered, attempt, cached_hit, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Call
    from gateway.upstream import Answer

PLAIN = cast("Answer", SimpleNamespace(headers=()))


def missed() -> Call:
    made = answered()
    made.cached = Cached()
    return made


def replayed() -> Call:
    made = call()
    made.replay_of = "req_1"
    return made


def asks_why() -> Call:
    return call(attempt(), headers={"X-Pointsman-Decision": "1"})


@pytest.mark.parametrize("make", [answered, missed, cached_hit, replayed, asks_why])
@pytest.mark.parametrize("length", [0, 12345])
def test_a_head_made_in_one_go_is_the_one_made_of_headers(make: Callable[[], Call], length: int) -> None:
    one = make()
    one.sent_bytes = length
    headers = [JSON, ("content-length", str(length)), *call_headers(one)]
    for close in (False, True):
        made, rendered = answer_head(one, PLAIN, close=close), render_head(200, headers, close=close)
        assert made.endswith(b"\r\n\r\n")
        assert sorted(made.split(b"\r\n")) == sorted(rendered.split(b"\r\n"))


@pytest.mark.parametrize(
    "one",
    [
        answered(),
        cached_hit(),
        replayed(),
        call(status=401, error_code="invalid_api_key", principal=None, route=None),
        call(attempt(failure=Failure(FailureKind.CONNECT)), status=502, error_code="upstream_error"),
    ],
)
def test_every_answer_to_a_call_names_the_call_and_its_trace(one: Call) -> None:
    told = dict(call_headers(one))
    assert (told["x-request-id"], told["traceresponse"]) == (one.id, traceresponse(one.trace))
