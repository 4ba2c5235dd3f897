"""What went wrong in the stores behind the admin API, as this listener tells it."""

from __future__ import annotations

from gateway.admin.answers import Unavailable
from gateway.errors import GatewayError, InternalError, RequestError
from gateway.scrubbing import printable
from gateway.state.keys.records import Conflict, Invalid, KeyStoreError, ManagedElsewhere, NotFound, Outdated
from gateway.state.ledger.schema import LedgerError

LONGEST_MESSAGE = 500
BROKEN = "Something went wrong inside the gateway."


def problem_of(error: Exception) -> GatewayError:
    """The error to answer with; a bug's says nothing of the inside."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, KeyStoreError):
        return _of_store(error, printable(f"{error.message[:1].upper()}{error.message[1:]}.", LONGEST_MESSAGE))
    if isinstance(error, LedgerError):
        return Unavailable("The database of keys and usage cannot be used now; see the log.", "database_unavailable")
    return InternalError(BROKEN)


def _of_store(error: KeyStoreError, message: str) -> GatewayError:
    if isinstance(error, Invalid):
        field = printable(error.field, 128)
        return RequestError(f"{field} {printable(error.message, LONGEST_MESSAGE)}.", param=field)
    if isinstance(error, NotFound):
        return RequestError(message, status=404, code="not_found")
    if isinstance(error, Outdated):
        return RequestError(message, status=412, code="precondition_failed")
    if isinstance(error, Conflict):
        return RequestError(message, status=409, code="conflict")
    if isinstance(error, ManagedElsewhere):
        return RequestError(message, status=409, code="managed_by_policy_file")
    return Unavailable(message, "not_configured")
