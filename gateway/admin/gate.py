"""Who may use the operators' listener: holders of the admin token, and without one only this machine, to look.

The token is a type of its own: the data plane takes none of it, and no virtual key opens this gate.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from math import ceil
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.admin import audit
from gateway.admin.answers import Refused
from gateway.admin.attempts import FailedAttempts
from gateway.admin.routes import Operator, Permission
from gateway.errors import RequestError, StartError
from gateway.keys.virtual_keys import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.keys.view import KeyView
    from gateway.secret import Secret
    from gateway.server import Inbound

AUTHORIZATION: Final = istr("Authorization")
ALL: Final = frozenset(Permission)
ANYBODY: Final = Operator("anybody", frozenset({Permission.OPEN}))
LOCAL: Final = Operator("loopback", frozenset({Permission.OPEN, Permission.KNOWN, Permission.OPS_READ}))
USER: Final = Operator(
    "user",
    LOCAL.permissions | {Permission.LIMITS_READ, Permission.USAGE_READ, Permission.DECISIONS_READ},
)
"""Whoever comes by a socket that is this user's alone: he may look, and no more."""
NO_TOKEN: Final = (
    "This needs an admin token, and none is configured: set secrets.admin_token in the policy file"  # noqa: S105 - a sentence
    ' (such as "${env:POINTSMAN_ADMIN_TOKEN}") and restart.'
)


class AdminToken:
    """The admin token as it is checked: a MAC under a key of this process, from which nobody reads the token back."""

    __slots__ = ("_key", "_mac")

    def __init__(self, secret: Secret) -> None:
        self._key = secrets.token_bytes(32)
        self._mac = self._mac_of(secret.reveal().encode())

    def is_this(self, presented: bytes) -> bool:
        """In time that says nothing about where they differ, nor about the token's length."""
        return hmac.compare_digest(self._mac, self._mac_of(presented))

    def _mac_of(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, hashlib.sha256)

    def __repr__(self) -> str:
        return "***"


class Gate:
    """Lets in, or raises `RequestError`: 401, 403, and 429 for addresses that keep failing."""

    def __init__(
        self, token: AdminToken | None, clock: Callable[[], float] = time.monotonic, nameless: Operator = LOCAL
    ) -> None:
        self._token = token
        self._nameless = nameless
        self._failed = FailedAttempts(clock)

    def admit(self, inbound: Inbound, permission: Permission) -> Operator:
        """Who is asking, where he may do this."""
        if permission is Permission.OPEN:
            return ANYBODY
        try:
            operator = self._identify(inbound)
            self._check(operator, permission)
        except RequestError as error:
            path = inbound.target.partition("?")[0]
            audit.note("unknown", inbound.peer(), inbound.method, path, f"denied {error.status} {error.code}")
            raise
        return operator

    def _identify(self, inbound: Inbound) -> Operator:
        if self._token is None:
            check_host(inbound)
            return self._nameless
        sent = inbound.headers.getall(AUTHORIZATION, ())
        # Of two, a proxy in front may have judged the other one.
        scheme, _, presented = (sent[0] if len(sent) == 1 else "").partition(" ")
        # What was no UTF-8 on the wire came in as lone surrogates.
        given = presented.strip().encode(errors="surrogateescape")
        # Compared in any case, so that every refusal takes as long.
        is_token = self._token.is_this(given)
        if is_token and scheme.lower() == "bearer":
            return Operator("admin_token", ALL)
        wait_s = self._failed.count(inbound.peer())
        if wait_s:
            raise Refused(
                "Too many wrong admin tokens from this address.",
                status=429,
                code="too_many_failures",
                headers=(("retry-after", str(max(1, ceil(wait_s)))),),
            )
        raise RequestError("The admin token is missing or wrong.", status=401, code="invalid_admin_token")

    def _check(self, operator: Operator, permission: Permission) -> None:
        if permission in operator.permissions:
            return
        if self._token is None:
            raise RequestError(NO_TOKEN, status=403, code="admin_token_not_configured")
        raise RequestError(f"This needs the permission {permission}.", status=403, code="permission_denied")


def gate_of(token: Secret | None) -> Gate:
    return Gate(None if token is None else AdminToken(token))


def gate_of_user() -> Gate:
    """Of a socket that the file system keeps for one user."""
    return Gate(None, nameless=USER)


def refuse_shared_token(token: Secret | None, keys: KeyView) -> None:
    """Raises `StartError` where the admin token is also a key: whoever had the one would have the other."""
    if token is None:
        return
    found = keys.identify(token.reveal(), time.time(), str)
    if found not in (Refusal.UNKNOWN, Refusal.MALFORMED, Refusal.CHECKSUM):
        raise StartError("secrets.admin_token is also a virtual key; choose another")


def check_host(inbound: Inbound) -> None:
    """Without a token only loopback is listened on; a web page must not get in by rebinding its name to it."""
    host = inbound.headers.get("Host", "")
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if host == "localhost":
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise RequestError(
            "Ask by IP address or localhost, or set an admin token.", status=403, code="host_not_allowed"
        ) from None
