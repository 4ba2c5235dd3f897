"""The error tree. `code` is the caller's error code and the metric label; only `edge.py` renders an error.

GatewayError
├── RequestError     the caller's mistake; never retried               4xx
├── LimitError       over one of our limits, or we are full             429, 503
├── UpstreamError    the provider's failure, holding a `Failure` value  4xx if the request is to blame, else 502-504
├── DrainingError    the gateway is shutting down                       503
└── InternalError    a bug of ours                                      500
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from policies.vocabulary import Failure


class GatewayError(Exception):
    """Anything that ends a call without a good answer."""

    status = 500
    type = "api_error"
    code = "internal_error"
    param: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(GatewayError):
    """The caller's mistake: what is wrong and, in `param`, where (`messages[3].content`)."""

    TYPES: ClassVar = {401: "authentication_error", 403: "permission_error"}

    def __init__(
        self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.type = self.TYPES.get(status, "invalid_request_error")


class LimitError(GatewayError):
    """One of our own limits said no. `retry_after_s` is the exact wait, None where waiting does not help.

    "You are over" is 429: `rate_limit_exceeded` for a rate, `insufficient_quota` for a budget. "The service is full" is
    503: every deployment at its limit, the queue full, the store or the ledger not there.
    """

    QUOTA = "insufficient_quota"

    def __init__(self, message: str, *, status: int, type_: str, code: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type_
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def should_retry(self) -> bool:
        """Whether another try within seconds may do better; a budget that is spent stays so."""
        return self.code != self.QUOTA


class UpstreamError(GatewayError):
    """One attempt's failure at `deployment`. Its status is chosen by `policies.attempts` when the call gives up."""

    status = 502
    code = "upstream_error"

    def __init__(self, failure: Failure, deployment: str) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.deployment = deployment


class DrainingError(GatewayError):
    """The gateway is draining and takes no new calls."""

    status = 503
    code = "shutting_down"


class CancelledUnsent(asyncio.CancelledError):
    """The caller left before a byte of the request went upstream: there is nothing to pay for."""


class StartError(Exception):
    """Why the gateway cannot start or take over a policy: a missing extra, file or port, and what to do about it."""


class MissingExtra(StartError):  # noqa: N818 - it names what is missing
    """The policy asks for an optional part of Pointsman that is not installed."""


class InternalError(GatewayError):
    """A bug of ours; the message says nothing about the inside."""
