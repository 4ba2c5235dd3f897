"""How a job of the bundled engine ended, where that was not well: the error that its caller hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import RequestError, UpstreamError
from policies.failures import CONTEXT_CODES
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from gateway.local.serving.ticket import Ticket

_BAD_REQUEST = 400
_UNAVAILABLE = 503
# A worker reads hostile files; what it says of itself goes to callers.
_MESSAGE_CHARS = 1000


def error_of(ticket: Ticket, deployment: str) -> RequestError | UpstreamError:
    """For a ticket that is over and not complete. What is too long here may fit another model, so that is not final."""
    if (failed := ticket.failed) is None:
        if not ticket.is_suspect:
            message = "The bundled engine crashed while this request waited for it; it is being restarted."
            return UpstreamError(Failure(FailureKind.LOST, message, code="engine_restarting"), deployment)
        message = "The bundled engine crashed while it worked on this request; it is being restarted."
        crash = Failure(FailureKind.CRASHED, message, code="engine_crashed", maybe_billed=ticket.started)
        return UpstreamError(crash, deployment)
    if failed.status == _BAD_REQUEST and failed.code not in CONTEXT_CODES:
        return RequestError(failed.message[:_MESSAGE_CHARS], code=failed.code, param=failed.param)
    failure = Failure(
        FailureKind.BUSY if failed.status == _UNAVAILABLE else FailureKind.STATUS,
        failed.message[:_MESSAGE_CHARS],
        failed.status,
        failed.code,
        failed.retry_after_s,
        maybe_billed=failed.status not in (_BAD_REQUEST, _UNAVAILABLE),
        param=failed.param,
    )
    return UpstreamError(failure, deployment)
