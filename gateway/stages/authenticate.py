"""Who is calling: a virtual key in, a principal out, before a byte of the body is read."""

from __future__ import annotations

import time
from time import monotonic
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.errors import RequestError
from gateway.keys.virtual_keys import Refusal
from gateway.signals.conventions import Mark
from gateway.signals.tracing import gone_on_with
from policies.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from multidict import CIMultiDictProxy

    from gateway.call import Call, Reply
    from gateway.generation import Generation
    from gateway.pipeline import Handler

ANYONE: Final = Principal(key_id="none", key_name="none")
# Ready for look-up in whatever case a header came.
AUTHORIZATION: Final = istr("Authorization")
X_API_KEY: Final = istr("x-api-key")
API_KEY: Final = istr("api-key")

AUTH: Final = Mark.AUTH
INCORRECT: Final = (401, "invalid_api_key", "Incorrect API key provided.")
# Only whoever holds the secret hears one of these.
TOLD: Final = {
    Refusal.EXPIRED: (401, "key_expired", "This API key has expired."),
    Refusal.NOT_YET: (401, "key_not_yet_valid", "This API key is not valid yet."),
    Refusal.DISABLED: (401, "key_disabled", "This API key is disabled."),
    Refusal.ADDRESS: (403, "address_not_allowed", "This API key may not be used from this address."),
}


class Authenticate:
    """The stage; `identify` is also what guards the routes that do no inference."""

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        principal = call.principal = identify(call.headers, call.generation, call.peer)
        if principal.trusts_trace and call.trace.linked is not None:
            call.trace = gone_on_with(call.trace, call.headers)
        call.marks.append((AUTH, monotonic()))
        return then(call)


def identify(headers: CIMultiDictProxy[str], generation: Generation, peer: Callable[[], str]) -> Principal:
    """The principal behind these headers. Raises `RequestError`: 401, 400 when two credentials differ, 403 for a key
    that is not to be used from `peer`.

    On loopback anyone is let in until there is, or ever was, a key.
    """
    keys = generation.keys
    if not keys.required:
        return ANYONE
    found = keys.identify(presented_key(headers), time.time(), peer)
    if isinstance(found, Principal):
        return found
    status, code, message = TOLD.get(found, INCORRECT)
    raise RequestError(message, status=status, code=code)


def presented_key(headers: CIMultiDictProxy[str]) -> str:
    """The one key in `Authorization: Bearer`, `x-api-key` or `api-key`; SDKs disagree on the header."""
    authorizations = headers.getall(AUTHORIZATION, ())
    if len(authorizations) == 1 and X_API_KEY not in headers and API_KEY not in headers:
        return bearer(authorizations[0])
    found: set[str] = set()
    if len(authorizations) > 1:  # a proxy in front may have judged the other one
        raise RequestError("Send one Authorization header.", code="conflicting_api_keys")
    found.update(map(bearer, authorizations))
    for name in (X_API_KEY, API_KEY):
        found.update(filter(None, headers.getall(name, ())))
    if len(found) > 1:
        raise RequestError("Two different API keys were sent; send one.", code="conflicting_api_keys")
    if not found:
        raise missing_key()
    return found.pop()


def bearer(value: str) -> str:
    scheme, _, key = value.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise missing_key()
    return key


def missing_key() -> RequestError:
    return RequestError(
        "No API key provided. Send it as `Authorization: Bearer <key>`.", status=401, code="missing_api_key"
    )
