"""What a caller is told of a failure: the one place where an upstream's word becomes ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.failures import (
    CREDENTIAL_STATUSES,
    REQUEST_CODES,
    REQUEST_STATUSES,
    blames_request,
    named_wait_s,
    out_of_quota,
    status_of,
)
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.vocabulary import Failure


class CallerView(NamedTuple):
    """What the caller is told: HTTP status, the error object's `type` and `code`, and `Retry-After` where one helps."""

    status: int
    type: str
    code: str
    retry_after_s: float | None = None


BUSY_S: Final = 1.0
"""Nobody knows when a connection comes free; callers are asked back after the shortest wait."""
VIEW_BY_KIND: Final[Mapping[FailureKind, CallerView]] = {
    FailureKind.CONNECT: CallerView(502, "api_error", "upstream_connect_error"),
    FailureKind.POOL: CallerView(503, "api_error", "upstream_busy", BUSY_S),
    FailureKind.RESET: CallerView(502, "api_error", "upstream_incomplete"),
    FailureKind.STATUS: CallerView(502, "api_error", "upstream_error"),
    FailureKind.BAD_RESPONSE: CallerView(502, "api_error", "upstream_bad_response"),
    FailureKind.TRUNCATED: CallerView(502, "api_error", "upstream_incomplete"),
    FailureKind.IN_BAND: CallerView(502, "api_error", "upstream_error"),
    FailureKind.FIRST_TOKEN: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.IDLE: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.TOTAL: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.WRITE: CallerView(504, "api_error", "upstream_timeout"),
    FailureKind.CRASHED: CallerView(502, "api_error", "engine_crashed"),
    FailureKind.LOST: CallerView(503, "api_error", "engine_restarting", BUSY_S),
    FailureKind.BUSY: CallerView(503, "api_error", "engine_busy"),
    FailureKind.LIMITED: CallerView(503, "api_error", "service_full"),
}
AUTH_ERROR: Final = CallerView(502, "api_error", "upstream_auth_error")
REQUEST_CODE: Final[Mapping[int, str]] = {404: "not_found", 413: "request_too_large"}
LABEL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def caller_view(failure: Failure) -> CallerView:
    """What a call that gives up over `failure` answers.

    What the request is to blame for passes through. What the provider holds against the gateway (its key, its bill)
    does not: a 401 would send the caller looking at a key of their own that is fine.
    """
    status = status_of(failure)
    if blames_request(failure):
        return _passed_on(failure, status)
    if status == 429 or out_of_quota(failure):
        code = "upstream_quota_exhausted" if out_of_quota(failure) else "upstream_rate_limit"
        return CallerView(429, "rate_limit_error", code, named_wait_s(failure) or None)
    if status in CREDENTIAL_STATUSES:
        return AUTH_ERROR
    if status == 408:
        return VIEW_BY_KIND[FailureKind.TOTAL]
    view, named_s = VIEW_BY_KIND[failure.kind], named_wait_s(failure)
    if failure.kind is FailureKind.BUSY:
        view = view._replace(code=_label(failure.code) or view.code)
    return view._replace(retry_after_s=named_s) if named_s else view


def _passed_on(failure: Failure, status: int | None) -> CallerView:
    if status not in REQUEST_STATUSES:
        # A refused method or media type is between the gateway and the upstream; the caller chose neither.
        if failure.code not in REQUEST_CODES:
            return VIEW_BY_KIND[failure.kind]
        status = 400
    return CallerView(
        status, "invalid_request_error", _label(failure.code) or REQUEST_CODE.get(status, "invalid_request")
    )


def _label(code: str | None) -> str | None:
    """An upstream's code, unless it is no code at all: it goes into a JSON body, but logs and eyes meet it too."""
    return code if code is not None and LABEL.fullmatch(code) else None
