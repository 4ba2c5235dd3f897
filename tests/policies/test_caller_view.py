from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.caller_view import caller_view
from policies.vocabulary import Failure, FailureKind


def status(number: int, code: str | None = None, retry_after_s: float | None = None) -> Failure:
    return Failure(FailureKind.STATUS, status=number, code=code, retry_after_s=retry_after_s)


failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    status=st.none() | st.sampled_from([200, 302, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 520, 529]),
    code=st.none() | st.sampled_from(["content_filter", "context_length_exceeded", "insufficient_quota"]),
    retry_after_s=st.none() | st.floats(),
)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (status(401), (502, "api_error", "upstream_auth_error", None)),
        (status(403), (502, "api_error", "upstream_auth_error", None)),
        (status(402), (502, "api_error", "upstream_auth_error", None)),
        (status(400, "invalid_image"), (400, "invalid_request_error", "invalid_image", None)),
        (status(400), (400, "invalid_request_error", "invalid_request", None)),
        (status(404, "model_not_found"), (404, "invalid_request_error", "model_not_found", None)),
        (status(413), (413, "invalid_request_error", "request_too_large", None)),
        (status(422), (422, "invalid_request_error", "invalid_request", None)),
        (status(500, "content_filter"), (400, "invalid_request_error", "content_filter", None)),
        (status(408), (504, "api_error", "upstream_timeout", None)),
        (status(429, retry_after_s=7.0), (429, "rate_limit_error", "upstream_rate_limit", 7.0)),
        (status(429), (429, "rate_limit_error", "upstream_rate_limit", None)),
        (status(429, "insufficient_quota"), (429, "rate_limit_error", "upstream_quota_exhausted", None)),
        (status(400, "billing_not_active"), (429, "rate_limit_error", "upstream_quota_exhausted", None)),
        (status(503, retry_after_s=3.0), (502, "api_error", "upstream_error", 3.0)),
        (status(418), (502, "api_error", "upstream_error", None)),
        (status(302), (502, "api_error", "upstream_error", None)),
        (Failure(FailureKind.CONNECT), (502, "api_error", "upstream_connect_error", None)),
        (Failure(FailureKind.POOL), (503, "api_error", "upstream_busy", 1.0)),
        (Failure(FailureKind.RESET), (502, "api_error", "upstream_incomplete", None)),
        (Failure(FailureKind.TRUNCATED), (502, "api_error", "upstream_incomplete", None)),
        (Failure(FailureKind.BAD_RESPONSE), (502, "api_error", "upstream_bad_response", None)),
        (Failure(FailureKind.FIRST_TOKEN), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.IDLE), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.TOTAL), (504, "api_error", "upstream_timeout", None)),
        (Failure(FailureKind.CRASHED), (502, "api_error", "engine_crashed", None)),
        (Failure(FailureKind.LOST), (503, "api_error", "engine_restarting", 1.0)),
        (Failure(FailureKind.IN_BAND), (502, "api_error", "upstream_error", None)),
        (Failure(FailureKind.IN_BAND, code="overloaded_error"), (502, "api_error", "upstream_error", None)),
        (
            Failure(FailureKind.IN_BAND, code="invalid_request_error"),
            (400, "invalid_request_error", "invalid_request_error", None),
        ),
        (Failure(FailureKind.IN_BAND, status=429), (429, "rate_limit_error", "upstream_rate_limit", None)),
        (Failure(FailureKind.IN_BAND, code="content_filter"), (400, "invalid_request_error", "content_filter", None)),
    ],
)
def test_caller_view(failure: Failure, expected: tuple[int, str, str, float | None]) -> None:
    assert caller_view(failure) == expected


@pytest.mark.parametrize("code", ["x" * 65, "two words", "line\nbreak", "", '"}', "\u202e"])
def test_what_is_no_code_is_not_passed_on(code: str) -> None:
    assert caller_view(status(400, code)).code == "invalid_request"


@given(failures)
def test_a_caller_is_never_told_that_their_own_key_or_bill_is_bad(failure: Failure) -> None:
    view = caller_view(failure)
    assert view.status in {400, 404, 413, 422, 429, 502, 503, 504}
    assert view.retry_after_s is None or 0 < view.retry_after_s <= 86_400
