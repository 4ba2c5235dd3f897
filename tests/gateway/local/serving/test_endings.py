from __future__ import annotations

import pytest

from adapters.llama_cpp_job import Failed, Started
from gateway.errors import RequestError, UpstreamError
from gateway.local.serving.endings import error_of
from gateway.local.serving.ticket import Ticket
from policies.vocabulary import FailureKind


def ended(failed: Failed | None, *, started: bool = False, was_preparing: bool = False) -> RequestError | UpstreamError:
    ticket = Ticket(1, lambda _: None)
    if started:
        ticket.take(Started(1, 9, 0))
    if failed is None:
        ticket.lose(was_preparing=was_preparing)
    else:
        ticket.take(failed)
    return error_of(ticket, "local")


def test_a_request_that_is_to_blame_hears_where() -> None:
    error = ended(Failed(1, 400, "invalid_value", "No.", "dimensions"))
    assert isinstance(error, RequestError)
    assert (error.code, error.param) == ("invalid_value", "dimensions")


def test_what_is_too_long_here_may_go_elsewhere() -> None:
    error = ended(Failed(1, 400, "context_length_exceeded", "Too long.", "input"))
    assert isinstance(error, UpstreamError)
    assert (error.failure.status, error.failure.param, error.failure.maybe_billed) == (400, "input", False)


def test_a_full_engine_says_when_to_come_again_and_costs_nothing() -> None:
    error = ended(Failed(1, 503, "engine_busy", "Full.", retry_after_s=2.5))
    assert isinstance(error, UpstreamError)
    assert (error.failure.retry_after_s, error.failure.maybe_billed) == (2.5, False)


def test_an_engine_that_fails_may_have_worked() -> None:
    error = ended(Failed(1, 500, "engine_failure", "llama.cpp says -3"))
    assert isinstance(error, UpstreamError)
    assert error.failure.maybe_billed


@pytest.mark.parametrize(
    ("started", "was_preparing", "kind"),
    [
        (True, False, FailureKind.CRASHED),
        (False, True, FailureKind.CRASHED),
        (False, False, FailureKind.LOST),
    ],
)
def test_a_crash_is_billed_only_once_the_work_began(*, started: bool, was_preparing: bool, kind: FailureKind) -> None:
    error = ended(None, started=started, was_preparing=was_preparing)
    assert isinstance(error, UpstreamError)
    assert (error.failure.kind, error.failure.maybe_billed) == (kind, started)


def test_what_a_worker_says_is_cut() -> None:
    for status in (400, 500):
        error = ended(Failed(1, status, "odd", "x" * 300_000))
        told = error.message if isinstance(error, RequestError) else error.failure.message
        assert len(told) == 1000
